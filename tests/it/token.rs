//! The token endpoint (RFC 6749 §3.2, §5): grants, errors, and a client that speaks for itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tower_oauth::types::{Client, GrantType, Secret};
use tower_oauth::{AuthorizationServer, MemoryStore};

use crate::support::{
    Answer, FILES, FOR_ITSELF, Harness, ISSUER, LEDGER, SECRET, basic, redemption,
};

// req: 6749-5.1-1, 6749-5.1-2, 6749-5.1-3, 6749-4.4.3-1
#[tokio::test]
async fn rfc6749_4_4_a_confidential_client_gets_a_token_for_itself() {
    let server = Harness::new().await;
    let answer = server.web(FOR_ITSELF).await;
    let token = answer.access_token();
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "access_token": token, "token_type": "Bearer", "expires_in": 600, "scope": "ledger.read",
        })
    );
    assert!(server.is_active(&token).await);
}

// req: 6749-4.4-1, 6749-4.4.2-1, 6749-5.2-9
#[tokio::test]
async fn rfc6749_4_4_nobody_else_gets_one() {
    let server = Harness::new().await;
    // Even a public client that somebody registered for it.
    let public = Client::public("public".parse().unwrap());
    server
        .create(public.grant_types([GrantType::ClientCredentials]))
        .await;
    for client in ["public", "app", "tv"] {
        let form = format!("{FOR_ITSELF}&client_id={client}");
        let answer = server.post("/auth/token", &form).await;
        answer.error(400, "unauthorized_client");
    }
    let not_registered = server
        .post_as(
            "/auth/token",
            ("rs", "rs-secret-0123456789-0123456789-0123456789"),
            FOR_ITSELF,
        )
        .await;
    not_registered.error(400, "unauthorized_client");
    let wrong = server
        .post_as("/auth/token", ("web", "wrong"), FOR_ITSELF)
        .await;
    wrong.error(401, "invalid_client");
}

// req: 6749-5.2-10, 6749-A-2
#[tokio::test]
async fn rfc6749_5_2_a_grant_type_that_is_not_served_is_named_as_that() {
    let server = Harness::new().await;
    for grant_type in [
        "implicit",
        "Authorization_Code",
        "authorization_code+",
        "client_credentials+refresh_token",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:x-harbor:grant:door",
        "%C3%A9",
        "a b",
    ] {
        let answer = server.web(&format!("grant_type={grant_type}")).await;
        answer.error(400, "unsupported_grant_type");
    }
    for form in ["grant_type=", "grant_type", "scope=ledger.read", ""] {
        server.web(form).await.error(400, "invalid_request");
    }
}

// req: 6749-4.3-1, 9700-2.4-1, 6749-10.7-1
#[tokio::test]
async fn rfc9700_2_4_the_password_grant_is_not_offered() {
    let server = Harness::new().await;
    let form = "grant_type=password&username=alice&password=secret";
    server.web(form).await.error(400, "unsupported_grant_type");
    let of_app = server
        .post("/auth/token", &format!("{form}&client_id=app"))
        .await;
    of_app.error(400, "unsupported_grant_type");
}

// req: 6749-5.2-12, 6749-5.2-2
#[tokio::test]
async fn rfc6749_5_2_an_error_is_one_code_and_a_fixed_sentence_and_nothing_is_echoed() {
    let server = Harness::new().await;
    let code = server.code_for("web", "").await;
    let hostile = "%22%5C%0D%0A%3Cscript%3Emarker";
    for form in [
        format!("grant_type={hostile}"),
        format!("grant_type=authorization_code&code={hostile}&code_verifier={hostile}"),
        redemption("web", hostile),
        redemption("web", &code).replace("/cb", hostile),
        format!("grant_type=refresh_token&refresh_token={hostile}"),
        format!("{FOR_ITSELF}&client_id={hostile}"),
        format!("{FOR_ITSELF}&resource={hostile}"),
        format!("grant_type=client_credentials&scope={hostile}"),
        format!("grant_type=client_credentials&scope={hostile}&scope={hostile}"),
        format!("{hostile}={hostile}"),
        "grant_type=%zzmarker".to_owned(),
    ] {
        let answer = server.web(&form).await;
        assert!(answer.status.is_client_error(), "{form}");
        let json = answer.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "{answer:?}");
        for member in ["error", "error_description"] {
            let text = json[member].as_str().unwrap();
            let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            assert!(text.bytes().all(allowed) && !text.is_empty(), "{text:?}");
        }
        assert!(!format!("{answer:?}").contains("marker"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_login_has_only_the_grant_that_needs_none() {
    let oauth = AuthorizationServer::builder(ISSUER)
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let client = Client::confidential("web".parse().unwrap(), &Secret::new(SECRET))
        .grant_types([GrantType::AuthorizationCode, GrantType::ClientCredentials]);
    oauth.clients().create(client).await.unwrap();
    let ask = async |form: &str| {
        let request = http::Request::post("/auth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", basic("web", SECRET))
            .body(http_body_util::Full::<bytes::Bytes>::from(form.to_owned()))
            .unwrap();
        let answer = tower::ServiceExt::oneshot(oauth.service(), request).await;
        Answer::of(answer.unwrap()).await
    };
    let answer = ask("grant_type=client_credentials").await;
    answer.access_token();
    assert!(answer.json().get("scope").is_none(), "there is none here");
    ask(&redemption("web", "x"))
        .await
        .error(400, "unsupported_grant_type");
}

// req: 6749-3.3-1, 6749-3.3-5, tol-scope-1, 6749-10.3-3
#[tokio::test]
async fn rfc6749_3_3_a_scope_is_known_well_formed_and_allowed_or_the_default() {
    let server = Harness::new().await;
    let limited = Client::confidential("limited".parse().unwrap(), &Secret::new(SECRET))
        .grant_types([GrantType::ClientCredentials])
        .scope("ledger.read files.read".parse().unwrap());
    server.create(limited).await;
    for (client, asked, granted) in [
        ("web", "", Ok("ledger.read")), // the default
        ("web", "&scope=", Ok("ledger.read")),
        (
            "web",
            "&scope=ledger.write+ledger.read",
            Ok("ledger.read ledger.write"),
        ),
        (
            "web",
            "&scope=+ledger.write++ledger.read+ledger.write+",
            Ok("ledger.read ledger.write"),
        ),
        (
            "web",
            "&scope=offline_access+ledger.read",
            Ok("ledger.read offline_access"),
        ),
        ("web", "&scope=nope", Err("invalid_scope")),
        ("web", "&scope=ledger.read+nope", Err("invalid_scope")),
        ("web", "&scope=Ledger.read", Err("invalid_scope")),
        ("web", "&scope=a%22b", Err("invalid_scope")),
        ("web", "&scope=a%5Cb", Err("invalid_scope")),
        (
            "web",
            "&scope=ledger.read%09files.read",
            Err("invalid_scope"),
        ),
        ("web", "&scope=%C3%A9", Err("invalid_scope")),
        ("web", "&scope=files.read", Ok("files.read")), // whose it is, it says
        ("web", "&scope=files.read+ledger.read", Err("invalid_scope")), // of two resources, and none is named
        ("limited", "", Ok("ledger.read")),
        ("limited", "&scope=ledger.read", Ok("ledger.read")),
        ("limited", "&scope=ledger.write", Err("invalid_scope")),
    ] {
        let form = format!("grant_type=client_credentials{asked}");
        let answer = server.post_as("/auth/token", (client, SECRET), &form).await;
        match granted {
            Ok(scope) => {
                let told = server.introspect(&answer.access_token()).await;
                assert_eq!(answer.member("scope"), scope, "{client} {asked}");
                assert_eq!(told["scope"], scope, "{client} {asked}");
            }
            Err(error) => answer.error(400, error),
        }
    }
}

// req: 9700-2.3-1
#[tokio::test]
async fn without_a_default_scope_a_client_gets_what_it_was_registered_with() {
    let clock = tower_oauth::types::ManualClock::new(crate::support::NOW);
    let oauth = AuthorizationServer::builder(ISSUER)
        .store(MemoryStore::new())
        .clock(clock)
        .scopes(["a", "b"])
        .build()
        .unwrap();
    for (client, scope) in [("none", None), ("some", Some("b unknown"))] {
        let new = Client::confidential(client.parse().unwrap(), &Secret::new(SECRET))
            .grant_types([GrantType::ClientCredentials]);
        let new = match scope {
            Some(scope) => new.scope(scope.parse().unwrap()),
            None => new,
        };
        oauth.clients().create(new).await.unwrap();
        let request = http::Request::post("/auth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", basic(client, SECRET))
            .body(http_body_util::Full::<bytes::Bytes>::from(
                "grant_type=client_credentials",
            ))
            .unwrap();
        let answer = tower::ServiceExt::oneshot(oauth.service(), request).await;
        let answer = Answer::of(answer.unwrap()).await;
        match scope {
            Some(_) => assert_eq!(answer.member("scope"), "b"),
            None => answer.error(400, "invalid_scope"),
        }
    }
}

// req: 8707-2-1, 8707-2-2, 8707-PROJ-1, 8707-2.2-1
#[tokio::test]
async fn rfc8707_2_a_resource_is_known_and_becomes_the_audience() {
    let server = Harness::new().await;
    let both = format!("&resource={LEDGER}&resource={FILES}");
    for (asked, granted) in [
        ("", Ok(vec![LEDGER])),
        ("&resource=", Ok(vec![LEDGER])),
        (
            "&resource=https://auth.harbor.test/ledger",
            Ok(vec![LEDGER]),
        ),
        (
            "&resource=HTTPS://AUTH.harbor.test/ledger",
            Ok(vec![LEDGER]), // as it is configured, not as it was asked for
        ),
        (&both, Ok(vec![LEDGER, FILES])),
        ("&resource=ledger", Err("invalid_target")),
        ("&resource=/ledger", Err("invalid_target")),
        ("&resource=https://evil.test", Err("invalid_target")),
        ("&resource=https://auth.harbor.test", Err("invalid_target")),
        (
            "&resource=https://auth.harbor.test/ledger/",
            Err("invalid_target"),
        ),
        (
            "&resource=https://auth.harbor.test/ledger%23x",
            Err("invalid_target"),
        ),
        (
            "&resource=https://auth.harbor.test/ledger&resource=https://evil.test",
            Err("invalid_target"),
        ),
    ] {
        let answer = server.web(&format!("{FOR_ITSELF}{asked}")).await;
        match granted {
            Ok(audience) => {
                let told = server.introspect(&answer.access_token()).await;
                assert_eq!(told["aud"], serde_json::json!(audience), "{asked}");
            }
            Err(error) => answer.error(400, error),
        }
    }
}

// req: 8707-3-1, 9700-2.3-2
#[tokio::test]
async fn rfc8707_3_the_path_tells_one_tenant_from_another() {
    let server = Harness::with(|builder| {
        builder
            .resource("https://api.harbor.test/t/1", ["ledger.read"])
            .resource("https://api.harbor.test/t/2", ["ledger.read"])
    })
    .await;
    for resource in ["https://api.harbor.test/t/1", "https://api.harbor.test/t/2"] {
        let form = format!("{FOR_ITSELF}&resource={resource}");
        let token = server.web(&form).await.access_token();
        let told = server.introspect(&token).await;
        assert_eq!(told["aud"], serde_json::json!([resource]));
    }
}

// req: 6749-10.10-1, 6749-10.10-2, 6750-5.2-1
#[tokio::test]
async fn rfc6749_10_10_what_is_issued_is_256_bits_and_never_twice_the_same() {
    let server = Harness::new().await;
    let web = "web".parse().unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let code = server.code_for("app", "").await;
        let (access, refresh) = server.redeem(&code).await.pair();
        let (device_code, _) = server.device().await;
        let secret = server.oauth.clients().rotate_secret(&web).await.unwrap();
        for (text, bytes) in [
            (code.as_str(), 32),
            (access.strip_prefix("toa_").unwrap().split_at(8).1, 32),
            (refresh.strip_prefix("tor_").unwrap(), 32 + 4 + 32),
            (&device_code, 32),
            (secret.unwrap().expose(), 32),
        ] {
            let decoded = URL_SAFE_NO_PAD.decode(text).unwrap();
            assert_eq!(decoded.len(), bytes, "{text}");
            let tail = decoded[decoded.len() - 16..].to_vec();
            assert!(seen.insert(decoded[..16].to_vec()) && seen.insert(tail));
        }
    }
}

// req: tol-null-1, 6749-5.2-13, 7662-2.2-4
#[tokio::test]
async fn tol_null_1_no_answer_has_a_null_or_a_number_in_quotes() {
    let server = Harness::new().await;
    let tokens = server.tokens("").await;
    let told = server.introspect(&tokens.access_token()).await;
    let device = server.post("/auth/device", "client_id=tv").await;
    let for_itself = server.web(FOR_ITSELF).await;
    let error = server.post("/auth/token", "").await;
    let metadata = server
        .get("/.well-known/oauth-authorization-server", None)
        .await;
    let answers = [tokens, device, for_itself, error, metadata].map(|answer| answer.json());
    for answer in answers.iter().chain([&told]) {
        assert!(!answer.to_string().contains("null"), "{answer}");
        for (name, value) in answer.as_object().unwrap() {
            let number = ["expires_in", "interval", "exp", "iat"].contains(&name.as_str())
                || name.ends_with("_lifetime");
            assert_eq!(value.is_u64(), number, "{name}: {value}");
        }
    }
}
