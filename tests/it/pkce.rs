//! Proof key for code exchange, at the authorization endpoint.

use tower_oauth::types::Client;

use crate::support::{CALLBACK, CHALLENGE, Harness, SECRET, changed, redemption};

// req: 7636-4.2-4, 7636-4.3-1, 7636-4.3-2, 7636-4.3-3
#[tokio::test]
async fn s03_a_challenge_is_s256_and_well_formed_or_refused() {
    let server = Harness::new().await;
    let (short, long) = (&CHALLENGE[1..], format!("{CHALLENGE}A"));
    let padded = format!("{short}=");
    let (plus, percent) = (format!("{short}%2B"), format!("{short}%20"));
    let good = (Some(CHALLENGE), Some("S256"));
    for (challenge, method) in [
        (None, None),
        (Some(""), Some("S256")),
        (None, Some("S256")),
        (None, Some("plain")),
        (Some(CHALLENGE), None),
        (Some(CHALLENGE), Some("")),
        (Some(CHALLENGE), Some("plain")),
        (Some(CHALLENGE), Some("s256")),
        (Some(CHALLENGE), Some("S512")),
        (Some(CHALLENGE), Some("none")),
        (Some(short), good.1),
        (Some(&long), good.1),
        (Some(&padded), good.1),
        (Some(&plus), good.1),
        (Some(&percent), good.1),
    ] {
        let changes = [
            ("code_challenge", challenge),
            ("code_challenge_method", method),
        ];
        let answer = server.get(&changed(&changes), Some("alice")).await;
        answer.redirected_error("invalid_request");
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
    }
    let changes = [
        ("code_challenge", good.0),
        ("code_challenge_method", good.1),
    ];
    assert_eq!(
        server.get(&changed(&changes), Some("alice")).await.status,
        200
    );
}

// req: 7636-4.4.1-1, 7636-4.4.1-2, 7636-4.4.1-3, oauth21-4.1.1-1
#[tokio::test]
async fn rfc7636_4_4_1_everyone_needs_a_challenge_and_is_told_what_was_wrong_with_it() {
    let server = Harness::new().await;
    for client in ["app", "web"] {
        for (changes, told) in [
            (vec![("code_challenge", None)], "code_challenge is missing"),
            (
                vec![("code_challenge", None), ("code_challenge_method", None)],
                "code_challenge is missing",
            ),
            (
                vec![("code_challenge_method", Some("S512"))],
                "code_challenge_method must be S256",
            ),
            (
                vec![("code_challenge", Some("x"))],
                "code_challenge is malformed",
            ),
        ] {
            let request = changed(&[&changes[..], &[("client_id", Some(client))]].concat());
            let answer = server.get(&request, Some("alice")).await;
            answer.redirected_error("invalid_request");
            let description = answer.parameter("error_description").unwrap();
            assert!(description.starts_with(told), "{description}");
        }
    }
}

// req: 7636-4.4-1, 7636-4.4-2, 7636-5-2, 9700-4.5.3-1
#[tokio::test]
async fn s03_a_code_is_bound_to_its_challenge_and_does_not_tell_it() {
    let server = Harness::new().await;
    let page = server.authorize("&state=s1").await;
    let answer = server.decide(&page, "alice", "allow").await;
    let location = answer.location();
    let names: Vec<_> = url::form_urlencoded::parse(location.split_once('?').unwrap().1.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect();
    assert_eq!(names, ["code", "state", "iss"]);
    let code = answer.parameter("code").unwrap();
    assert!(code.len() == 43 && !location.contains(CHALLENGE));
    let other = redemption("app", &code).replace("code_verifier=k", "code_verifier=K");
    let refused = server.post("/auth/token", &other).await;
    refused.error(400, "invalid_grant");
    let code = server.code_for("app", "").await;
    assert_eq!(server.redeem(&code).await.status, 200);
}

// req: 7636-4.2-3, 9700-2.1.1-1, 8252-8.1-1
#[tokio::test]
async fn rfc7636_4_2_s256_works_for_every_kind_of_client() {
    let server = Harness::new().await;
    let native = Client::public("native".parse().unwrap())
        .redirect_uri("http://127.0.0.1/cb".parse().unwrap());
    server.oauth.clients().create(native).await.unwrap();
    for (client, uri, secret) in [
        ("app", CALLBACK, None),
        ("web", CALLBACK, Some(SECRET)),
        ("native", "http://127.0.0.1:7/cb", None),
    ] {
        let request = changed(&[("client_id", Some(client)), ("redirect_uri", Some(uri))]);
        let code = server.allow(&request).await.parameter("code").unwrap();
        let form = redemption(client, &code).replace(CALLBACK, uri);
        let answer = match secret {
            None => server.post("/auth/token", &form).await,
            Some(secret) => server.post_as("/auth/token", (client, secret), &form).await,
        };
        assert_eq!(answer.status, 200, "{client}: {answer:?}");
    }
}

// req: con-verifier-1, 7636-5-1
#[tokio::test]
async fn con_verifier_1_a_verifier_to_no_challenge_is_an_invalid_request() {
    let server = Harness::new().await;
    for client in ["app", "web"] {
        for method in [None, Some("S256"), Some("plain")] {
            let changes = [
                ("client_id", Some(client)),
                ("code_challenge", None),
                ("code_challenge_method", method),
                ("code_verifier", Some(crate::support::VERIFIER)),
            ];
            let answer = server.allow(&changed(&changes)).await;
            answer.redirected_error("invalid_request");
        }
    }
}
