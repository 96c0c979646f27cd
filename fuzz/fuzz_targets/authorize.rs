//! Authorization requests: a code goes to a registered address, after somebody signed in and said yes to what is shown, with PKCE.
//! The first byte of the input says how it is sent and answered; the rest is the query or the form.
#![no_main]

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower_oauth::AuthorizationServer;
use tower_oauth_fuzz::{
    Answer, CALLBACK, builder, create_clients, post, run, send, values, well_formed, with_login,
};

fuzz_target!(|data: &[u8]| {
    if let Some((how, asked)) = data.split_first() {
        run(authorize(*how, asked));
    }
});

async fn authorize(how: u8, asked: &[u8]) {
    let (posted, signed_in, yes) = (how & 1 != 0, how & 2 == 0, how & 4 == 0);
    let oauth = with_login(builder());
    create_clients(&oauth).await;
    let Some((answer, read)) = ask(&oauth, asked, posted, signed_in).await else {
        return;
    };
    assert_eq!(
        answer.parameter("code"),
        None,
        "nobody was asked: {answer:?}"
    );
    let pairs = well_formed(&read);
    let one = |name: &str| {
        let found = values(pairs.as_deref()?, name);
        (found.len() == 1).then(|| found[0].to_owned())
    };
    if answer
        .location()
        .is_some_and(|location| !location.starts_with('/'))
    {
        assert_eq!(
            answer.parameter("iss").as_deref(),
            Some("https://auth.harbor.test")
        );
        assert!(answer.parameter("error").is_some(), "{answer:?}");
    }
    if answer.status != 200 {
        return;
    }
    // A page that asks. RFC 7636 §4.4.1, RFC 6749 §4.1.1: what must be there was there, once.
    assert!(signed_in, "{answer:?}");
    assert_eq!(one("response_type").as_deref(), Some("code"));
    assert_eq!(one("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(one("code_challenge").map(|text| text.len()), Some(43));
    let Some((interaction, csrf)) = answer.hidden("interaction").zip(answer.hidden("csrf")) else {
        panic!("no form: {answer:?}");
    };
    let decision = if yes { "allow" } else { "deny" };
    let form = format!("interaction={interaction}&csrf={csrf}&decision={decision}");
    // Nobody else can press the button, nor from elsewhere.
    let other = [("x-user", "mallory"), ("sec-fetch-site", "same-origin")];
    let elsewhere = [("x-user", "alice"), ("sec-fetch-site", "cross-site")];
    for headers in [other, elsewhere] {
        let refused = post(&oauth, "/auth/authorize", &headers, form.clone()).await;
        assert!(
            !refused.status.is_success() && refused.location().is_none(),
            "{refused:?}"
        );
    }
    let own = [("x-user", "alice"), ("sec-fetch-site", "same-origin")];
    let decided = post(&oauth, "/auth/authorize", &own, form.clone()).await;
    assert_eq!(decided.parameter("code").is_some(), yes, "{decided:?}");
    assert_eq!(
        decided.parameter("error").as_deref() == Some("access_denied"),
        !yes,
        "{decided:?}"
    );
    let state = one("state").filter(|state| !state.is_empty());
    assert_eq!(decided.parameter("state"), state, "{decided:?}");
    let place = one("redirect_uri").filter(|uri| !uri.is_empty());
    let place = place.unwrap_or_else(|| CALLBACK.to_owned());
    assert!(
        decided.location().unwrap().starts_with(&place),
        "{decided:?}"
    );
    // The same answer again is sent to the same place, with another code in place of the first.
    let again = post(&oauth, "/auth/authorize", &own, form).await;
    assert_eq!(again.parameter("code").is_some(), yes, "{again:?}");
    assert!(!yes || again.parameter("code") != decided.parameter("code"));
    assert!(again.location().unwrap().starts_with(&place), "{again:?}");
}

/// The answer, and the text that the server read.
async fn ask(
    oauth: &AuthorizationServer,
    asked: &[u8],
    posted: bool,
    signed_in: bool,
) -> Option<(Answer, Vec<u8>)> {
    let user = if signed_in { "alice" } else { "" };
    if posted {
        let headers = [("x-user", user), ("sec-fetch-site", "cross-site")];
        let answer = post(oauth, "/auth/authorize", &headers, asked.to_vec()).await;
        return Some((answer, asked.to_vec()));
    }
    let mut target = b"/auth/authorize?".to_vec();
    target.extend_from_slice(asked);
    let uri = Uri::try_from(target).ok()?;
    let read = uri.query().unwrap_or_default().as_bytes().to_vec();
    let request = Request::get(uri).header("x-user", user);
    let answer = send(oauth, request.body(Full::<Bytes>::default()).unwrap()).await;
    Some((answer, read))
}
