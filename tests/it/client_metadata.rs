//! What may be registered, member by member, and what the answer says of it.

use serde_json::{Value, json};
use tower_oauth::server::Registration;
use tower_oauth::types::{GrantType, RegisteredBy};

use crate::register::{PUBLIC, body, open, refused, with};
use crate::support::{CALLBACK, DEVICE_CODE, Harness, NOW, authorization_request};

// req: 7591-2-5, 7591-2-7, 7591-2-12, tol-reg-1
#[tokio::test]
async fn rfc7591_2_what_is_left_out_gets_its_default_and_the_answer_says_so() {
    let server = open().await;
    let answer = with(&server, "").await;
    let mut told = answer.json();
    let told = told.as_object_mut().unwrap();
    let (id, secret) = (
        told.remove("client_id").unwrap(),
        told.remove("client_secret").unwrap(),
    );
    assert!(id.is_string() && secret.as_str().unwrap().len() == 43);
    assert_eq!(
        Value::Object(told.clone()),
        json!({
            "client_id_issued_at": NOW.as_secs(),
            "client_secret_expires_at": 0,
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "scope": "files.read ledger.read ledger.write offline_access",
        })
    );
}

// req: 7591-3.2.1-6, 7591-2-13, 7591-2.2-1, 7591-2-1
#[tokio::test]
async fn rfc7591_3_2_1_all_that_was_registered_is_told() {
    let server = open().await;
    let members = json!({
        "redirect_uris": [CALLBACK, "http://127.0.0.1/cb", "com.harbor.app:/cb"],
        "client_name": "Harbor", "client_name#fr": "Port",
        "grant_types": ["refresh_token", "authorization_code", DEVICE_CODE],
        "response_types": ["code"], "scope": "ledger.read",
        "token_endpoint_auth_method": "client_secret_post", "application_type": "native",
        "client_uri": "https://app.harbor.test", "logo_uri": "https://app.harbor.test/l",
        "tos_uri": "https://app.harbor.test/t", "policy_uri": "https://app.harbor.test/p",
        "contacts": ["a@harbor.test"], "software_id": "s", "software_version": "1",
        "jwks": {"keys": []},
    });
    let told = server.register(&members.to_string()).await.json();
    for (name, value) in members.as_object().unwrap() {
        if name == "grant_types" {
            let mut both = [value.clone(), told[name].clone()];
            both.iter_mut()
                .for_each(|list| list.as_array_mut().unwrap().sort_by_key(Value::to_string));
            assert_eq!(both[0], both[1]);
        } else {
            assert_eq!(&told[name], value, "{name}");
        }
    }
    let id = told["client_id"].as_str().unwrap().parse().unwrap();
    let client = server.oauth.clients().get(&id).await.unwrap().unwrap();
    assert_eq!(client.registered_by(), RegisteredBy::Itself);
    assert_eq!(client.client_name(), Some("Harbor"));
}

// req: 9700-4.15.1-1, 7591-2.3-2, 7591-PROJ-2, 9700-2.6-2
#[tokio::test]
async fn s11_what_a_client_may_not_choose_or_we_do_not_know_is_ignored() {
    let server = open().await;
    let unknown = r#""frobnicate":{"a":[1]},"client_id":"app","client_secret":"mine","client_id_issued_at":1,
        "client_secret_expires_at":5,"registration_access_token":"t","registered_by":"host","disabled":false,
        "introspects":"everything","secret":null,"software_statement":"e30.e30.","epoch":7,"expires_at":9"#;
    for method in ["none", "client_secret_basic"] {
        let method = format!(r#""token_endpoint_auth_method":"{method}""#);
        let told = with(&server, &format!("{unknown},{method}")).await.json();
        assert_ne!(told["client_id"], "app");
        assert_ne!(told["client_secret"], "mine");
        assert_eq!(told["client_id_issued_at"], NOW.as_secs());
        for ignored in [
            "frobnicate",
            "software_statement",
            "registered_by",
            "introspects",
            "epoch",
            "registration_access_token",
        ] {
            assert!(told.get(ignored).is_none(), "{ignored}");
        }
        let id = told["client_id"].as_str().unwrap().parse().unwrap();
        let client = server.oauth.clients().get(&id).await.unwrap().unwrap();
        assert_eq!(client.registered_by(), RegisteredBy::Itself);
    }
}

// req: 7591-3.2.1-9, tol-null-1, tol-reg-2, mcp-reg-11
#[tokio::test]
async fn rfc7591_no_answer_has_a_null_and_nulls_are_as_absent() {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(list) => list.iter().any(has_null),
            Value::Object(members) => members.values().any(has_null),
            _ => false,
        }
    }
    let server = open().await;
    for members in [
        PUBLIC,
        "",
        r#""client_name":null,"scope":null,"grant_types":null,"contacts":null,"jwks":null,"logo_uri":null"#,
        r#""contacts":[],"application_type":"web","x-vendor":[null],"jwks_uri":"https://app.harbor.test/jwks""#,
        r#""client_name":"""#,
    ] {
        let answer = with(&server, members).await;
        assert_eq!(answer.status, 201, "{members}: {answer:?}");
        assert!(!has_null(&answer.json()), "{answer:?}");
    }
    for bad in ["", "{}", r#"{"redirect_uris":null}"#] {
        assert!(!has_null(&server.register(bad).await.json()));
    }
}

// req: 7591-3.2.2-3, 7591-5-2, 6749-3.1.2-1, 6749-3.1.2-3
#[tokio::test]
async fn s01_an_address_is_https_loopback_or_an_apps_own_scheme() {
    let server = open().await;
    for uri in [
        "/cb",
        "//h/cb",
        "cb",
        "",
        "https://app.harbor.test/cb#",
        "https://app.harbor.test/cb#f",
        "http://app.harbor.test/cb",
        "http://127.0.0.1.evil.test/cb",
        "http://127.1/cb",
        "http://localhost:99999/cb",
        "https://user@app.harbor.test/cb",
        "https://app.harbor.test/cb?iss=https://x.test",
        "https://app.harbor.test/cb?code=1",
        "javascript:alert(1)",
        "javascript://x.y/%0aalert(1)",
        "data:text/html,x",
        "file:///x",
        "vbscript:x",
        "about:blank",
        "harbor:/cb",
        "ftp://x.test/cb",
        "ws://127.0.0.1/cb",
        "https:///cb",
        "https:////evil.test/cb",
        "https://0x7f.1/cb",
        "https://",
        " https://app.harbor.test/cb",
        "https://app.harbor.test/\u{e9}",
    ] {
        for uris in [json!([uri]), json!([CALLBACK, uri])] {
            let answer = server
                .register(&json!({ "redirect_uris": uris }).to_string())
                .await;
            refused(&answer, "invalid_redirect_uri", uri);
        }
    }
    for uri in [
        "https://x.test/cb",
        "https://x.test:8443/cb?a=b",
        "http://127.0.0.1/cb",
        "http://localhost:9/cb",
        "http://[::1]:9/cb",
        "com.harbor.app:/cb",
    ] {
        let answer = server
            .register(&json!({ "redirect_uris": [uri] }).to_string())
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["redirect_uris"]),
            (201, &json!([uri]))
        );
    }
}

// req: 9700-2.6-4, 8252-7.1-2, oauth21-2.3.1-2, mcp-reg-15
#[tokio::test]
async fn mcp_loopback_addresses_are_taken_from_native_clients_and_from_those_that_do_not_say() {
    let server = open().await;
    for uri in [
        "http://localhost:33418/callback",
        "http://127.0.0.1:3000/cb",
        "http://[::1]/cb",
    ] {
        for kind in ["", r#","application_type":"native""#] {
            let answer = server
                .register(&format!(r#"{{"redirect_uris":["{uri}"]{kind}}}"#))
                .await;
            assert_eq!(answer.status, 201, "{uri} {kind}");
        }
    }
    for uri in [
        "http://app.harbor.test/cb",
        "http://192.168.0.1/cb",
        "harbor:/cb",
    ] {
        let answer = server
            .register(&format!(r#"{{"redirect_uris":["{uri}"]}}"#))
            .await;
        refused(&answer, "invalid_redirect_uri", uri);
    }
}

// req: 7591-5-1, 6749-3.1.2.2-1, 6749-3.1.2.1-1
#[tokio::test]
async fn rfc7591_5_a_client_that_is_redirected_to_says_where() {
    let server = open().await;
    for members in [
        "{}".to_owned(),
        r#"{"redirect_uris":[]}"#.to_owned(),
        format!("{{{PUBLIC}}}"),
        format!(r#"{{"grant_types":["authorization_code","{DEVICE_CODE}"]}}"#),
        r#"{"redirect_uris":["http://app.harbor.test/cb"]}"#.to_owned(),
    ] {
        refused(
            &server.register(&members).await,
            "invalid_redirect_uri",
            &members,
        );
    }
    let device = format!(r#"{{"grant_types":["{DEVICE_CODE}"],{PUBLIC}}}"#);
    let answer = server.register(&device).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["response_types"], json!([]));
    assert!(answer.json().get("redirect_uris").is_none());
    let codes = server
        .post(
            "/auth/device",
            &format!("client_id={}", answer.member("client_id")),
        )
        .await;
    assert_eq!(codes.status, 200);
}

// req: 7591-3.2.2-4, 7591-2-15, 7591-2-14, 7591-PROJ-1
#[tokio::test]
async fn rfc7591_3_2_2_any_other_bad_member_is_invalid_client_metadata() {
    let server = open().await;
    let long = "n".repeat(2049);
    for members in [
        r#""client_name":7"#,
        r#""client_name":["x"]"#,
        r#""scope":["ledger.read"]"#,
        r#""scope":"a\"b""#,
        r#""scope":"a\\b""#,
        r#""contacts":"me""#,
        r#""contacts":[1]"#,
        r#""grant_types":"authorization_code""#,
        r#""grant_types":{}"#,
        r#""response_types":"code""#,
        r#""jwks":{"keys":[]},"jwks_uri":"https://app.harbor.test/jwks""#,
        r#""jwks":{}"#,
        r#""jwks":[]"#,
        r#""jwks_uri":7"#,
        r#""client_uri":"javascript:alert(1)""#,
        r#""logo_uri":"data:image/png,x""#,
        r#""policy_uri":"//x""#,
        r#""token_endpoint_auth_method":7"#,
        r#""token_endpoint_auth_method":"private_key_jwt""#,
        r#""token_endpoint_auth_method":"NONE""#,
        r#""software_id":{}"#,
        &format!(r#""client_name":"{long}""#),
        &format!(r#""scope":"{long}""#),
    ] {
        refused(
            &with(&server, members).await,
            "invalid_client_metadata",
            members,
        );
    }
    let many = json!({ "redirect_uris": vec![CALLBACK; 1000] }).to_string();
    refused(
        &server.register(&many).await,
        "invalid_client_metadata",
        "1000 addresses",
    );
    let huge = body(&format!(r#""x":"{}""#, "x".repeat(64 * 1024)));
    assert_eq!(server.register(&huge).await.status, 413);
    let fits = body(&format!(r#""x":"{}""#, "x".repeat(63 * 1024)));
    assert_eq!(server.register(&fits).await.status, 201);
}

// req: 7591-2.1-1, 7591-2-6, 7591-2-8, 7591-2-18
#[tokio::test]
async fn s11_grants_and_response_types_fit_each_other_and_what_is_offered() {
    let server = open().await;
    let device = format!(r#""grant_types":["{DEVICE_CODE}"],"response_types":["code"]"#);
    for members in [
        &*device,
        r#""response_types":[]"#,
        r#""response_types":["token"]"#,
        r#""response_types":["code","token"]"#,
        r#""grant_types":[]"#,
        r#""grant_types":["implicit"]"#,
        r#""grant_types":["password"]"#,
        r#""grant_types":["device_code"]"#,
        r#""grant_types":["refresh_token"]"#,
        r#""grant_types":["client_credentials"],"response_types":["code"]"#,
        r#""grant_types":["client_credentials"]"#,
        r#""grant_types":["client_credentials"],"token_endpoint_auth_method":"none""#,
    ] {
        refused(
            &with(&server, members).await,
            "invalid_client_metadata",
            members,
        );
    }
    for (asked, given) in [
        (
            r#"["authorization_code","implicit","password"]"#,
            json!(["authorization_code"]),
        ),
        (
            r#"["client_credentials","authorization_code","refresh_token","authorization_code"]"#,
            json!(["authorization_code", "refresh_token"]),
        ),
    ] {
        let told = with(&server, &format!(r#""grant_types":{asked}"#))
            .await
            .json();
        assert_eq!(told["grant_types"], given);
        assert_eq!(told["response_types"], json!(["code"]));
    }
    let jobs = Registration::open().grant_types([GrantType::ClientCredentials]);
    let server = Harness::with(|builder| builder.registration(jobs)).await;
    let job = server
        .register(r#"{"grant_types":["client_credentials"]}"#)
        .await;
    assert_eq!(job.json()["grant_types"], json!(["client_credentials"]));
    let public = format!(r#"{{"grant_types":["client_credentials"],{PUBLIC}}}"#);
    refused(
        &server.register(&public).await,
        "invalid_client_metadata",
        "a public job",
    );
    refused(
        &with(&server, "").await,
        "invalid_client_metadata",
        "code is not offered",
    );
}

#[tokio::test]
async fn s11_no_scope_is_registered_that_the_server_does_not_have() {
    let server = open().await;
    for (asked, given) in [
        ("ledger.read root", "ledger.read"),
        (" ledger.write  ledger.read ", "ledger.read ledger.write"),
    ] {
        let answer = with(&server, &format!(r#""scope":"{asked}",{PUBLIC}"#)).await;
        assert_eq!(answer.member("scope"), given);
        let id = answer.member("client_id");
        let request = authorization_request(&id, "&scope=files.read");
        // Beyond what it was registered for; it registered itself, so a page stands in between.
        server.get(&request, Some("alice")).await.page(400);
    }
}

// req: 7591-2-4, 6749-10.1-1, 7591-3.2.1-4, 8252-8.4-1
#[tokio::test]
async fn rfc7591_2_a_public_client_has_no_secret_and_a_secret_says_how_long_it_lives() {
    let server = open().await;
    let public = with(&server, PUBLIC).await.json();
    for absent in ["client_secret", "client_secret_expires_at"] {
        assert!(public.get(absent).is_none(), "{absent}");
    }
    assert_eq!(public["token_endpoint_auth_method"], "none");
    for method in ["client_secret_basic", "client_secret_post"] {
        let members = format!(r#""token_endpoint_auth_method":"{method}""#);
        let told = with(&server, &members).await.json();
        assert_eq!(told["token_endpoint_auth_method"], method);
        assert_eq!(told["client_secret_expires_at"], 0);
    }
}

// req: 7591-3.2.1-2, 7591-3.2.1-3, 7591-PROJ-3, 7591-5-10
#[tokio::test]
async fn rfc7591_3_2_1_ids_and_secrets_are_made_anew_of_letters_that_need_no_encoding() {
    let server = open().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..5 {
        let answer = with(&server, r#""client_name":"same""#).await;
        for name in ["client_id", "client_secret"] {
            let value = answer.member(name);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            assert!(
                value.len() >= 43 && value.len() <= 64 && value.bytes().all(plain),
                "{value}"
            );
            assert!(seen.insert(value));
        }
    }
}

// req: 7591-2-18
#[tokio::test]
async fn rfc7591_2_scopes_of_which_none_is_known_are_replaced_by_those_that_are() {
    let server = open().await;
    let members = format!(r#"{PUBLIC},"scope":"mcp:tools openid""#);
    let told = with(&server, &members).await;
    assert_eq!(
        told.member("scope"),
        "files.read ledger.read ledger.write offline_access"
    );
    let request = authorization_request(&told.member("client_id"), "&scope=ledger.read");
    assert_eq!(server.get(&request, Some("alice")).await.status, 200);
}
