//! Redirection URIs: what parses prints itself and is what a browser would make of it, and a match differs in a loopback port at most.
//! The first line of the input is registered, the second is asked for.
#![no_main]

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower_oauth::types::{Client, RedirectUri};
use tower_oauth_fuzz::{CHALLENGE, builder, run, send, with_login};
use url::{Host, Url};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let Ok(registered) = first.parse::<RedirectUri>() else {
        return;
    };
    is_what_it_says(first, &registered);
    let asked = second.parse::<RedirectUri>();
    if let Ok(asked) = &asked {
        is_what_it_says(second, asked);
        assert_eq!(registered.matches(second), asked.matches(first), "{text}");
    }
    let matches = registered.matches(second);
    if matches && first != second {
        let (ours, theirs) = (without_port(first), without_port(second));
        assert!(registered.is_loopback() && ours == theirs, "{text}");
    }
    if !second.is_empty() {
        run(is_sent_there(registered, second, matches && asked.is_ok()));
    }
});

/// RFC 6749 §3.1.2, RFC 9700 §2.6, RFC 8252 §7.
fn is_what_it_says(text: &str, uri: &RedirectUri) {
    assert_eq!((uri.as_str(), &*uri.to_string()), (text, text));
    assert!(uri.matches(text));
    assert!(
        text.is_ascii() && !text.contains(|c: char| c.is_ascii_control() || " #\\\"<>".contains(c))
    );
    let url = Url::parse(text).expect("a URL");
    assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none());
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => assert!(uri.is_https() && !uri.is_loopback()),
        "http" => assert!(loopback && uri.is_loopback() && !uri.is_https()),
        scheme => assert!(scheme.contains('.') && uri.destination() == scheme),
    }
    if uri.is_https() || uri.is_loopback() {
        // Who is shown the destination is shown where the browser goes.
        let shown = Url::parse(&format!("{}://{}", url.scheme(), uri.destination())).unwrap();
        assert_eq!(
            (shown.host(), shown.port()),
            (url.host(), url.port()),
            "{text}"
        );
    }
    let ours = [
        "code",
        "state",
        "iss",
        "error",
        "error_description",
        "error_uri",
    ];
    assert!(
        !url.query_pairs().any(|(name, _)| ours.contains(&&*name)),
        "{text}"
    );
    let json = serde_json::to_string(uri).unwrap();
    assert_eq!(&serde_json::from_str::<RedirectUri>(&json).unwrap(), uri);
}

fn without_port(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    url.set_port(None).ok()?;
    Some(url)
}

/// A request that names the second is answered there if it matches, and nowhere else otherwise.
async fn is_sent_there(registered: RedirectUri, asked: &str, matches: bool) {
    let oauth = with_login(builder());
    let client = Client::public("app".parse().unwrap()).redirect_uri(registered);
    oauth.clients().create(client).await.unwrap();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", "app"),
            ("redirect_uri", asked),
            ("response_type", "none"),
        ])
        .extend_pairs([("code_challenge", CHALLENGE), ("state", "s1")])
        .finish();
    // Nobody is sent away with an error before they have signed in.
    let Ok(request) = Request::get(format!("/auth/authorize?{query}"))
        .header("x-user", "alice")
        .body(Full::<Bytes>::default())
    else {
        return;
    };
    let answer = send(&oauth, request).await;
    assert_eq!(answer.status, if matches { 303 } else { 400 }, "{answer:?}");
    if matches {
        let location = answer.location().unwrap();
        assert!(location.starts_with(asked), "{answer:?}");
        let (was, is) = (Url::parse(asked).unwrap(), Url::parse(location).unwrap());
        assert_eq!(
            (was.scheme(), was.host(), was.port(), was.path()),
            (is.scheme(), is.host(), is.port(), is.path())
        );
        let added = is.query_pairs().skip(was.query_pairs().count());
        let names: Vec<_> = added.map(|(name, _)| name.into_owned()).collect();
        assert_eq!(
            names.first().map(String::as_str),
            Some("error"),
            "{answer:?}"
        );
        assert!(
            names.contains(&"state".to_owned()) && names.contains(&"iss".to_owned()),
            "{answer:?}"
        );
    }
}
