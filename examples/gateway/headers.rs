//! What goes on to the upstream and what stays here: fields of one connection, fields that the gateway alone may set.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tower_oauth::AccessToken;

const ISSUER: HeaderName = HeaderName::from_static("x-auth-issuer");
const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-auth-client-id");
const SCOPE: HeaderName = HeaderName::from_static("x-auth-scope");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What else some upstreams believe about who asks, or for which path, whoever says it.
const BELIEVED: [&str; 6] = [
    "forwarded",
    "x-real-ip",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-client-ip",
];

/// Takes away what belongs to one connection (RFC 9110 §7.6.1), in either direction. Goes first: `Connection` names fields of the sender's,
/// and none that are set here.
pub(crate) fn end_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    // RFC 9112 §6.3: where there are both, the length is not that of the body. (The parser has dropped it; this does not count on it.)
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]
        .iter()
        .chain(&named)
    {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        // `Proxy` itself is read as a setting by programs that are called as CGI.
        matches!(name, "keep-alive" | "http2-settings" | "proxy") || name.starts_with("proxy-")
    });
}

/// Takes away what the gateway alone may say, whoever has sent it.
pub(crate) fn remove_claims(headers: &mut HeaderMap) {
    let ours = [ISSUER, SUBJECT, CLIENT_ID, SCOPE];
    remove_where(headers, |name| {
        ours.iter().any(|ours| ours == name)
            || name.starts_with("x-forwarded")
            || BELIEVED.contains(&name)
    });
}

/// Names are compared as the environment of a CGI or WSGI program spells them: whatever is no letter and no digit is one and the same.
fn remove_where(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let spelled = |name: &HeaderName| -> String {
        let chars = name.as_str().chars(); // in lower case already
        chars
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect()
    };
    let found: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_meant(&spelled(name)))
        .cloned()
        .collect();
    for name in found {
        headers.remove(name);
    }
}

/// Says where the request came from: the address of the connection, and the host it was sent to. Nothing is taken over from the request,
/// for no proxy in front is known to be honest.
pub(crate) fn say_where_from(headers: &mut HeaderMap, peer: IpAddr, host: Option<&str>) {
    headers.remove(HOST); // the upstream's own is set when it is called
    headers.remove(EXPECT); // was answered here
    let mut set = |name, value: &str| {
        // An address, and a host that was parsed, are header values.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(FORWARDED_FOR, &peer.to_canonical().to_string());
    set(FORWARDED_PROTO, "http");
    if let Some(host) = host {
        set(FORWARDED_HOST, host);
    }
    headers.append(VIA, HeaderValue::from_static("1.1 gateway")); // RFC 9110 §7.6.3
}

/// Says who asks. What the token does not say has no field.
pub(crate) fn say_who(headers: &mut HeaderMap, token: &AccessToken) {
    let mut set = |name, value: &str| {
        // Encoded, or ASCII by its type; were it neither, there would be no field, and never another one.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(ISSUER, token.issuer().as_str());
    set(SUBJECT, &encoded(token.subject().as_str()));
    if let Some(client_id) = token.client_id() {
        set(CLIENT_ID, &encoded(client_id.as_str()));
    }
    if !token.scope().is_empty() {
        set(SCOPE, &token.scope().to_string());
    }
}

/// A text as a header value: what is not a visible ASCII character is percent-encoded, as UTF-8, and so is `%`. Two texts never become
/// the same, no text becomes two fields, and most stay as they are.
fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            value.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(value, "%{byte:02X}");
        }
    }
    value
}
