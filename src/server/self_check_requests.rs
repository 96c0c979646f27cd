//! What `self_check` asks of the host's service: one harmless request after the other, and what should come of each.

use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE,
    ORIGIN,
};
use http::{HeaderName, HeaderValue, Method};

use super::config::Config;
use super::self_check::{Check, Expected};
use super::{Endpoint, Route};

const FORM: (HeaderName, HeaderValue) = (
    CONTENT_TYPE,
    HeaderValue::from_static("application/x-www-form-urlencoded"),
);

/// All that is asked of the host's service.
pub(crate) fn checks(config: &Config) -> Vec<Check> {
    let host = config
        .issuer
        .origin()
        .split_once("://")
        .map(|(_, host)| host);
    let host = host.and_then(|host| HeaderValue::from_str(host).ok());
    let check = |method: Method, path: &str, headers: &[_], body, expected| Check {
        method,
        path: path.to_owned(),
        headers: headers.to_vec(),
        body,
        host: host.clone(),
        expected,
    };
    // A page of another origin, one that is let in if there are any, and the page itself.
    let any = HeaderValue::from_static("https://self-check.invalid");
    let other = config.browser_clients.first();
    let other = other.filter(|origin| *origin != "*").cloned();
    let other = (ORIGIN, other.unwrap_or(any));
    let own = HeaderValue::from_str(config.issuer.origin()).ok();
    let fetch_site = HeaderName::from_static("sec-fetch-site");
    let same_origin = (fetch_site, HeaderValue::from_static("same-origin"));
    let asks = [
        other.clone(),
        (
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("POST"),
        ),
        (
            ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("authorization"),
        ),
    ];
    let answer = |endpoint, statuses| Expected::Answer(Route::Endpoint(endpoint), statuses);
    let closed = |checks: &mut Vec<Check>, endpoint, path: &str| {
        let expected = Expected::Closed(Route::Endpoint(endpoint));
        checks.push(check(Method::OPTIONS, path, &asks, "", expected));
    };
    let mut checks = Vec::new();
    for endpoint in Endpoint::ALL {
        let Some(path) = config.paths.get(&endpoint) else {
            continue;
        };
        if !config.serves(endpoint) {
            let other = config.serves_at(path);
            checks.extend((!other).then(|| check(Method::GET, path, &[], "", Expected::NotOurs)));
            continue;
        }
        match endpoint {
            Endpoint::Metadata | Endpoint::Jwks => {
                checks.push(check(Method::GET, path, &[], "", answer(endpoint, &[200])));
                checks.push(check(Method::POST, path, &[], "", answer(endpoint, &[405])));
            }
            Endpoint::Authorize | Endpoint::Verification | Endpoint::ConnectedApps => {
                // Without a client it is an error page; the page for user codes may ask to sign in first.
                let asked = format!("{path}?self_check=1");
                let shown = answer(endpoint, &[200, 303, 400]);
                checks.push(check(
                    Method::GET,
                    &asked,
                    std::slice::from_ref(&other),
                    "",
                    shown,
                ));
                // Nobody can read a name that is there twice: it is no user code that would be counted.
                let twice = "user_code=&user_code=";
                let mut headers = vec![FORM, same_origin.clone()];
                headers.extend(own.clone().map(|own| (ORIGIN, own)));
                checks.push(check(
                    Method::POST,
                    &asked,
                    &headers,
                    twice,
                    answer(endpoint, &[400]),
                ));
                checks.push(check(Method::PUT, path, &[], "", answer(endpoint, &[405])));
                closed(&mut checks, endpoint, path);
            }
            Endpoint::Register => {
                let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let token = (AUTHORIZATION, HeaderValue::from_static("Bearer self-check"));
                let headers = [json, token];
                checks.push(check(
                    Method::POST,
                    path,
                    &headers,
                    "{",
                    answer(endpoint, &[400, 401]),
                ));
                checks.push(check(Method::GET, path, &[], "", answer(endpoint, &[405])));
            }
            Endpoint::Token | Endpoint::Device | Endpoint::Introspect | Endpoint::Revoke => {
                // Credentials of a scheme that nobody has: nobody's are wrong.
                let nobody = (AUTHORIZATION, HeaderValue::from_static("SelfCheck none"));
                let headers = [FORM, nobody];
                let body = "self_check=1";
                checks.push(check(
                    Method::POST,
                    path,
                    &headers,
                    body,
                    answer(endpoint, &[400, 401]),
                ));
                let headers = std::slice::from_ref(&other);
                checks.push(check(
                    Method::GET,
                    path,
                    headers,
                    "",
                    answer(endpoint, &[405]),
                ));
                if endpoint == Endpoint::Introspect {
                    closed(&mut checks, endpoint, path);
                }
            }
        }
    }
    for resource in config
        .catalog
        .resources
        .iter()
        .map(|resource| &resource.uri)
    {
        // With its query: two resources may differ in that alone.
        let url = resource.metadata_url();
        let ours = url
            .as_deref()
            .and_then(|url| url.strip_prefix(config.issuer.origin()));
        if let Some(path) = ours.filter(|path| path.starts_with('/')) {
            let expected = Expected::Answer(Route::ProtectedResource, &[200]);
            checks.push(check(Method::GET, path, &[], "", expected));
        }
    }
    if !config.browser_clients.is_empty() {
        let path = config.paths.get(&Endpoint::Token);
        let expected = answer(Endpoint::Token, &[204]);
        checks.extend(path.map(|path| check(Method::OPTIONS, path, &asks, "", expected)));
    }
    // Beside what is advertised nothing is ours, and no path is another one's with a slash more.
    let beside = ["/auth/self-check", "/.well-known/openid-configuration"];
    let beside = beside.map(|path| format!("{}{path}", config.issuer.path()));
    let token = config.paths.get(&Endpoint::Token);
    for path in beside
        .into_iter()
        .chain(token.map(|path| format!("{path}/")))
    {
        if !config.serves_at(&path) {
            checks.push(check(Method::GET, &path, &[], "", Expected::NotOurs));
        }
    }
    for (path, purpose) in [
        (&config.login_path, "sign in"),
        (&config.consent_path, "allow or deny"),
    ] {
        let page = Expected::Page(purpose);
        let path = path.as_deref();
        checks.extend(path.map(|path| check(Method::GET, path, &[], "", page)));
    }
    checks
}
