//! What the server deliberately does not have: each is asked for in every way, and refused.

use tower_oauth::server::Registration;
use tower_oauth::types::Client;

use crate::register::{PUBLIC, open, refused, with};
use crate::support::{
    Answer, CALLBACK, CHALLENGE, Harness, ISSUER, SECRET, VERIFIER, authorization_request, changed,
};

const RESPONSE_TYPES: [&str; 9] = [
    "token",
    "id_token",
    "id_token+token",
    "code+token",
    "token+code",
    "code+id_token",
    "code+id_token+token",
    "none",
    "code+code",
];

/// Nothing but an error at a registered address, in the query.
fn gives_nothing(answer: &Answer, code: &str) {
    answer.redirected_error(code);
    let location = answer.location();
    assert!(
        location.starts_with(&format!("{CALLBACK}?error=")),
        "{location}"
    );
    for part in ["#", "token=", "expires_in", "id_token="] {
        assert!(!location.contains(part), "{location}");
    }
}

// req: 6749-4.2.1-1, 6749-4.2.2-1, 6749-4.2.2-2, 6749-4.2.2.1-1
#[tokio::test]
async fn rfc6749_4_2_no_token_ever_comes_from_the_authorization_endpoint() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    for response_type in RESPONSE_TYPES {
        for client in ["app", "web"] {
            for mode in [None, Some("query"), Some("fragment"), Some("form_post")] {
                let case = [
                    ("response_type", Some(response_type)),
                    ("client_id", Some(client)),
                    ("response_mode", mode),
                    ("nonce", Some("n")),
                ];
                let answer = server.get(&changed(&case), Some("alice")).await;
                gives_nothing(&answer, "unsupported_response_type");
                // Nor by way of the login.
                let login = server.get(&changed(&case), None).await;
                let id = login.parameter("interaction").unwrap();
                let path = server.oauth.resume_path(&id);
                let answer = server.get(&path, Some("alice")).await;
                gives_nothing(&answer, "unsupported_response_type");
            }
        }
        let case = [
            ("response_type", Some(response_type)),
            ("redirect_uri", Some("https://evil.test/cb")),
        ];
        server.get(&changed(&case), Some("alice")).await.page(400);
    }
    for members in [
        r#""grant_types":["implicit"],"response_types":["token"]"#,
        r#""grant_types":["authorization_code","implicit"],"response_types":["code","token"]"#,
        r#""response_types":["id_token"]"#,
    ] {
        let answer = with(&server, &format!("{PUBLIC},{members}")).await;
        refused(&answer, "invalid_client_metadata", members);
    }
}

// req: 9207-2.4-2, 9207-4-2, 9700-2.6-5, 9700-4.17.2-1
#[tokio::test]
async fn rfc9207_an_answer_goes_by_redirect_with_iss_and_on_no_other_way() {
    let server = Harness::new().await;
    for mode in [
        "web_message",
        "fragment",
        "form_post",
        "jwt",
        "query.jwt",
        "fragment.jwt",
        "form_post.jwt",
        "QUERY",
    ] {
        let answer = server
            .get(&changed(&[("response_mode", Some(mode))]), Some("alice"))
            .await;
        gives_nothing(&answer, "invalid_request");
        assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
        assert_eq!(answer.parameter("response"), None);
    }
    let page = server.get(&changed(&[]), Some("alice")).await;
    let answer = server.decide(&page, "alice", "allow").await;
    assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
    assert_eq!(
        (answer.parameter("id_token"), answer.text().as_str()),
        (None, "")
    );
    for text in [page.text(), server.get("/device", None).await.text()] {
        assert!(!text.contains("<script") && !text.contains("postMessage"));
    }
}

// req: 6749-4.3.2-1, 6749-4.5-1, 6749-8.3-1
#[tokio::test]
async fn rfc6749_4_3_no_grant_takes_a_password_and_all_but_the_first_four_are_named_by_a_uri() {
    let server = Harness::new().await;
    let right = "username=alice&password=wonderland&scope=ledger.read";
    for grant in [
        "password",
        "PASSWORD",
        "implicit",
        "device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:x-harbor:grant:door",
        "mygrant",
    ] {
        let form = format!("grant_type={grant}&{right}");
        server.web(&form).await.error(400, "unsupported_grant_type");
        let form = format!("{form}&client_id=app");
        let answer = server.post("/auth/token", &form).await;
        answer.error(400, "unsupported_grant_type");
    }
    let metadata = server
        .get("/.well-known/oauth-authorization-server", None)
        .await
        .json();
    for grant in metadata["grant_types_supported"].as_array().unwrap() {
        let grant = grant.as_str().unwrap();
        let of_the_rfc = ["authorization_code", "refresh_token", "client_credentials"];
        let uri = url::Url::parse(grant).is_ok();
        assert!(of_the_rfc.contains(&grant) != uri, "{grant}");
    }
}

// req: 7636-PROJ-1, 9700-2.1.1-3, 9700-4.8.2-1, err-7636-5687
#[tokio::test]
async fn s03_there_is_no_code_without_a_challenge_so_no_verifier_can_come_to_one() {
    let server = open().await;
    let registered = with(&server, PUBLIC).await.member("client_id");
    let once = Client::confidential(
        "once".parse().unwrap(),
        &tower_oauth::types::Secret::new("s"),
    )
    .redirect_uri(CALLBACK.parse().unwrap());
    server.create(once).await;
    for client in ["app", "web", "once", &registered] {
        for more in [
            vec![("code_challenge", None), ("code_challenge_method", None)],
            vec![("code_challenge", None)],
            vec![("code_challenge", Some(""))],
            vec![
                ("code_challenge", None),
                ("code_challenge_method", None),
                ("code_verifier", Some(VERIFIER)),
            ],
        ] {
            let case = [more, vec![("client_id", Some(client))]].concat();
            let answer = server.get(&changed(&case), Some("alice")).await;
            if client == registered {
                answer.page(400);
                assert!(answer.text().contains("error=invalid_request"));
            } else {
                gives_nothing(&answer, "invalid_request");
            }
        }
    }
}

// req: 7636-4.2-2, 7636-7.2-3
#[tokio::test]
async fn s03_plain_is_refused_and_a_challenge_is_not_its_own_verifier() {
    let server = Harness::new().await;
    for method in ["plain", "PLAIN", "none", "S512"] {
        for verifier in [VERIFIER, CHALLENGE] {
            let case = [
                ("code_challenge_method", Some(method)),
                ("code_challenge", Some(verifier)),
            ];
            let answer = server.get(&changed(&case), Some("alice")).await;
            gives_nothing(&answer, "invalid_request");
        }
    }
    for presented in [
        CHALLENGE,
        &format!("{CHALLENGE}&code_challenge_method=plain"),
    ] {
        let code = server.code_for("app", "&scope=ledger.read").await;
        assert!(!code.contains(CHALLENGE));
        let form = format!(
            "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={CALLBACK}&code_verifier={presented}"
        );
        server
            .post("/auth/token", &form)
            .await
            .error(400, "invalid_grant");
    }
}

// req: 6749-2.3.2-1
#[tokio::test]
async fn rfc6749_2_3_2_no_other_scheme_proves_a_client() {
    let server = Harness::new().await;
    let form = "grant_type=client_credentials&scope=ledger.read&token=x";
    let assertion = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.c2ln";
    for path in [
        "/auth/token",
        "/auth/introspect",
        "/auth/revoke",
        "/auth/device",
    ] {
        for scheme in [
            "Bearer",
            "Digest",
            "Negotiate",
            "Mutual",
            "Basis",
            "Token",
            "GNAP",
        ] {
            let header = format!(
                "{scheme} {}",
                crate::support::basic("web", SECRET).replace("Basic ", "")
            );
            let headers = [("authorization", header.as_str())];
            let answer = server.post_with(path, &headers, form).await;
            answer.error(401, "invalid_client");
        }
        let form = format!("{form}&client_id=web&{assertion}");
        server.post(path, &form).await.error(401, "invalid_client");
    }
}

// req: 6749-4.1.2.1-12
#[tokio::test]
async fn rfc6749_4_1_2_1_no_error_names_a_page_about_itself() {
    let server = open().await;
    let bad = [("scope", Some("bad"))];
    let redirected = server.get(&changed(&bad), Some("alice")).await;
    assert_eq!(redirected.parameter("error_uri"), None);
    let page = server.authorize("").await;
    let denied = server.decide(&page, "alice", "deny").await;
    assert_eq!(denied.parameter("error_uri"), None);
    for answer in [
        server.web("grant_type=x").await,
        server.post("/auth/token", "").await,
        server.post("/auth/introspect", "token=x").await,
        server.register("{}").await,
    ] {
        assert!(answer.json()["error"].is_string());
        assert!(answer.json().get("error_uri").is_none(), "{answer:?}");
    }
}

// req: http-cookie-1
#[tokio::test]
async fn http_cookie_1_no_answer_sets_a_cookie() {
    let server = open().await;
    let page = server.authorize("").await;
    let allowed = server.decide(&page, "alice", "allow").await;
    let tokens = server.redeem(&allowed.parameter("code").unwrap()).await;
    let (device_code, user_code) = server.device().await;
    let entered = server
        .submit("/device", "alice", &format!("user_code={user_code}"))
        .await;
    let asked = server.get(&entered.location(), Some("alice")).await;
    let answers = [
        server.get(&authorization_request("app", ""), None).await,
        server.get(&authorization_request("nobody", ""), None).await,
        server.get("/device", Some("alice")).await,
        server.decide(&asked, "alice", "deny").await,
        server.poll(&device_code).await,
        with(&server, PUBLIC).await,
        server.post("/auth/token", "").await,
        page,
        allowed,
        tokens,
        entered,
        asked,
    ];
    for answer in answers {
        assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
    }
}
