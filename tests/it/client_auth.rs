//! Client authentication (RFC 6749 §2.3), wherever a client presents itself.

use http::{HeaderMap, Request};
use http_body_util::Full;
use tower_oauth::types::{Client, GrantType, Secret};

use tower_oauth::server::Limit;

use crate::support::{
    Answer, DEVICE_CODE, FOR_ITSELF, Harness, SECRET, VERIFIER, basic, redemption,
};

/// Where clients present themselves, with a form that is right but for the client.
/// A server that takes as many wrong secrets as it is sent.
async fn unthrottled() -> Harness {
    let all = Limit::per_minute(u32::MAX, u32::MAX);
    Harness::with(|builder| builder.wrong_client_secrets(all)).await
}

const ENDPOINTS: [(&str, &str); 4] = [
    ("/auth/token", FOR_ITSELF),
    ("/auth/introspect", "token=toa_x"),
    ("/auth/revoke", "token=toa_x"),
    ("/auth/device", "scope=ledger.read"),
];

/// One refusal for every reason, with a challenge that is always the same (RFC 6749 §5.2).
#[track_caller]
fn not_authenticated(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 401, "{case}: {answer:?}");
    assert_eq!(
        answer.text(),
        r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#,
        "{case}"
    );
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Basic realm=\""),
        "{case}"
    );
}

// req: 6749-2.3.1-1, con-basic-1, tol-method-1, 6749-3.2.1-1
#[tokio::test]
async fn rfc6749_2_3_1_a_secret_goes_in_the_header_or_in_the_form_and_is_asked_for_everywhere() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        let in_header = server.post_as(path, ("web", SECRET), form).await;
        let in_form = server
            .post(
                path,
                &format!("{form}&client_id=web&client_secret={SECRET}"),
            )
            .await;
        assert_eq!(
            (in_header.status, in_form.status),
            (http::StatusCode::OK, http::StatusCode::OK),
            "{path}"
        );
        let in_neither = server.post(path, &format!("{form}&client_id=web")).await;
        not_authenticated(&in_neither, path);
    }
}

// req: 6749-5.2-5, 6749-5.2-7, 6749-2.2-1, http-basic-3
#[tokio::test]
async fn s18_who_is_not_authenticated_gets_one_answer_for_every_reason() {
    let server = unthrottled().await;
    let headers = [
        ("an unknown client", basic("nobody", SECRET)),
        ("a wrong secret", basic("web", "wrong")),
        (
            "the secret of another",
            basic("web", "rs-secret-0123456789-0123456789-0123456789"),
        ),
        ("no secret", basic("web", "")),
        ("no id", basic("", SECRET)),
        ("no colon", format!("Basic {}", encode("web"))),
        ("no base64", "Basic !!!".to_owned()),
        ("a bad escape", basic("web", "%zz")),
        ("half a character", basic("web", "%C3")),
        ("a control character", basic("web\u{7}", SECRET)),
        ("a NUL", basic("web", "%00")),
        ("nothing behind the scheme", "Basic".to_owned()),
        ("another scheme", "Bearer x".to_owned()),
        ("an unknown scheme", "Digest username=\"web\"".to_owned()),
    ];
    let forms = [
        "client_id=nobody&client_secret=web-secret-0123456789-0123456789-0123456789",
        "client_id=nobody",
        "client_id=web",
        "client_id=web&client_secret=",
        "client_id=web&client_secret=wrong",
        "client_id=w%C3%A9b&client_secret=web-secret-0123456789-0123456789-0123456789",
        "client_id=web%0A&client_secret=web-secret-0123456789-0123456789-0123456789",
    ];
    for (path, form) in ENDPOINTS {
        for (case, header) in &headers {
            let answer = server
                .post_with(path, &[("authorization", header)], form)
                .await;
            not_authenticated(&answer, &format!("{path}: {case}"));
        }
        for client in forms {
            let answer = server.post(path, &format!("{form}&{client}")).await;
            not_authenticated(&answer, &format!("{path}: {client}"));
        }
    }
}

fn encode(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn s19_a_secret_is_compared_as_a_whole() {
    let server = unthrottled().await;
    for wrong in [
        &SECRET[..9],
        &SECRET[1..],
        &format!("{SECRET}x"),
        &format!("{SECRET}%00"),
        &format!("{SECRET}+"),
        &format!("+{SECRET}"),
        "WEB-SECRET-0123456789-0123456789-0123456789",
        "web-secres",
        "xeb-secret",
    ] {
        let in_header = server
            .post_as("/auth/token", ("web", wrong), FOR_ITSELF)
            .await;
        not_authenticated(&in_header, wrong);
        let form = format!("{FOR_ITSELF}&client_id=web&client_secret={wrong}");
        let in_form = server.post("/auth/token", &form).await;
        assert!(in_form.status.is_client_error(), "{wrong}: {in_form:?}");
    }
}

// req: 6749-2.1-1, 6749-2.3-1, http-basic-4, 6749-4.1.3-6
#[tokio::test]
async fn rfc6749_2_1_a_public_client_never_becomes_a_confidential_one() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    for secret in ["", "x", SECRET] {
        for form in [FOR_ITSELF.to_owned(), redemption("app", &code)] {
            let answer = server.post_as("/auth/token", ("app", secret), &form).await;
            not_authenticated(&answer, &format!("app:{secret} {form}"));
        }
    }
    let with_secret = format!("{}&client_secret=x", redemption("app", &code));
    not_authenticated(
        &server.post("/auth/token", &with_secret).await,
        "in the form",
    );
    let empty = format!("{}&client_secret=", redemption("app", &code));
    server.post("/auth/token", &empty).await.pair(); // an empty value is as absent
}

// req: 6749-2.3-2, 6749-5.2-4, tol-basic-3, http-auth-2
#[tokio::test]
async fn s25_two_ways_of_authentication_at_once_are_an_invalid_request() {
    let server = Harness::new().await;
    let right = basic("web", SECRET);
    for (path, form) in ENDPOINTS {
        for secret in [SECRET, "wrong"] {
            let form = format!("{form}&client_secret={secret}");
            let answer = server.post_as(path, ("web", SECRET), &form).await;
            answer.error(400, "invalid_request");
        }
        let mut request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        for _ in 0..2 {
            request = request.header("authorization", &right);
        }
        let answer = server.send(request.body(Full::from(form)).unwrap()).await;
        answer.error(400, "invalid_request");
    }
}

// req: tol-basic-2, 6749-3.2.1-3
#[tokio::test]
async fn tol_basic_2_a_client_id_beside_the_header_is_the_same_or_refused() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        let same = format!("{form}&client_id=web");
        let answer = server.post_as(path, ("web", SECRET), &same).await;
        assert_eq!(answer.status, 200, "{path}");
        let other = format!("{form}&client_id=rs");
        let answer = server.post_as(path, ("web", SECRET), &other).await;
        answer.error(400, "invalid_request");
    }
}

// req: 6749-3.2.1-2, 6749-5.2-3
#[tokio::test]
async fn rfc6749_3_2_1_who_says_nothing_about_itself_is_told_what_is_missing() {
    let server = Harness::new().await;
    for path in ["/auth/token", "/auth/revoke", "/auth/device"] {
        let answer = server.post(path, "grant_type=authorization_code").await;
        answer.error(400, "invalid_request");
        assert_eq!(answer.member("error_description"), "client_id is missing");
    }
}

// req: tol-basic-1, tol-basic-5, err-6749-4749, 6749-2.3.1-2
#[tokio::test]
async fn tol_basic_1_the_spellings_of_four_client_libraries_are_one_secret() {
    let server = Harness::new().await;
    let create = async |id: &str, secret: &str| {
        let client = Client::confidential(id.parse().unwrap(), &Secret::new(secret));
        let client = client.grant_types([GrantType::ClientCredentials]);
        server.create(client).await;
    };
    create("cl_7Qm2-v9.Tz", "aB3-_.~z").await;
    create("cl_7Qm2v9Tz", "s3cret+with %/:chars").await;
    create("old", "A%41").await;
    let send = async |credentials: &str| {
        let header = format!("Basic {}", encode(credentials));
        let headers = [("authorization", header.as_str())];
        server
            .post_with("/auth/token", &headers, FOR_ITSELF)
            .await
            .status
            .as_u16()
    };
    for spelling in [
        "cl_7Qm2-v9.Tz:aB3-_.~z",                     // TypeScript: as it is
        "cl_7Qm2-v9.Tz:aB3-_.%7Ez",                   // Go, Python before 3.7: QueryEscape
        "cl%5F7Qm2%2Dv9%2ETz:aB3%2D%5F%2E%7Ez",       // oauth4webapi: all but letters and digits
        "cl_7Qm2%2Dv9.Tz:%61B3-%5f.~z",               // small letters in escapes, and needless ones
        "cl_7Qm2v9Tz:s3cret%2Bwith+%25%2F%3Achars",   // a space as +
        "cl_7Qm2v9Tz:s3cret%2Bwith%20%25%2F%3Achars", // a space as %20
        "cl_7Qm2v9Tz:s3cret%2Bwith+%25/:chars",       // only the first colon parts the two
        "old:A%2541",
    ] {
        assert_eq!(send(spelling).await, 200, "{spelling}");
    }
    for wrong in [
        "cl_7Qm2v9Tz:s3cret+with %/:chars", // not encoded at all: no escape begins with %/
        "old:A%41",                         // never compared undecoded
        "cl_7Qm2%2Dv9.Tz%3AaB3-_.~z",       // an encoded colon parts nothing
    ] {
        assert_eq!(send(wrong).await, 401, "{wrong}");
    }
}

// req: http-basic-1, http-basic-2
#[tokio::test]
async fn http_basic_1_the_scheme_is_read_in_any_case_and_base64_with_or_without_padding() {
    let server = Harness::new().await;
    let right = basic("web", SECRET);
    let unpadded = right.trim_end_matches('=').to_owned();
    assert_ne!(right, unpadded);
    for header in [
        right.replace("Basic", "basic"),
        right.replace("Basic", "BASIC"),
        right.replace("Basic ", "Basic   "),
        unpadded,
    ] {
        let headers = [("authorization", header.as_str())];
        let answer = server.post_with("/auth/token", &headers, FOR_ITSELF).await;
        assert_eq!(answer.status, 200, "{header}");
    }
    for header in [
        right.replace("Basic ", "Basic:"),
        right.replace("Basic ", "Basic"),
    ] {
        let headers = [("authorization", header.as_str())];
        let answer = server.post_with("/auth/token", &headers, FOR_ITSELF).await;
        not_authenticated(&answer, &header);
    }
}

// req: http-auth-1, tol-auth-1
#[tokio::test]
async fn http_auth_1_a_bearer_token_sent_by_mistake_is_not_ignored() {
    let server = Harness::new().await;
    let (access, refresh) = server.tokens("").await.pair();
    let bearer = [("authorization", format!("Bearer {access}"))];
    let bearer = bearer
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    for (path, form) in [
        (
            "/auth/token",
            format!("grant_type=refresh_token&client_id=app&refresh_token={refresh}"),
        ),
        ("/auth/revoke", format!("client_id=app&token={refresh}")),
        ("/auth/introspect", format!("token={access}")),
    ] {
        not_authenticated(&server.post_with(path, &bearer, &form).await, path);
    }
    server.refresh(&refresh, "").await.pair();
}

// req: 6749-2.3.1-4, http-form-6, 6749-2.3.1-3, 6749-2.3-3
#[tokio::test]
async fn s25_credentials_and_parameters_in_the_query_of_a_post_are_never_read() {
    let server = Harness::new().await;
    let credentials = format!("client_id=web&client_secret={SECRET}");
    for (path, form) in ENDPOINTS {
        let answer = server.post(&format!("{path}?{credentials}"), form).await;
        assert!(answer.status.is_client_error(), "{path}: {answer:?}");
        if path != "/auth/device" {
            let answer = server.post(&format!("{path}?{form}"), &credentials).await;
            answer.error(400, "invalid_request");
        }
        // What is wrong there does no harm either.
        let answer = server
            .post(
                &format!("{path}?client_id=x&grant_type=password&scope=%zz&token=y&token=z"),
                &format!("{form}&{credentials}"),
            )
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

// req: http-basic-5, tol-basic-4, 6749-4.1.3-5, 6749-6-3
#[tokio::test]
async fn tol_basic_4_a_client_that_fails_to_authenticate_loses_nothing() {
    let server = Harness::new().await;
    let code = server.code_for("web", "").await;
    let used = redemption("web", &server.code_for("web", "").await);
    let (_, refresh) = server.web(&used).await.pair();
    let device = server
        .post_as("/auth/device", ("web", SECRET), "scope=ledger.read")
        .await;
    let page = server.enter(&device.member("user_code"), "alice").await;
    server.decide(&page, "alice", "allow").await;
    let device_code = device.member("device_code");
    for form in [
        redemption("web", &code),
        format!("grant_type=refresh_token&client_id=web&refresh_token={refresh}"),
        format!("grant_type={DEVICE_CODE}&client_id=web&device_code={device_code}"),
    ] {
        not_authenticated(&server.post("/auth/token", &form).await, &form);
        for secret in ["", "wrong"] {
            let answer = server.post_as("/auth/token", ("web", secret), &form).await;
            not_authenticated(&answer, &form);
        }
        // Past the window in which a used refresh token is taken once more.
        server.advance(31);
        let with_secret = format!("{form}&client_secret={SECRET}");
        server.post("/auth/token", &with_secret).await.pair();
    }
    // Go tries a public client with an empty password in the header first, and then again in the form.
    let code = server.code_for("app", "").await;
    let form = format!("grant_type=authorization_code&code={code}&code_verifier={VERIFIER}")
        + "&redirect_uri=https://app.harbor.test/cb";
    not_authenticated(
        &server.post_as("/auth/token", ("app", ""), &form).await,
        "app:",
    );
    server
        .post("/auth/token", &format!("{form}&client_id=app"))
        .await
        .pair();
}

// req: 6749-10.2-1, 9700-2.5-1
#[tokio::test]
async fn rfc6749_10_2_a_client_with_a_secret_never_gets_by_without_it() {
    let server = Harness::new().await;
    let code = server.code_for("web", "").await;
    let answer = server.post("/auth/token", &redemption("web", &code)).await;
    not_authenticated(&answer, "none");
    server.web(&redemption("web", &code)).await.pair();
}

// req: 7009-2.1-5, 7662-2.3-1
#[tokio::test]
async fn rfc7009_2_1_and_rfc7662_2_3_bad_credentials_are_answered_as_at_the_token_endpoint() {
    let server = Harness::new().await;
    let (access, refresh) = server.tokens("").await.pair();
    for (path, token) in [("/auth/revoke", &refresh), ("/auth/introspect", &access)] {
        let form = format!("token={token}");
        let wrong = server.post_as(path, ("all", "wrong"), &form).await;
        let elsewhere = server
            .post_as("/auth/token", ("all", "wrong"), FOR_ITSELF)
            .await;
        let seen = |answer: &Answer| -> (u16, String, HeaderMap) {
            (
                answer.status.as_u16(),
                answer.text(),
                answer.headers.clone(),
            )
        };
        assert_eq!(seen(&wrong), seen(&elsewhere), "{path}");
        not_authenticated(&wrong, path);
    }
    // A public client gives its id, and that is enough to revoke.
    let own = format!("client_id=app&token={refresh}");
    assert_eq!(server.post("/auth/revoke", &own).await.status, 200);
    assert!(!server.is_active(&access).await);
}
