//! The page where people type in what their device shows.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tower_oauth::pages::{Page, Pages};
use tower_oauth::server::Limit;
use tower_oauth::types::Client;

use crate::authorization_errors::Faulty;
use crate::support::{Answer, Harness};

async fn entered(server: &Harness, typed: &str) -> Answer {
    let typed: String = url::form_urlencoded::byte_serialize(typed.as_bytes()).collect();
    let form = format!("user_code={typed}");
    server.submit("/device", "alice", &form).await
}

/// A code that no device shows.
fn wrong(user_code: &str) -> &'static str {
    if user_code == "BBBB-BBBB" {
        "CCCC-CCCC"
    } else {
        "BBBB-BBBB"
    }
}

// req: 8628-6.1-2, 8628-6.1-3
#[tokio::test]
async fn rfc8628_6_1_a_code_is_known_in_any_spelling() {
    let server = Harness::new().await;
    let (_, code) = server.device().await;
    let plain = code.replace('-', "");
    for typed in [
        code.clone(),
        plain.clone(),
        code.to_lowercase(),
        plain.to_lowercase(),
        code.replace('-', " "),
        code.replace('-', "–"),
        format!("  {}.\u{a0}", code.replace('-', " - ")),
        plain.chars().map(|c| format!("{c} ")).collect(),
        format!("{plain}0"), // a character that no code has
    ] {
        let answer = entered(&server, &typed).await;
        assert!(
            answer
                .location()
                .starts_with("/auth/authorize?interaction="),
            "{typed}"
        );
    }
    for typed in [
        &plain[..7],
        &format!("{plain}B"),
        "",
        "--------",
        wrong(&code),
    ] {
        entered(&server, typed).await.page(400);
    }
}

// req: 8628-3.3.1-1, 8628-3.3.1-2, 8628-3.2-4, 8628-3.3-3
#[tokio::test]
async fn rfc8628_3_3_1_the_complete_uri_fills_the_code_in_and_approves_nothing() {
    let server = Harness::new().await;
    let answer = server.post("/auth/device", "client_id=tv").await;
    let complete = answer.member("verification_uri_complete");
    let path = complete.strip_prefix("https://auth.harbor.test").unwrap();
    let code = answer.member("user_code");
    for user in [None, Some("alice")] {
        for target in [
            path.to_owned(),
            path.to_lowercase(),
            format!("{path}&decision=allow"),
        ] {
            let page = server.get(&target, user).await;
            assert_eq!(page.status, 200);
            assert_eq!(page.text().matches(&format!("value=\"{code}\"")).count(), 1);
            assert!(page.text().contains("Did somebody send you a code?"));
            // Who has nothing to type is not told to, but to compare.
            assert!(page.text().contains("only if it shows exactly this code"));
            assert!(!page.text().contains("Type the code"));
        }
    }
    let empty = server.get("/device", None).await;
    assert!(empty.text().contains("value=\"\"") && !empty.text().contains(&code));
    assert!(
        empty
            .text()
            .contains("Type the code that your device shows")
    );
    let device_code = answer.member("device_code");
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    // The page that asks names the device's client, shows the code to compare, and leaves the choice.
    let page = server.enter(&code, "alice").await;
    for part in [
        "Harbor TV",
        "class=\"user-code\"",
        &code,
        "Read your ledger",
        "Allow</button>",
        "Deny</button>",
    ] {
        assert!(page.text().contains(part), "{part}");
    }
    server.advance(5);
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    server.decide(&page, "alice", "deny").await;
    server.poll(&device_code).await.error(400, "access_denied");
}

#[tokio::test]
async fn a_link_without_a_letter_of_a_code_is_one_without_a_code() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let pages = Pages::new().replace(move |page, _| {
        if let Page::DeviceCode(page) = page {
            seen.lock().unwrap().push(page.user_code.clone());
        }
        None
    });
    let server = Harness::with(|builder| builder.pages(pages)).await;
    for query in ["", "?user_code=", "?user_code=123", "?user_code=%3Ci%3E--"] {
        let page = server.get(&format!("/device{query}"), None).await;
        assert_eq!(
            page.text(),
            server.get("/device", None).await.text(),
            "{query}"
        );
    }
    assert!(asked.lock().unwrap().iter().all(Option::is_none));
}

// req: 8628-5.4-1
#[tokio::test]
async fn rfc8628_5_4_people_are_warned_of_codes_that_others_send_them() {
    let server = Harness::new().await;
    let (_, code) = server.device().await;
    let device = server.enter(&code, "alice").await;
    assert!(device.text().contains("You are about to connect a device."));
    assert!(device.text().contains("Did somebody send you this code"));
    let code = server.authorize("").await;
    assert!(!code.text().contains("a device"));
}

// req: 8628-5.1-2
#[tokio::test]
async fn rfc8628_5_1_wrong_expired_used_and_denied_codes_look_alike() {
    let server = Harness::with(|builder| builder.wrong_user_codes(Limit::per_minute(99, 99))).await;
    let (_, expired) = server.device().await;
    server.advance(600);
    let mut codes = vec![wrong(&expired).to_owned(), expired, String::new()];
    for decision in ["allow", "deny"] {
        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, "alice").await;
        server.decide(&page, "alice", decision).await;
        codes.push(user_code);
        if decision == "allow" {
            assert_eq!(server.poll(&device_code).await.status, 200);
        }
    }
    let gone = Client::public("gone".parse().unwrap())
        .grant_types([tower_oauth::types::GrantType::DeviceCode]);
    server.oauth.clients().create(gone).await.unwrap();
    let answer = server.post("/auth/device", "client_id=gone").await;
    let id = "gone".parse().unwrap();
    server.oauth.clients().disable(&id, true).await.unwrap();
    codes.push(answer.member("user_code"));
    let first = entered(&server, &codes[0]).await;
    first.page(400);
    assert!(first.text().contains("This code is not valid"));
    for code in codes {
        let answer = entered(&server, &code).await;
        assert_eq!(
            (answer.status, &answer.body),
            (first.status, &first.body),
            "{code}"
        );
        assert_eq!(answer.headers, first.headers);
    }
}

// req: 8628-5.1-1, 6749-10.10-3
#[tokio::test]
async fn rfc8628_5_1_ten_wrong_codes_a_minute_are_taken_from_one_address_and_a_hundred_from_all() {
    let server = Harness::with(|builder| {
        builder.client_address(|parts| parts.headers.get("x-address")?.to_str().ok()?.parse().ok())
    })
    .await;
    let (_, code) = server.device().await;
    let try_from = async |address: u32, code: &str| {
        let address = IpAddr::from(address.to_be_bytes()).to_string();
        let headers = [("sec-fetch-site", "same-origin"), ("x-address", &address)];
        server
            .post_with("/device", &headers, &format!("user_code={code}"))
            .await
    };
    for _ in 0..10 {
        assert_eq!(
            try_from(1, &code).await.status,
            303,
            "a right code costs nothing"
        );
        try_from(1, wrong(&code)).await.page(400);
    }
    for code in [wrong(&code), &code] {
        let answer = try_from(1, code).await;
        answer.page(429);
        assert_eq!(answer.header("retry-after"), "60");
    }
    assert_eq!(try_from(2, &code).await.status, 303);
    for n in 10..100 {
        try_from(n, wrong(&code)).await.page(400);
    }
    try_from(200, &code).await.page(429);
    server.advance(59);
    try_from(1, &code).await.page(429);
    server.advance(1);
    assert_eq!(try_from(1, &code).await.status, 303);
}

#[tokio::test]
async fn s20_guesses_at_the_same_time_are_counted_as_well() {
    let store = Faulty::default();
    let server = Harness::with(|builder| builder.store(store)).await;
    let (_, code) = server.device().await;
    let guesses = (0..150).map(|_| entered(&server, wrong(&code)));
    let answers = crate::consent::all_at_once(guesses).await;
    let taken = answers.iter().filter(|answer| answer.status == 400);
    assert_eq!(
        taken.count(),
        100,
        "of callers whose address is not known, all together"
    );
    server.advance(60);
    assert_eq!(entered(&server, &code).await.status, 303);
}

// req: 8628-PROJ-1
#[tokio::test]
async fn s07_a_code_is_taken_from_our_own_page_alone() {
    let server = Harness::new().await;
    let (device_code, code) = server.device().await;
    let form = format!("user_code={code}");
    let cases: [&[(&str, &str)]; 5] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
    ];
    for headers in cases {
        let headers = [headers, &[("x-user", "alice")]].concat();
        server.post_with("/device", &headers, &form).await.page(403);
    }
    for headers in [
        ("sec-fetch-site", "same-origin"),
        ("origin", "https://auth.harbor.test"),
    ] {
        let answer = server.post_with("/device", &[headers], &form).await;
        assert!(
            answer
                .location()
                .starts_with("/auth/authorize?interaction=")
        );
    }
    // The page that follows is protected as that of a code request is.
    let page = server.enter(&code, "alice").await;
    let id = page.hidden("interaction");
    for forged in [
        "",
        "&csrf=",
        "&csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let form = format!("interaction={id}&decision=allow{forged}");
        server
            .submit("/auth/authorize", "alice", &form)
            .await
            .page(403);
    }
    server.decide(&page, "bob", "allow").await.page(403);
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
}

#[tokio::test]
async fn s07_a_decision_about_a_device_is_final_whichever_page_it_comes_from() {
    for (first, then) in [("allow", "deny"), ("deny", "allow")] {
        let server = Harness::new().await;
        let (device_code, code) = server.device().await;
        let pages = [
            server.enter(&code, "alice").await,
            server.enter(&code, "bob").await,
        ];
        server
            .poll(&device_code)
            .await
            .error(400, "authorization_pending");
        let done = server.decide(&pages[0], "alice", first).await;
        assert_eq!(done.status, 200, "{done:?}");
        for (page, user) in pages.iter().zip(["alice", "bob"]) {
            for decision in [then, first] {
                let late = server.decide(page, user, decision).await;
                // Who has decided it is told the same again.
                if (user, decision) == ("alice", first) {
                    assert_eq!((late.status, &late.body), (done.status, &done.body));
                    continue;
                }
                late.page(400);
                assert!(late.text().contains("Already answered"));
            }
        }
        let answer = server.poll(&device_code).await;
        if first == "deny" {
            answer.error(400, "access_denied");
            server.poll(&device_code).await.error(400, "access_denied");
            continue;
        }
        let told = server.introspect(&answer.member("access_token")).await;
        assert_eq!(told["sub"], "alice");
    }
}

#[tokio::test]
async fn s07_a_page_that_was_left_open_decides_nothing_once_the_device_gave_up() {
    let server = Harness::new().await;
    let (device_code, code) = server.device().await;
    server.advance(590);
    let page = server.enter(&code, "alice").await;
    server.advance(10);
    server.decide(&page, "alice", "allow").await.page(400);
    server.poll(&device_code).await.error(400, "expired_token");
    // A device is never connected without being asked about, however often it was before.
    for _ in 0..2 {
        let (_, code) = server.device().await;
        let page = server.enter(&code, "alice").await;
        assert_eq!(server.decide(&page, "alice", "allow").await.status, 200);
    }
}

#[tokio::test]
async fn s07_nobody_is_asked_about_a_device_that_has_given_up() {
    let server = Harness::new().await;
    let (_, code) = server.device().await;
    server.advance(590);
    let page = server.enter(&code, "alice").await;
    let path = server.oauth.resume_path(&page.hidden("interaction"));
    server.advance(9);
    assert_eq!(server.get(&path, Some("alice")).await.status, 200);
    server.advance(1);
    server.get(&path, Some("alice")).await.page(400);
}

// req: 8628-PROJ-2
#[tokio::test]
async fn rfc8628_who_is_not_signed_in_goes_by_the_login_and_every_device_is_its_own() {
    let server = Harness::new().await;
    let (one, other) = (server.device().await, server.device().await);
    let form = format!("user_code={}", one.1);
    let headers = [("sec-fetch-site", "same-origin")];
    let entered = server.post_with("/device", &headers, &form).await;
    let login = server.get(&entered.location(), None).await;
    assert!(login.location().starts_with("/login?interaction="));
    let id = login.parameter("interaction").unwrap();
    let page = server
        .get(&server.oauth.resume_path(&id), Some("alice"))
        .await;
    assert!(page.text().contains(&one.1) && !page.text().contains(&other.1));
    server.decide(&page, "alice", "allow").await;
    server
        .poll(&other.0)
        .await
        .error(400, "authorization_pending");
    assert_eq!(server.poll(&one.0).await.status, 200);
}
