//! The owner is asked: by a page of ours, once, and only where it may be remembered not again.

use tower_oauth::server::Registration;
use tower_oauth::types::{Client, Subject};

use crate::support::{Answer, Harness, LEDGER, alice, authorization_request, changed, redemption};

fn form(page: &Answer, decision: &str) -> String {
    let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
    format!("interaction={id}&csrf={csrf}&decision={decision}")
}

fn is_already_answered(answer: &Answer) {
    answer.page(400);
    assert!(answer.text().contains("Already answered"), "{answer:?}");
}

// req: 6749-10.12-1, http-csrf-1, 6749-10.14-1
#[tokio::test]
async fn s13_only_the_page_that_asked_can_answer() {
    let server = Harness::new().await;
    let page = server.authorize("&state=s1").await;
    let other = server.authorize("&state=s2").await;
    let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
    let foreign = other.hidden("csrf");
    let same = [("sec-fetch-site", "same-origin")];
    let all = format!("interaction={id}&csrf={csrf}&decision=allow");
    let cases: [(String, &[(&str, &str)]); 13] = [
        (format!("interaction={id}&decision=allow"), &same),
        (format!("interaction={id}&csrf=&decision=allow"), &same),
        (
            format!("interaction={id}&csrf={foreign}&decision=allow"),
            &same,
        ),
        (format!("interaction={id}&csrf={id}&decision=allow"), &same),
        (
            format!(
                "interaction={id}&csrf={}&decision=allow",
                csrf.to_lowercase()
            ),
            &same,
        ),
        (all.clone(), &[]),
        (all.clone(), &[("sec-fetch-site", "cross-site")]),
        (all.clone(), &[("sec-fetch-site", "same-site")]),
        (all.clone(), &[("sec-fetch-site", "none")]),
        (all.clone(), &[("origin", "https://evil.test")]),
        (all.clone(), &[("origin", "null")]),
        (
            all.clone(),
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://auth.harbor.test"),
            ],
        ),
        // What contradicts itself is believed in neither half.
        (
            all.clone(),
            &[
                ("origin", "https://auth.harbor.test"),
                ("origin", "https://evil.test"),
            ],
        ),
    ];
    for (form, headers) in cases {
        for decision in ["allow", "deny"] {
            let form = form.replace("decision=allow", &format!("decision={decision}"));
            let headers = [headers, &[("x-user", "alice")]].concat();
            let answer = server.post_with("/auth/authorize", &headers, &form).await;
            answer.page(403);
        }
    }
    // Nothing was decided by any of it; an old browser, which says its origin alone, may answer, and so may one whose page sends no
    // `Referer`, which says that its origin is none, or was reached by another name of this host.
    for (site, origin) in [
        (None, "https://auth.harbor.test"),
        (Some("same-origin"), "https://auth.harbor.test"),
        (Some("same-origin"), "null"),
        (Some("same-origin"), "http://localhost:8080"),
    ] {
        let mut headers = vec![("x-user", "alice"), ("origin", origin)];
        headers.extend(site.map(|site| ("sec-fetch-site", site)));
        let answer = server.post_with("/auth/authorize", &headers, &all).await;
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
        assert!(answer.parameter("code").is_some());
    }
}

#[tokio::test]
async fn s13_a_form_without_a_button_or_without_an_owner_decides_nothing() {
    let server = Harness::new().await;
    let page = server.authorize("").await;
    let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
    for decision in [
        "",
        "&decision=",
        "&decision=yes",
        "&decision=allow&decision=deny",
    ] {
        let form = format!("interaction={id}&csrf={csrf}{decision}");
        server
            .submit("/auth/authorize", "alice", &form)
            .await
            .page(400);
    }
    // Somebody else has signed in meanwhile, or everybody has signed out.
    for decision in ["allow", "deny"] {
        server.decide(&page, "bob", decision).await.page(403);
        let headers = [("sec-fetch-site", "same-origin")];
        let nobody = server
            .post_with("/auth/authorize", &headers, &form(&page, decision))
            .await;
        assert_eq!(nobody.location(), format!("/login?interaction={id}"));
    }
    // When the page was shown to the other one, the first one's form is worth nothing.
    let bobs = server
        .get(&server.oauth.resume_path(&id), Some("bob"))
        .await;
    assert_ne!(bobs.hidden("csrf"), csrf);
    server.decide(&page, "alice", "allow").await.page(403);
    let answer = server.decide(&bobs, "bob", "allow").await;
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    let told = server.introspect(&tokens.member("access_token")).await;
    assert_eq!(told["sub"], "bob");
}

#[tokio::test]
async fn s13_a_page_may_be_shown_in_two_tabs_and_is_answered_once() {
    for (first, second) in [("allow", "deny"), ("deny", "allow")] {
        let server = Harness::new().await;
        let page = server.authorize("").await;
        let path = server.oauth.resume_path(&page.hidden("interaction"));
        let tab = server.get(&path, Some("alice")).await;
        assert_eq!(form(&tab, first), form(&page, first));
        let answer = server.decide(&page, "alice", first).await;
        assert_eq!(answer.parameter("code").is_some(), first == "allow");
        is_already_answered(&server.decide(&tab, "alice", second).await);
        is_already_answered(&server.decide(&page, "alice", second).await);
        is_already_answered(&server.get(&path, Some("alice")).await);
        is_already_answered(&server.get(&path, None).await);
    }
}

#[tokio::test]
async fn s07_of_answers_at_the_same_time_one_counts() {
    let store = crate::authorization_errors::Faulty::default();
    let server = Harness::with(|builder| builder.store(store)).await;
    let page = server.authorize("").await;
    let answers =
        (0..16).map(|n| server.decide(&page, "alice", if n % 2 == 0 { "allow" } else { "deny" }));
    let answers = all_at_once(answers).await;
    // The same answer may be given more than once, the other one never.
    let sent: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 303)
        .collect();
    let codes: Vec<_> = sent
        .iter()
        .filter_map(|answer| answer.parameter("code"))
        .collect();
    let denied = sent.len() - codes.len();
    assert!(
        codes.is_empty() != (denied == 0),
        "{} and {denied}",
        codes.len()
    );
    let mut redeemed = 0;
    for code in &codes {
        redeemed += usize::from(server.redeem(code).await.status == 200);
    }
    assert_eq!(redeemed, usize::from(denied == 0));
}

/// Polls all of them in turn until each is done.
pub(crate) async fn all_at_once<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in all.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(cx) {
                *done = Some(output);
            }
        }
        match all.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn s13_a_get_never_decides() {
    let server = Harness::new().await;
    let page = server.authorize("&state=s1").await;
    for decision in ["allow", "deny"] {
        let target = format!("/auth/authorize?{}", form(&page, decision));
        let again = server.get(&target, Some("alice")).await;
        assert_eq!(again.hidden("csrf"), page.hidden("csrf"));
    }
    let answer = server.decide(&page, "alice", "allow").await;
    assert!(answer.parameter("code").is_some());
}

// req: mcp-sec-10, 6749-10.2-3, oauth21-7.9-1
#[tokio::test]
async fn mcp_the_page_says_who_asks_for_what_whose_account_it_is_and_where_the_answer_goes() {
    let server = Harness::new().await;
    let page = server.authorize("&scope=ledger.read+ledger.write").await;
    for part in [
        "<h1>Allow <bdi>Harbor App</bdi> to use your account?</h1>",
        "Read your ledger <code>ledger.read</code>",
        "<li><code>ledger.write</code></li>",
        &format!("<bdi>{LEDGER}</bdi>"),
        "<bdi>alice</bdi>",
        "<bdi>app.harbor.test</bdi>",
        "<bdi>app</bdi>",
        "action=\"/auth/authorize\"",
    ] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    assert!(!page.text().contains("vouched"));
}

// req: 9700-4.16-1, 9700-4.16-2, http-page-1, 9700-4.2.4-2
#[tokio::test]
async fn s14_every_page_is_kept_by_nobody_framed_by_nobody_and_runs_nothing() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let consent = server.authorize("").await;
    let forged = server
        .submit("/auth/authorize", "bob", &form(&consent, "allow"))
        .await;
    server.decide(&consent, "alice", "deny").await;
    let (_, user_code) = server.device().await;
    let device = server.enter(&user_code, "alice").await;
    let form = format!("user_code={user_code}");
    let pages = [
        server.decide(&consent, "alice", "allow").await,
        server.get("/auth/authorize?client_id=x", None).await,
        server.get("/auth/authorize?interaction=x", None).await,
        server.get("/device", None).await,
        server.get("/device?user_code=a&user_code=b", None).await,
        server.post("/device", &form).await,
        server.submit("/device", "alice", "user_code=x").await,
        server.decide(&device, "alice", "allow").await,
        device,
        consent,
        forged,
    ];
    for page in pages {
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        let text = page.text();
        assert!(
            !text.contains("<script") && !text.contains("src="),
            "{text}"
        );
        assert!(!page.headers.contains_key("set-cookie"));
    }
}

// req: 7591-2.2-3
#[tokio::test]
async fn s14_hostile_texts_are_shown_as_texts() {
    let probes = [
        "\"><script>alert(1)</script>",
        "'><img src=x onerror=alert(1)>",
        "</title><svg onload=alert(1)>",
        "javascript:alert(1)",
        "{{7*7}}${7*7}<%= 7*7 %>",
        "\u{202e}gnihsihp",
    ];
    let server = Harness::new().await;
    let plain = server.authorize("&state=plain").await.text();
    let tags = |text: &str| text.matches('<').count();
    for (n, probe) in probes.iter().enumerate() {
        let client = Client::public(format!("c{n}").parse().unwrap())
            .name(*probe)
            .redirect_uri("https://app.harbor.test/cb".parse().unwrap());
        server.oauth.clients().create(client).await.unwrap();
        let encoded: String = url::form_urlencoded::byte_serialize(probe.as_bytes()).collect();
        let request = authorization_request(&format!("c{n}"), &format!("&state={encoded}"));
        // Who is signed in is a text as well.
        let page = server.get(&request, Some("<b>mallory</b>")).await.text();
        assert_eq!(tags(&page), tags(&plain), "{page}");
        assert!(!page.contains("<b>") && !page.contains('\u{202e}') && !page.contains(">49"));
        for query in [
            format!("client_id={encoded}"),
            format!("client_id=app&redirect_uri={encoded}"),
            format!("interaction={encoded}"),
        ] {
            let page = server.get(&format!("/auth/authorize?{query}"), None).await;
            page.page(400);
            assert!(!page.text().contains("alert") && !page.text().contains("7*7"));
        }
        let page = server
            .get(&format!("/device?user_code={encoded}"), None)
            .await;
        assert_eq!(page.status, 200);
        let code = page
            .text()
            .split("value=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned();
        assert!(
            code.chars()
                .all(|c| c == '-' || "BCDFGHJKLMNPQRSTVWXZ".contains(c)),
            "{code}"
        );
        let entered = server
            .submit("/device", "alice", &format!("user_code={encoded}"))
            .await;
        entered.page(400);
        assert!(!entered.text().contains("alert("));
    }
}

/// Whether alice is asked when this request comes a second time, after she allowed it once.
async fn asked_again(server: &Harness, first: &str, second: &str) -> bool {
    let page = server.get(first, Some("alice")).await;
    assert_eq!(page.status, 200, "{page:?}");
    let answer = server.decide(&page, "alice", "allow").await;
    assert!(answer.parameter("code").is_some());
    let answer = server.get(second, Some("alice")).await;
    assert!(answer.status == 200 || answer.parameter("code").is_some());
    answer.status == 200
}

// req: 6749-10.2-4, 8252-8.6-1, 6749-10.1-2
#[tokio::test]
async fn rfc6749_10_2_a_yes_is_remembered_only_where_the_answer_goes_to_an_https_address_that_the_host_vouched_for()
 {
    for (uri, asked) in [
        ("https://app.harbor.test/x", false),
        ("http://127.0.0.1/cb", true),
        ("http://[::1]/cb", true),
        ("http://localhost:3000/cb", true),
        ("com.harbor.app:/cb", true),
    ] {
        let server = Harness::with(|builder| builder.registration(Registration::open())).await;
        let client = Client::public("c".parse().unwrap()).redirect_uri(uri.parse().unwrap());
        server.oauth.clients().create(client).await.unwrap();
        let request = changed(&[("client_id", Some("c")), ("redirect_uri", None)]);
        assert_eq!(
            asked_again(&server, &request, &request).await,
            asked,
            "{uri}"
        );

        let body = format!(r#"{{"redirect_uris":["{uri}"],"token_endpoint_auth_method":"none"}}"#);
        let id = server.register(&body).await.member("client_id");
        let request = changed(&[("client_id", Some(&id)), ("redirect_uri", None)]);
        assert!(asked_again(&server, &request, &request).await, "{uri}");
    }
}

// req: mcp-proxy-1
#[tokio::test]
async fn s13_a_yes_counts_for_that_client_that_person_that_scope_and_that_resource() {
    let request = authorization_request("app", "&scope=ledger.read");
    let more = authorization_request("app", "&scope=ledger.read+ledger.write");
    let files = authorization_request(
        "app",
        "&scope=offline_access&resource=https://api.harbor.test/files",
    );
    let web = authorization_request("web", "&scope=ledger.read");
    for (second, asked) in [
        (&request, false),
        (&more, true),
        (&files, true),
        (&web, true),
    ] {
        let server = Harness::new().await;
        assert_eq!(
            asked_again(&server, &request, second).await,
            asked,
            "{second}"
        );
        assert_eq!(server.get(&request, Some("bob")).await.status, 200);
        assert!(
            server
                .get(&request, None)
                .await
                .location()
                .starts_with("/login")
        );
    }
    // Less than what was allowed is not asked again, and two yeses add up; a no is not remembered.
    let server = Harness::new().await;
    let page = server.get(&request, Some("alice")).await;
    server.decide(&page, "alice", "deny").await;
    assert!(asked_again(&server, &request, &more).await);
    assert!(!asked_again(&server, &more, &request).await);
    assert_eq!(server.get(&more, Some("alice")).await.status, 303);
}

/// Two yeses add up to no third: what was agreed to at one resource was not agreed to at another that knows the same scope.
// req: mcp-proxy-1
#[tokio::test]
async fn s13_a_yes_to_a_scope_at_one_resource_is_none_to_it_at_another() {
    let shared = "https://api.harbor.test/shared";
    let scopes = ["ledger.read", "files.share"];
    let server = Harness::with(|builder| builder.resource(shared, scopes)).await;
    let at = |scope: &str, resource: &str| {
        authorization_request("app", &format!("&scope={scope}&resource={resource}"))
    };
    let (read, share) = (at("ledger.read", LEDGER), at("files.share", shared));
    assert!(asked_again(&server, &read, &share).await);
    let page = server.get(&share, Some("alice")).await;
    server.decide(&page, "alice", "allow").await;
    // Each of the two is remembered, and nothing that is made of both.
    for request in [&read, &share] {
        assert_eq!(server.get(request, Some("alice")).await.status, 303);
    }
    for request in [
        at("ledger.read", shared),
        at("ledger.read+files.share", shared),
        at(&format!("ledger.read&resource={shared}"), LEDGER),
    ] {
        assert_eq!(
            server.get(&request, Some("alice")).await.status,
            200,
            "{request}"
        );
    }
}

#[tokio::test]
async fn s13_a_yes_is_forgotten_when_it_is_taken_back() {
    let alice = Subject::new("alice").unwrap();
    let app = "app".parse().unwrap();
    let request = authorization_request("app", "");
    for way in [
        "grant",
        "subject",
        "subject without a grant",
        "client",
        "disabled client",
    ] {
        let server = Harness::new().await;
        let code = server.code_for("app", "").await;
        if way != "subject without a grant" {
            let tokens = server.post("/auth/token", &redemption("app", &code)).await;
            assert_eq!(tokens.status, 200);
        }
        assert_eq!(server.get(&request, Some("alice")).await.status, 303);
        let (grants, clients) = (server.oauth.grants(), server.oauth.clients());
        match way {
            "grant" => {
                let granted = grants.by_subject(&alice).await.unwrap();
                assert_eq!(granted.len(), 1);
                assert!(grants.revoke(&alice, &granted[0].id).await.unwrap());
            }
            "client" => assert!(grants.revoke_all_of_client(&app).await.unwrap()),
            "disabled client" => {
                assert!(clients.disable(&app, true).await.unwrap());
                assert!(clients.disable(&app, false).await.unwrap());
            }
            _ => grants.revoke_all_of_subject(&alice).await.unwrap(),
        }
        assert_eq!(
            server.get(&request, Some("alice")).await.status,
            200,
            "{way}"
        );
        assert!(!asked_again(&server, &request, &request).await, "{way}");
    }
}

#[tokio::test]
async fn s13_no_parameter_of_a_request_stands_for_a_yes_or_for_who_asks() {
    let server = Harness::new().await;
    for more in [
        "&id_token_hint=x&login_hint=bob&ui_locales=de",
        "&approval_prompt=auto&access_type=offline",
        "&decision=allow",
        "&csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&decision=allow",
        "&sub=bob&subject=bob&user=bob&consent=granted",
    ] {
        let request = authorization_request("app", more);
        let nobody = server.get(&request, None).await;
        assert!(nobody.location().starts_with("/login?"), "{more}");
        let (path, form) = request.split_once('?').unwrap();
        for page in [
            server.get(&request, Some("alice")).await,
            server.submit(path, "alice", form).await,
        ] {
            assert_eq!(page.status, 200, "{more}: {page:?}");
            assert!(!page.headers.contains_key("location"), "{more}");
            // It asks alice, and nothing has been granted by then.
            assert!(page.text().contains("<bdi>alice</bdi>") && !page.text().contains("<bdi>bob<"));
            let granted = server.oauth.grants().by_subject(&alice()).await.unwrap();
            assert!(granted.is_empty(), "{more}");
            let sent = server.decide(&page, "alice", "deny").await;
            sent.redirected_error("access_denied");
        }
    }
}
