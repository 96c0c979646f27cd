//! From a page to an answer: its headers, and the policy of what a browser may do with it.
//!
//! An endpoint answers with a page before anybody knows in which language and look it is shown: it stands in the extensions of the
//! answer, and is rendered at the end of the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::html::{has_form, render};
use super::language::{Spoken, choose};
use super::settings::Replace;
use super::view::Page;
use crate::types::Body;

/// An answer that becomes this page.
pub(crate) fn page(status: StatusCode, page: Page) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.extensions_mut().insert(page);
    response
}

/// What is the same on all pages.
pub(super) struct Frame {
    pub(super) style: String,
    pub(super) name: Option<String>,
    /// A `data:` URL.
    pub(super) logo: Option<String>,
}

/// Makes pages.
pub(crate) struct Renderer {
    frame: Frame,
    /// The first is for whom no other suits; there is always one.
    spoken: Vec<Spoken>,
    replace: Option<Replace>,
    form: HeaderValue,
    no_form: HeaderValue,
}

impl Renderer {
    pub(super) fn new(
        style: String,
        name: Option<String>,
        logo: Option<String>,
        (spoken, replace): (Vec<Spoken>, Option<Replace>),
    ) -> Self {
        let form = policy(&style, logo.is_some());
        let no_form = format!("{form}; form-action 'none'");
        // Of our own ASCII; were it not, nothing at all would be let in.
        let header = |policy: &str| {
            HeaderValue::from_str(policy)
                .unwrap_or(HeaderValue::from_static("default-src 'none'; sandbox"))
        };
        Self {
            form: header(&form),
            no_form: header(&no_form),
            frame: Frame { style, name, logo },
            spoken,
            replace,
        }
    }

    /// Renders the page of an answer, if it has one, for the browser that sent these headers.
    pub(crate) fn finish(&self, asked: &HeaderMap, response: &mut Response<Bytes>) {
        let Some(page) = response.extensions_mut().remove::<Page>() else {
            return;
        };
        let accepted = asked.get_all(ACCEPT_LANGUAGE).iter();
        let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
        let Some(words) = choose(&accepted.join(","), &self.spoken) else {
            return;
        };
        let theirs = self.replace.as_ref();
        if let Some(theirs) = theirs.and_then(|replace| replace(&page, &words.tag)) {
            *response.body_mut() = take(theirs, response.headers_mut());
        } else {
            let error_id = response.headers().get("error-id").cloned();
            let error_id = error_id.as_ref().and_then(|value| value.to_str().ok());
            match render(&self.frame, (words, error_id), &page) {
                Ok(html) => *response.body_mut() = html.into(),
                Err(error) => {
                    tracing::error!(%error, "a page could not be rendered");
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                }
            }
            let headers = response.headers_mut();
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            headers.insert(CONTENT_TYPE, html);
            let policy = if has_form(&page) {
                &self.form
            } else {
                &self.no_form
            };
            headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer")); // RFC 9700 §4.2.4; see form.html
            if let Ok(tag) = HeaderValue::from_str(&words.tag) {
                headers.insert(CONTENT_LANGUAGE, tag);
            }
        }
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("accept-language"));
        // No Cross-Origin-Opener-Policy: it would cut an app off from the popup that it opened us in.
        for (name, value) in [
            (CACHE_CONTROL, "no-store"),
            (X_FRAME_OPTIONS, "DENY"), // RFC 9700 §4.16: MUST
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "same-origin"),
            (
                CONTENT_SECURITY_POLICY,
                "base-uri 'none'; frame-ancestors 'none'",
            ),
        ] {
            add(headers, &name, value);
        }
    }
}

/// Adds a header that is not there.
fn add(headers: &mut HeaderMap, name: &HeaderName, value: &'static str) {
    if !headers.contains_key(name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The body of the host's page; its headers go to the others, but for what would let it be framed or kept.
fn take(theirs: Response<Body>, headers: &mut HeaderMap) -> Bytes {
    let (parts, body) = theirs.into_parts();
    let mut last = None;
    for (name, value) in parts.headers {
        last = name.or(last);
        let ours = |name: &HeaderName| *name == X_FRAME_OPTIONS || *name == CACHE_CONTROL;
        if let Some(name) = last.as_ref().filter(|name| !ours(name)) {
            headers.append(name, value);
        }
    }
    body.into_bytes()
}

/// What a browser may do with a page: apply its style, which it knows by the hash, and show the logo that stands in it.
///
/// Forms have no `form-action`: browsers apply it to every redirect that follows a form, and nobody can list those. A client's
/// redirect URI may redirect further, the host's login to another site, and `[::1]` cannot even be written as a source.
/// What it guards against, a form slipped into the page, could win nothing: the values in ours are worthless without the
/// session they were made for.
fn policy(style: &str, has_logo: bool) -> String {
    let hash = STANDARD.encode(Sha256::digest(style));
    let images = if has_logo { "; img-src data:" } else { "" };
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'{images}; base-uri 'none'; frame-ancestors 'none'"
    )
}
