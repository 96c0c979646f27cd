//! What is asked for at the authorization endpoint: scopes and resources.

use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, Subject};

use crate::support::{CALLBACK, FILES, Harness, ISSUER, LEDGER, authorization_request, redemption};

// req: 6749-3.3-1, 6749-3.3-2, 6749-4.1.2.1-8, 6749-10.3-3
#[tokio::test]
async fn rfc6749_3_3_a_scope_is_known_allowed_and_well_formed_or_refused() {
    let server = Harness::new().await;
    let narrow = Client::public("narrow".parse().unwrap())
        .redirect_uri(CALLBACK.parse().unwrap())
        .scope("ledger.read".parse().unwrap());
    server.oauth.clients().create(narrow).await.unwrap();
    for (client, scope) in [
        ("app", "nope"),
        ("app", "ledger.read+nope"),
        ("app", "Ledger.read"),
        ("app", "ledger.read%22"),
        ("app", "ledger%5Cread"),
        ("app", "ledger.read%09ledger.write"),
        ("app", "l%C3%A9dger"),
        ("app", "ledger.read+files.read"), // of two resources, and none is named
        ("narrow", "ledger.write"),
        ("narrow", "ledger.read+ledger.write"),
    ] {
        let request = authorization_request(client, &format!("&scope={scope}"));
        let answer = server.get(&request, Some("alice")).await;
        answer.redirected_error("invalid_scope");
    }
    for scope in [
        "ledger.write+ledger.read",
        "ledger.read+ledger.write",
        "+ledger.read++ledger.write+ledger.read+",
    ] {
        let tokens = server.tokens(&format!("&scope={scope}")).await;
        assert_eq!(tokens.member("scope"), "ledger.read ledger.write");
    }
    let code = server.code_for("narrow", "&scope=ledger.read").await;
    let tokens = server
        .post("/auth/token", &redemption("narrow", &code))
        .await;
    assert_eq!(tokens.member("scope"), "ledger.read");
}

// req: con-scope-1
#[tokio::test]
async fn con_scope_1_a_scope_that_is_not_known_is_refused_and_not_left_out() {
    let server = Harness::new().await;
    for scope in ["openid", "profile", "ledger.read+openid", "openid+nope"] {
        let request = authorization_request("app", &format!("&scope={scope}"));
        let answer = server.allow(&request).await;
        answer.redirected_error("invalid_scope");
        let form = format!("client_id=tv&scope={scope}");
        let answer = server.post("/auth/device", &form).await;
        answer.error(400, "invalid_scope");
    }
    // A host that knows it says so.
    let openid = Harness::with(|builder| builder.scopes(["openid"])).await;
    let tokens = openid.tokens("&scope=ledger.read+openid").await;
    assert_eq!(tokens.member("scope"), "ledger.read openid");
}

// req: 6749-3.3-5
#[tokio::test]
async fn rfc6749_3_3_without_a_scope_there_is_a_default_or_an_error() {
    let server = Harness::new().await;
    assert_eq!(server.tokens("").await.member("scope"), "ledger.read");
    let without = AuthorizationServer::builder(ISSUER)
        .resource(LEDGER, ["ledger.read"])
        .login("/login", |_| Subject::new("alice").ok());
    let without = Harness::of(without).await;
    without
        .authorize("")
        .await
        .redirected_error("invalid_scope");
    assert_eq!(without.authorize("&scope=ledger.read").await.status, 200);
}

// req: 8707-2-1, 8707-2-2, 8707-2-7, 8707-2.1-3
#[tokio::test]
async fn rfc8707_2_a_resource_is_an_absolute_known_uri_or_refused() {
    let server = Harness::new().await;
    for resource in [
        "ledger",
        "/ledger",
        "https:auth.harbor.test/ledger",
        "https://auth.harbor.test/ledger%23x",
        "https://auth.harbor.test/ledger%23",
        "https://evil.test",
        "https://auth.harbor.test/ledger/",
        "https://auth.harbor.test/Ledger",
        "https://auth.harbor.test",
    ] {
        let answer = server
            .authorize(&format!("&state=s1&resource={resource}"))
            .await;
        answer.redirected_error("invalid_target");
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
        let both = format!("&resource={LEDGER}&resource={resource}");
        server
            .authorize(&both)
            .await
            .redirected_error("invalid_target");
    }
    assert_eq!(
        server
            .authorize(&format!("&resource={LEDGER}"))
            .await
            .status,
        200
    );
}

// req: 8707-2-5, 8707-2.1-1, 8707-2.1-2, 8707-PROJ-1
#[tokio::test]
async fn rfc8707_2_1_tokens_are_meant_for_the_resources_that_were_asked_for_and_no_others() {
    let server = Harness::new().await;
    for (more, audience) in [
        ("", vec![LEDGER]),
        (&*format!("&resource={FILES}&scope=files.read"), vec![FILES]),
        (
            &*format!("&resource={LEDGER}&resource={FILES}&scope=ledger.read+files.read"),
            vec![LEDGER, FILES],
        ),
    ] {
        let tokens = server.tokens(more).await;
        let again = server.refresh(&tokens.member("refresh_token"), "").await;
        for answer in [&tokens, &again] {
            let told = server.introspect(&answer.member("access_token")).await;
            let aud = match &told["aud"] {
                serde_json::Value::String(one) => vec![one.as_str()],
                many => many
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|aud| aud.as_str())
                    .collect(),
            };
            assert_eq!(aud, audience);
        }
    }
    let unknown = server.authorize("&resource=https://evil.test").await;
    unknown.redirected_error("invalid_target");
}

// req: mcp-res-3, 8707-3-1, tol-resource-1, 8707-PROJ-2
#[tokio::test]
async fn mcp_a_resource_may_be_written_with_capitals_in_scheme_and_host_and_is_ignored_where_none_is_known()
 {
    let server = Harness::new().await;
    let capitals = server
        .authorize("&resource=HTTPS://AUTH.Harbor.Test/ledger")
        .await;
    assert_eq!(capitals.status, 200);
    let tenant = server
        .authorize("&resource=https://auth.harbor.test/ledger/t/1")
        .await;
    tenant.redirected_error("invalid_target");
    let none = AuthorizationServer::builder(ISSUER).login("/login", |_| Subject::new("alice").ok());
    let none = Harness::of(none).await;
    for resource in ["", "&resource=https://anything.test/mcp"] {
        assert_eq!(none.authorize(resource).await.status, 200, "{resource}");
    }
}
