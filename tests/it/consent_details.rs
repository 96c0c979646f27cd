//! What the consent page tells of a client, of a device, and of how long a yes lasts.

use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use tower_oauth::types::{Body, Client, GrantType, RedirectUri};
use tower_oauth::{Decision, Interaction, PendingRequest};

use crate::register::{PUBLIC, open, with};
use crate::support::{CALLBACK, DEVICE_CODE, Harness, SECRET, authorization_request, changed};

const DEVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// [`CALLBACK`], as it stands in an authorization request.
pub(crate) const AT_CALLBACK: &str = "https%3A%2F%2Fapp.harbor.test%2Fcb";

const DEVICE_CODE_URN: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn link(label: &str, url: &str) -> String {
    format!(
        "<dt>{label}</dt>\n<dd><a href=\"{url}\" rel=\"noreferrer noopener\" target=\"_blank\"><bdi>{url}</bdi></a></dd>"
    )
}

// req: 7591-2-10
#[tokio::test]
async fn rfc7591_2_people_are_shown_where_a_client_tells_about_itself() {
    let server = Harness::new().await;
    let callback: RedirectUri = CALLBACK.parse().unwrap();
    let (site, privacy, terms) = (
        "https://about.test/",
        "https://about.test/p?a=1",
        "https://law.test/t",
    );
    let client = Client::public("linked".parse().unwrap())
        .redirect_uri(callback.clone())
        .client_uri(site)
        .policy_uri(privacy)
        .tos_uri(terms);
    server.create(client).await;
    let page = server
        .get(&authorization_request("linked", ""), Some("alice"))
        .await;
    for part in [
        link("Website", site),
        link("Privacy policy", privacy),
        link("Terms of service", terms),
    ] {
        assert!(page.text().contains(&part), "{part} in {}", page.text());
    }
    // Nothing of theirs is loaded, and nothing but https is linked to.
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let hostile = Client::public("hostile".parse().unwrap())
        .redirect_uri(callback)
        .client_uri("javascript:alert(1)")
        .policy_uri("http://plain.test/")
        .tos_uri("https://law.test/\"><script>alert(1)</script>");
    server.create(hostile).await;
    let page = server
        .get(&authorization_request("hostile", ""), Some("alice"))
        .await
        .text();
    for part in ["javascript:", "plain.test", "<script", "t/\">"] {
        assert!(!page.contains(part), "{part} in {page}");
    }
    assert_eq!(page.matches("<a ").count(), 1);
    let bare = server.authorize("").await.text();
    assert!(!bare.contains("<a ") && !bare.contains("Website"));
}

// req: 7591-5-6
#[tokio::test]
async fn rfc7591_5_links_of_a_client_that_registered_itself_are_on_a_host_its_answers_go_to() {
    let server = open().await;
    for (uri, is_shown) in [
        ("https://app.harbor.test/about", true),
        ("https://app.harbor.test", true),
        ("http://app.harbor.test/about", false),
        ("https://harbor.test/", false),
        ("https://app.harbor.test.evil.test/", false),
        ("https://app.harbor.test@evil.test/", false),
        ("https://evil.test/?https://app.harbor.test/", false),
    ] {
        let members =
            format!(r#"{PUBLIC},"client_uri":"{uri}","logo_uri":"{uri}","tos_uri":"{uri}""#);
        let told = with(&server, &members).await;
        assert_eq!(told.member("client_uri"), uri);
        let id = told.member("client_id");
        let page = server
            .get(&authorization_request(&id, ""), Some("alice"))
            .await
            .text();
        assert_eq!(page.contains(&link("Website", uri)), is_shown, "{uri}");
        assert_eq!(
            page.matches("<a ").count(),
            if is_shown { 2 } else { 0 },
            "{uri}"
        );
        assert!(!page.contains("<img"));
    }
}

/// A client that says that it is somebody else, and names addresses of theirs besides its own.
pub(crate) async fn pretender(server: &Harness, redirect_uris: &[&str]) -> String {
    let registered = serde_json::json!({
        "client_name": "Bank",
        "redirect_uris": redirect_uris,
        "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE_URN],
        "client_uri": "https://bank.test/",
        "tos_uri": "https://bank.test/terms",
        "token_endpoint_auth_method": "none",
    });
    let answer = server.register(&registered.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.member("client_id")
}

// req: 7591-5-6
#[tokio::test]
async fn rfc7591_5_an_address_that_a_client_registers_and_does_not_use_vouches_for_no_link() {
    let server = open().await;
    for own in [
        "https://evil.test/cb",
        "com.evil.app://bank.test/cb",
        "http://127.0.0.1/cb",
    ] {
        let id = pretender(&server, &["https://bank.test/cb", own]).await;
        let theirs = authorization_request(&id, "").replace(AT_CALLBACK, "https://bank.test/cb");
        let page = server.get(&theirs, Some("alice")).await.text();
        assert_eq!(page.matches("<a ").count(), 2, "{page}");
        let request = authorization_request(&id, "").replace(AT_CALLBACK, own);
        let page = server.get(&request, Some("alice")).await;
        assert_eq!(page.status, 200, "{own}");
        assert!(!page.text().contains("bank.test/"), "{}", page.text());
        let view = Request::get(format!(
            "/auth/authorize?interaction={}",
            page.hidden("interaction")
        ));
        let view = view
            .header("accept", "application/json")
            .header("x-user", "alice");
        let view = server.send(view.body(Full::default()).unwrap()).await;
        let client = &view.json()["client"];
        assert!(client.get("client_uri").is_none(), "{client}");
    }
    // To whom a device is connected nobody can say.
    let id = pretender(&server, &["https://bank.test/cb"]).await;
    let form = format!("client_id={id}&scope=ledger.read");
    let user_code = server.post("/auth/device", &form).await.member("user_code");
    let page = server.enter(&user_code, "alice").await.text();
    assert!(
        page.contains("Bank") && !page.contains("bank.test"),
        "{page}"
    );
}

/// A host with pages of its own, which says what it knows.
struct Tells;

impl Interaction for Tells {
    async fn decide(&self, pending: &PendingRequest, _: &Parts) -> Decision {
        let text = format!(
            "{:?} {} {:?} {:?} {:?}",
            pending.client().client_name(),
            pending.scope(),
            pending.lifetime(),
            pending.device_address(),
            pending.device_asked_at().map(|at| at.as_secs()),
        );
        Decision::Respond(Response::new(Body::from(text)))
    }
}

// req: 6749-10.2-3
#[tokio::test]
async fn rfc6749_10_2_the_owner_is_shown_client_scope_and_lifetime() {
    let day = Duration::from_secs(24 * 3600);
    for (lifetime, words) in [
        (30 * day, "at most 30 days"),
        (365 * day, "at most 365 days"),
    ] {
        let server = Harness::with(|builder| {
            builder
                .refresh_token_lifetime(day)
                .refresh_family_lifetime(lifetime)
        })
        .await;
        let once = Client::public("once".parse().unwrap())
            .redirect_uri(CALLBACK.parse().unwrap())
            .grant_types([GrantType::AuthorizationCode]);
        server.create(once).await;
        let page = server.authorize("").await.text();
        for part in ["Harbor App", "Read your ledger", "<bdi>alice</bdi>", words] {
            assert!(page.contains(part), "{part} in {page}");
        }
        // Without refresh tokens it is over with the access token.
        let page = server
            .get(&authorization_request("once", ""), Some("alice"))
            .await;
        assert!(
            page.text().contains("at most 10 minutes"),
            "{}",
            page.text()
        );
    }
    let server = Harness::with(|builder| builder.interaction("/login", Tells)).await;
    let told = server.get(&changed(&[]), None).await.text();
    assert_eq!(told, "Some(\"Harbor App\") ledger.read 7776000s None None");
}

// req: 8628-5.4-2
#[tokio::test]
async fn rfc8628_5_4_people_are_told_from_where_and_when_a_device_asked() {
    let server = Harness::with(|builder| builder.client_address(|_| Some(DEVICE))).await;
    for (wait, words) in [
        (0, "just now"),
        (61, "a minute ago"),
        (120, "2 minutes ago"),
    ] {
        let (_, user_code) = server.device().await;
        server.advance(wait);
        let page = server.enter(&user_code, "alice").await.text();
        for part in [
            "<bdi>192.0.2.7</bdi>",
            words,
            &user_code,
            "Did somebody send you this code",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
    let unknown = Harness::new().await;
    let (_, user_code) = unknown.device().await;
    let page = unknown.enter(&user_code, "alice").await.text();
    assert!(!page.contains("The device asked from") && page.contains("just now"));
    // A host with pages of its own is told the same.
    let server = Harness::with(|builder| {
        builder
            .interaction("/login", Tells)
            .client_address(|_| Some(DEVICE))
    })
    .await;
    let (_, user_code) = server.device().await;
    let told = server.enter(&user_code, "alice").await.text();
    assert_eq!(
        told,
        "Some(\"Harbor TV\") ledger.read 7776000s Some(192.0.2.7) Some(1795348800)"
    );
}

// req: 8628-5.6-1
#[tokio::test]
async fn rfc8628_5_6_a_secret_in_a_device_spares_nobody_the_question() {
    let server = Harness::new().await;
    // Alice has agreed to all that this client asks for, and that is remembered where it may be.
    let code = server.code_for("web", "").await;
    assert!(!code.is_empty());
    let again = server
        .get(&authorization_request("web", ""), Some("alice"))
        .await;
    assert!(again.parameter("code").is_some());
    for _ in 0..2 {
        let answer = server
            .post_as("/auth/device", ("web", SECRET), "scope=ledger.read")
            .await;
        let page = server.enter(&answer.member("user_code"), "alice").await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("You are about to connect a device."));
        let form = format!(
            "grant_type={DEVICE_CODE}&device_code={}",
            answer.member("device_code")
        );
        server.web(&form).await.error(400, "authorization_pending");
        server.decide(&page, "alice", "allow").await;
        server.advance(5);
        assert_eq!(server.web(&form).await.status, 200);
    }
}
