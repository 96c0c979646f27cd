//! What all endpoints for programs share: methods, media types, parameters, caching, and what they do not look at.

use std::io;
use std::sync::{Arc, Mutex};

use http::Request;
use http::request::Parts;
use http_body_util::Full;
use tower_oauth::server::Registration;
use tower_oauth::types::Subject;
use tower_oauth::{Decision, Interaction, PendingRequest};

use crate::support::{
    DEVICE_CODE, FOR_ITSELF, Harness, ISSUER, SECRET, VERIFIER, authorization_request, basic,
    redemption,
};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The endpoints for programs, each with a form of `web` that is right.
pub(crate) const ENDPOINTS: [(&str, &str); 4] = [
    ("/auth/token", FOR_ITSELF),
    (
        "/auth/introspect",
        "token=toa_x&token_type_hint=access_token",
    ),
    ("/auth/revoke", "token=toa_x&token_type_hint=access_token"),
    ("/auth/device", "scope=ledger.read"),
];

pub(crate) fn request(method: &str, target: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", basic("web", SECRET))
}

// req: http-method-1, 6749-3.2-3, 7009-2.1-1, 7662-4-11
#[tokio::test]
async fn rfc6749_3_2_only_a_post_reaches_an_endpoint_for_programs() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        for method in [
            "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "X",
        ] {
            let request = request(method, &format!("{path}?{form}"))
                .header("content-type", FORM)
                .body(Full::from(form))
                .unwrap();
            let answer = server.send(request).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), "POST", "{method} {path}");
            assert_eq!(answer.header("cache-control"), "no-store");
            if method == "HEAD" {
                assert!(answer.body.is_empty());
                assert_ne!(answer.header("content-length"), "0");
            } else {
                answer.error(405, "invalid_request");
            }
        }
        assert_eq!(
            server.post_as(path, ("web", SECRET), form).await.status,
            200
        );
    }
}

// req: http-path-1
#[tokio::test]
async fn http_path_1_a_path_is_the_whole_path() {
    let server = Harness::new().await;
    for path in [
        "/auth/token/",
        "/auth/Token",
        "/auth//token",
        "//auth/token",
        "/auth/%74oken",
        "/auth/./token",
        "/auth/token;x",
        "/token",
        "/auth",
    ] {
        let answer = server.post_as(path, ("web", SECRET), FOR_ITSELF).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

// req: http-form-1, http-form-2, tol-ct-1
#[tokio::test]
async fn http_form_2_a_body_is_a_form_and_says_so() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        for (media_type, right) in [
            (Some(FORM), true),
            (
                Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"),
                true,
            ),
            (
                Some("application/x-www-form-urlencoded;charset=utf-8"),
                true,
            ),
            (None, false),
            (Some(""), false),
            (Some("application/json"), false),
            (Some("text/plain"), false),
            (Some("multipart/form-data; boundary=x"), false),
            (Some("application/x-www-form-urlencoded-x"), false),
            (
                Some("application/json, application/x-www-form-urlencoded"),
                false,
            ),
        ] {
            let mut request = request("POST", path);
            if let Some(media_type) = media_type {
                request = request.header("content-type", media_type);
            }
            let answer = server.send(request.body(Full::from(form)).unwrap()).await;
            if right {
                assert_eq!(answer.status, 200, "{path} {media_type:?}: {answer:?}");
            } else {
                answer.error(400, "invalid_request");
            }
        }
    }
    let json = format!(
        r#"{{"grant_type":"client_credentials","client_id":"web","client_secret":"{SECRET}"}}"#
    );
    let request = Request::post("/auth/token").header("content-type", "application/json");
    let answer = server.send(request.body(Full::from(json)).unwrap()).await;
    answer.error(400, "invalid_request");
}

#[tokio::test]
async fn s25_a_body_of_two_media_types_is_none() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let json = "application/json";
    for (first, second) in [(FORM, FORM), (FORM, json), (json, FORM), (json, json)] {
        let others = [
            ("/auth/authorize", "decision=allow"),
            ("/auth/register", "{}"),
        ];
        for (path, body) in ENDPOINTS.into_iter().chain(others) {
            let request = request("POST", path)
                .header("accept", json)
                .header("content-type", first)
                .header("content-type", second);
            let answer = server.send(request.body(Full::from(body)).unwrap()).await;
            answer.error(400, "invalid_request");
            let text = answer.member("error_description");
            assert_eq!(text, "Content-Type is repeated", "{path}");
        }
    }
}

// req: 6749-3.2-6, http-form-3
#[tokio::test]
async fn s25_a_parameter_that_is_known_stands_there_once() {
    let server = Harness::new().await;
    let code = server.code_for("web", "").await;
    let redemption = redemption("web", &code);
    let refresh = "grant_type=refresh_token&refresh_token=x&scope=a";
    let poll = format!("grant_type={DEVICE_CODE}&device_code=x");
    let forms = ENDPOINTS
        .into_iter()
        .chain([&*redemption, refresh, &poll].map(|form| ("/auth/token", form)));
    for (path, form) in forms {
        for pair in form.split('&') {
            let (name, _) = pair.split_once('=').unwrap();
            let escaped = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
            for again in [pair, &format!("{name}="), name, &format!("{escaped}=x")] {
                let twice = format!("{form}&{again}");
                let answer = server.post_as(path, ("web", SECRET), &twice).await;
                assert_eq!(answer.status, 400, "{path} {again}");
                assert_eq!(answer.member("error"), "invalid_request", "{path} {again}");
            }
        }
    }
    server.web(&redemption).await.pair();
}

// req: 6749-3.2-5, http-form-9, http-form-7
#[tokio::test]
async fn rfc6749_3_2_parameters_that_are_not_known_are_ignored() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        for more in [
            "foo=1",
            "foo=1&foo=2",
            "audience_hint=x",
            "Scope=nope&SCOPE=nope&Grant_Type=password&Token=y",
            "&&&",
            "=",
            "x=1;scope=nope",
            "%C3%A9=1",
        ] {
            let form = format!("{more}&{form}&{more}");
            let answer = server.post_as(path, ("web", SECRET), &form).await;
            assert_eq!(answer.status, 200, "{path} {more}: {answer:?}");
        }
    }
}

// req: 6749-B-1, http-form-5, 6749-10.14-1
#[tokio::test]
async fn rfc6749_b_a_form_that_is_no_utf_8_is_refused() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        for wrong in [
            "x=%zz",
            "x=%C3",
            "x=%FF",
            "x=%00",
            "x=%",
            "x=%4",
            "%=1",
            "x=%ED%A0%80",
            "x=\u{0}",
        ] {
            let form = format!("{form}&{wrong}");
            let answer = server.post_as(path, ("web", SECRET), &form).await;
            answer.error(400, "invalid_request");
        }
        let request = request("POST", path).header("content-type", FORM);
        let bytes = [form.as_bytes(), b"&x=\xC3\x28"].concat();
        let answer = server.send(request.body(Full::from(bytes)).unwrap()).await;
        answer.error(400, "invalid_request");
    }
    let decoded = server
        .web("%67rant%5Ftype=client%5Fcredentials&scope=ledger%2Eread")
        .await;
    decoded.access_token();
}

// req: 6749-5.1-6, http-cache-1, http-cache-2, http-type-1
#[tokio::test]
async fn http_cache_1_nobody_keeps_an_answer() {
    let server = Harness::new().await;
    let large = "x".repeat(20_000);
    for (path, form) in ENDPOINTS {
        for (secret, form, status) in [
            (SECRET, form, 200),
            (SECRET, "grant_type=x&scope=nope&token=", 400),
            ("wrong", form, 401),
            (SECRET, &large, 413),
        ] {
            let answer = server.post_as(path, ("web", secret), form).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(
                answer.header("cache-control"),
                "no-store",
                "{path} {status}"
            );
            if !answer.body.is_empty() {
                assert_eq!(answer.header("pragma"), "no-cache", "{path} {status}");
                assert_eq!(answer.header("content-type"), "application/json");
                assert_eq!(answer.header("x-content-type-options"), "nosniff");
            }
        }
        let answer = server.get(path, None).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("pragma"), "no-cache", "{path}");
    }
}

// req: http-type-2
#[tokio::test]
async fn http_type_2_accept_is_not_looked_at() {
    let server = Harness::new().await;
    let authorization = basic("web", SECRET);
    for accept in ["text/html", "application/xml;q=0", "", "*/*"] {
        let headers = [("authorization", &*authorization), ("accept", accept)];
        let answer = server.post_with("/auth/token", &headers, FOR_ITSELF).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

// req: http-host-1, http-host-3
#[tokio::test]
async fn s24_no_header_says_who_we_are() {
    let server = Harness::new().await;
    let hostile = [
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9;host=evil.test;proto=http"),
        ("x-original-url", "/evil"),
        ("x-http-method-override", "GET"),
        ("origin", "https://evil.test"),
    ];
    let device = server
        .post_with("/auth/device", &hostile, "client_id=tv")
        .await;
    let verification_uri = device.member("verification_uri");
    assert_eq!(verification_uri, format!("{ISSUER}/device"));
    let authorization = basic("all", "all-secret-0123456789-0123456789-0123456789");
    let all = [hostile.as_slice(), &[("authorization", &authorization)]].concat();
    let (token, _) = server.tokens("").await.pair();
    let told = server
        .post_with("/auth/introspect", &all, &format!("token={token}"))
        .await;
    assert_eq!(told.member("iss"), ISSUER);
    let wrong = server
        .post_with("/auth/token", &hostile, "client_id=web")
        .await;
    for answer in [&device, &told, &wrong] {
        let text = format!("{answer:?}");
        assert!(!text.contains("evil") && !text.contains("203.0"), "{text}");
    }
    let absolute = Request::post("http://evil.test/auth/device").header("content-type", FORM);
    let body = Full::from("client_id=tv");
    let answer = server.send(absolute.body(body).unwrap()).await;
    assert_eq!(answer.member("verification_uri"), verification_uri);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// req: http-log-1
#[tokio::test]
async fn http_log_1_no_secret_is_in_the_log_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a second subscriber each log line asks who listens, and does not remember what another thread was told.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = Harness::new().await;
    let page = server.authorize("&state=hidden-state").await;
    let interaction = page.hidden("interaction");
    let done = server.decide(&page, "alice", "allow").await;
    let code = done.parameter("code").unwrap();
    let (access, first) = server.redeem(&code).await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    server.advance(31);
    server.refresh(&first, "").await.error(400, "invalid_grant");
    server.redeem(&code).await.error(400, "invalid_grant");
    let (device_code, user_code) = server.device().await;
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    server.enter(&user_code, "alice").await;
    let wrong = server
        .post_as("/auth/token", ("web", "wrong-secret"), FOR_ITSELF)
        .await;
    wrong.error(401, "invalid_client");
    let malformed = format!("token={access}&token={access}");
    server.web(&malformed).await.error(400, "invalid_request");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("invalid_grant") && text.contains("presented again"),
        "{text}"
    );
    let secrets = [
        &*interaction,
        &code,
        &access,
        &first,
        &second,
        &device_code,
        &user_code,
        VERIFIER,
        SECRET,
        "wrong-secret",
        &basic("web", SECRET),
        "hidden-state",
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in {text}");
        let tail = &secret[secret.len() - 8.min(secret.len())..];
        assert!(!text.contains(tail), "the end of {secret} is in {text}");
    }
}

/// Keeps what the host would print of a request that waits.
#[derive(Clone, Default)]
struct Prints(Arc<Mutex<String>>);

impl Interaction for Prints {
    async fn decide(&self, pending: &PendingRequest, _: &Parts) -> Decision {
        *self.0.lock().unwrap() = format!("{pending:?}");
        Decision::Ask(Subject::new("alice").unwrap().into())
    }
}

// req: http-log-1
#[tokio::test]
async fn http_log_1_what_a_host_may_print_of_us_shows_no_secret() {
    let prints = Prints::default();
    let server = Harness::with(|builder| builder.interaction("/login", prints.clone())).await;
    let (_, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    let printed = prints.0.lock().unwrap().clone();
    assert!(printed.contains("tv") && page.text().contains(&user_code));
    for secret in [
        &user_code,
        &user_code.replace('-', ""),
        &page.hidden("interaction"),
    ] {
        assert!(
            !printed.contains(secret.as_str()),
            "{secret} is in {printed}"
        );
    }
    let answer = server.allow(&authorization_request("app", "")).await;
    let (code, headers) = (
        answer.parameter("code").unwrap(),
        format!("{:?}", answer.headers),
    );
    assert!(
        headers.contains("location") && !headers.contains(&code),
        "{headers}"
    );
}
