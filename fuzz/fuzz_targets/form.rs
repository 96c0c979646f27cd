//! Form parameters, in a query and in a body: what is well-formed is read as `url` reads it, and nothing else is read.
#![no_main]

use std::cell::OnceCell;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower_oauth::types::Subject;
use tower_oauth::{Approval, AuthorizationServer, Decision, Interaction, PendingRequest};
use tower_oauth_fuzz::{
    CHALLENGE, SECRET, access_token, basic, builder, create_clients, post, run, send, values,
    well_formed, with_token,
};

/// A host that says yes at once.
struct Yes;

impl Interaction for Yes {
    async fn decide(&self, _: &PendingRequest, _: &http::request::Parts) -> Decision {
        Decision::Approve(Approval::new(Subject::new("alice").unwrap()))
    }
}

thread_local! {
    static TOKEN: OnceCell<(AuthorizationServer, String)> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    TOKEN.with(|made| {
        let (oauth, token) = made.get_or_init(|| {
            let oauth = builder().interaction("/login", Yes).build().unwrap();
            let token = run(async {
                create_clients(&oauth).await;
                access_token(&oauth).await
            });
            (oauth, token)
        });
        run(in_a_body(oauth, data, token));
    });
    run(in_a_query(data));
});

/// The token that the server looks up is the one that `url` finds in the body.
async fn in_a_body(oauth: &AuthorizationServer, data: &[u8], token: &str) {
    let body = with_token(data, token);
    if body.len() > 16 * 1024 {
        return;
    }
    let header = basic("all", SECRET);
    let headers = [("authorization", &*header)];
    let answer = post(oauth, "/auth/introspect", &headers, body.clone()).await;
    let Some(pairs) = well_formed(&body) else {
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.error().as_deref(), Some("invalid_request"));
        return;
    };
    let twice = |name: &&str| values(&pairs, name).len() > 1;
    if ["client_id", "client_secret", "token_type_hint", "token"]
        .iter()
        .any(twice)
    {
        assert_eq!(answer.status, 400, "{answer:?}");
        return;
    }
    let other_client = values(&pairs, "client_id")
        .iter()
        .any(|id| !["", "all"].contains(id));
    let second_way = values(&pairs, "client_secret")
        .iter()
        .any(|secret| !secret.is_empty());
    match values(&pairs, "token").first().copied().unwrap_or_default() {
        _ if other_client || second_way => assert_eq!(answer.status, 400, "{answer:?}"),
        "" => assert_eq!(answer.status, 400, "{answer:?}"),
        found => {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["active"], found == token, "{answer:?}");
        }
    }
}

/// The `state` that comes back with the code is the one that `url` finds in the query.
async fn in_a_query(data: &[u8]) {
    let mut target = format!(
        "/auth/authorize?response_type=code&client_id=app&code_challenge={CHALLENGE}&code_challenge_method=S256&"
    ).into_bytes();
    target.extend_from_slice(data);
    let Ok(uri) = Uri::try_from(target) else {
        return;
    };
    // What follows a `#` is no part of the query.
    let pairs = well_formed(uri.query().unwrap_or_default().as_bytes());
    let oauth = builder().interaction("/login", Yes).build().unwrap();
    create_clients(&oauth).await;
    let answer = send(
        &oauth,
        Request::get(uri).body(Full::<Bytes>::default()).unwrap(),
    )
    .await;
    let Some(pairs) = pairs else {
        assert_eq!(answer.status, 400, "{answer:?}");
        return;
    };
    let read = ["interaction", "client_id", "redirect_uri"];
    if read.iter().any(|name| values(&pairs, name).len() > 1) {
        assert_eq!(answer.status, 400, "{answer:?}");
        return;
    }
    let states = values(&pairs, "state");
    let sent = states.first().copied().filter(|state| !state.is_empty());
    let came = answer.parameter("state");
    if answer.parameter("code").is_some() {
        assert!(states.len() <= 1, "{answer:?}");
        assert_eq!(came.as_deref(), sent, "{answer:?}");
    } else if came.is_some() {
        assert_eq!(came.as_deref(), sent, "{answer:?}");
    }
    // Nothing but these can be wrong with this request.
    let others = [
        "interaction",
        "redirect_uri",
        "scope",
        "resource",
        "response_mode",
        "response_type",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "max_age",
        "acr_values",
        "login_hint",
        "ui_locales",
    ];
    let named = |name: &&str| pairs.iter().filter(|pair| pair.0 == **name).count();
    let as_begun = others.iter().all(|name| {
        let begun = usize::from(
            ["response_type", "code_challenge", "code_challenge_method"].contains(name),
        );
        named(name) == begun
    });
    let carried = |state: &&str| state.len() <= 4096 && !state.chars().any(char::is_control);
    if as_begun && states.len() <= 1 && states.iter().all(carried) {
        assert!(answer.parameter("code").is_some(), "{answer:?}");
    }
}
