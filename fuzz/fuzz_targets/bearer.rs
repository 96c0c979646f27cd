//! The bearer layer: whatever stands in the `Authorization` headers, only the token reaches the inner service.
#![no_main]

use std::cell::OnceCell;
use std::convert::Infallible;

use http::{HeaderValue, Request, Response};
use libfuzzer_sys::fuzz_target;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_oauth::{AccessToken, AuthorizationServer, Issuer, ResourceServer};
use tower_oauth_fuzz::{
    Answer, RESOURCE, access_token, builder, create_clients, run, with_login, with_token,
};

struct Protected {
    _oauth: AuthorizationServer,
    api: ResourceServer,
    token: String,
}

thread_local! {
    static PROTECTED: OnceCell<Protected> = const { OnceCell::new() };
}

fn protected() -> Protected {
    let oauth = with_login(builder());
    let token = run(async {
        create_clients(&oauth).await;
        access_token(&oauth).await
    });
    let clock = tower_oauth::types::ManualClock::new(tower_oauth_fuzz::NOW);
    let api = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::in_process(&oauth))
        .clock(clock);
    let api = api.build().unwrap();
    Protected {
        _oauth: oauth,
        api,
        token,
    }
}

// One line of the input is one header.
fuzz_target!(|data: &[u8]| {
    PROTECTED.with(|made| {
        let made = made.get_or_init(protected);
        let filled = with_token(data, &made.token);
        let mut request = Request::get("/");
        let mut fields = Vec::new();
        for line in filled.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                request = request.header("authorization", value);
                fields.push(line);
            }
        }
        let answer = run(ask(&made.api, request.body(()).unwrap()));
        let (status, error) = expected(&fields, &made.token);
        assert_eq!(
            answer.status,
            status,
            "{answer:?} to {:?}",
            String::from_utf8_lossy(&filled)
        );
        if status == 200 {
            return;
        }
        let mut challenges = answer.headers.get_all("www-authenticate").iter();
        let challenge = challenges.next().expect("a challenge").to_str().unwrap();
        assert!(
            challenges.next().is_none() && challenge.starts_with("Bearer "),
            "{challenge}"
        );
        let told = challenge
            .split_once("error=\"")
            .map(|(_, rest)| rest.split('"').next().unwrap());
        assert_eq!(told, error, "{challenge}");
    });
});

async fn ask(api: &ResourceServer, request: Request<()>) -> Answer {
    let inner = |request: Request<()>| async move {
        assert!(request.extensions().get::<AccessToken>().is_some());
        Ok::<_, Infallible>(Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
    };
    let service = ServiceBuilder::new().layer(api.layer()).service_fn(inner);
    Answer::of(service.oneshot(request).await.unwrap()).await
}

/// RFC 6750 §2.1 and §3.1, RFC 9110 §11.
fn expected(fields: &[&[u8]], token: &str) -> (u16, Option<&'static str>) {
    let field = match fields {
        [] => return (401, None),
        [field] => *field,
        _ => return (400, Some("invalid_request")),
    };
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let scheme = field.iter().take_while(|byte| is_tchar(byte)).count();
    let (scheme, rest) = field.split_at(scheme);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return (401, None);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let sent = &rest[spaces..];
    if spaces > 0 && sent.len() > 16 * 1024 {
        return (401, Some("invalid_token"));
    }
    let padding = sent.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &sent[..sent.len() - padding];
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if spaces == 0 || body.is_empty() || !body.iter().all(fits) {
        return (400, Some("invalid_request"));
    }
    if sent == token.as_bytes() {
        (200, None)
    } else {
        (401, Some("invalid_token"))
    }
}
