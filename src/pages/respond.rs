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

    /// The language for the browser that sent these headers; none if it is the first, which is for whom no other suits.
    pub(crate) fn language(&self, asked: &HeaderMap) -> Option<String> {
        let (tag, first) = (
            &choose(&accepted(asked), &self.spoken)?.tag,
            self.spoken.first()?,
        );
        (*tag != first.tag).then(|| tag.clone())
    }

    /// Renders the page of an answer, if it has one, for the browser that sent these headers.
    pub(crate) fn finish(&self, asked: &HeaderMap, response: &mut Response<Bytes>) {
        self.finish_in(&accepted(asked), response);
    }

    /// As `finish`, in what suits this value of `Accept-Language`.
    pub(crate) fn finish_in(&self, accepted: &str, response: &mut Response<Bytes>) {
        let Some(page) = response.extensions_mut().remove::<Page>() else {
            return;
        };
        let Some(words) = choose(accepted, &self.spoken) else {
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

fn accepted(asked: &HeaderMap) -> String {
    let accepted = asked.get_all(ACCEPT_LANGUAGE).iter();
    let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
    accepted.join(",")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use http::{HeaderMap, Response, StatusCode};
    use sha2::{Digest as _, Sha256};

    use super::{Renderer, page};
    use crate::pages::{
        App, Asked, Colors, ConnectedApps, Consent, DeviceCode, Leaving, Link, LinkKind, Logo,
        Message, Page, Pages, ScopeInWords, Text,
    };
    use crate::types::{Body, RedirectUri, Secret, Timestamp};

    const HOSTILE: [&str; 6] = [
        "\"><script>alert(1)</script>",
        "' onfocus='alert(1)' autofocus='",
        "</title></style></textarea><img src=x onerror=alert(1)>",
        "{{ 7 * 7 }}{% raw %}${7*7}&lt;b&gt;",
        "\u{202e}javascript:alert(1)//\0",
        "{client}{subject}{destination}{number}{time}",
    ];

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

    fn uri(text: &str) -> RedirectUri {
        text.parse().unwrap()
    }

    fn scopes(text: &str) -> Vec<ScopeInWords> {
        [Some(text.to_owned()), None]
            .map(|description| ScopeInWords {
                scope: text.to_owned(),
                description,
            })
            .into()
    }

    /// A consent page whose every text is this one.
    fn consent(text: &str, asked: Asked) -> Consent {
        Consent {
            client_name: text.to_owned(),
            client_id: text.to_owned(),
            vouched_for: false,
            subject: text.to_owned(),
            scopes: scopes(text),
            resources: vec![text.to_owned()],
            links: vec![Link {
                kind: LinkKind::Website,
                url: format!("https://x.example/{text}"),
            }],
            lasts: Duration::from_secs(90 * 24 * 3600),
            asked,
            another_account: Some(text.to_owned()),
            action: text.to_owned(),
            interaction: Secret::new(text),
            csrf: Secret::new(text),
        }
    }

    fn device(text: &str) -> Asked {
        Asked::Device {
            user_code: Secret::new(text),
            age: Some(Duration::from_secs(130)),
            address: Some([192, 0, 2, 7].into()),
        }
    }

    fn apps(text: &str, count: usize) -> ConnectedApps {
        let app = App {
            client_name: text.to_owned(),
            client_id: text.to_owned(),
            vouched_for: false,
            redirect_uris: vec![uri("https://app.example/cb")],
            on_device: true,
            website: Some(format!("https://x.example/{text}")),
            scopes: scopes(text),
            since: Timestamp::from_secs(NOW.as_secs() - 90 * 24 * 3600),
            renewed: Timestamp::from_secs(NOW.as_secs() - 7200),
            ends: NOW,
            csrf: Secret::new(text),
        };
        ConnectedApps {
            action: text.to_owned(),
            subject: text.to_owned(),
            apps: vec![app; count],
            removed: true,
            previous: Some(text.to_owned()),
            next: Some(text.to_owned()),
            now: NOW,
        }
    }

    const MESSAGES: [Message; 13] = [
        Message::DeviceConnected,
        Message::DeviceDenied,
        Message::Answered,
        Message::Forged,
        Message::ForgedCode,
        Message::ForgedRemoval,
        Message::Expired,
        Message::UnknownApplication,
        Message::UnregisteredAddress,
        Message::TooMany {
            retry_after: Duration::from_secs(42),
        },
        Message::Unavailable,
        Message::NotSignedIn,
        Message::Invalid {
            detail: "The request body could not be read",
        },
    ];

    /// Every page, each of its texts being this one.
    fn every(text: &str) -> Vec<Page> {
        let app = uri("https://app.example/cb");
        let consent = |asked| Page::Consent(Box::new(consent(text, asked)));
        let code = |is_wrong| {
            Page::DeviceCode(DeviceCode {
                action: text.to_owned(),
                user_code: Some(text.to_owned()),
                is_wrong,
            })
        };
        let leaving = Leaving {
            url: Secret::new(app.with_parameters([("state", text)])),
            redirect_uri: app.clone(),
            detail: "x",
        };
        let mut pages = vec![
            consent(Asked::Redirect(app)),
            consent(Asked::Redirect(uri("http://127.0.0.1:9/cb"))),
            consent(Asked::Redirect(uri("com.x.app:/cb"))),
            consent(device(text)),
            code(false),
            code(true),
            Page::ConnectedApps(Box::new(apps(text, 2))),
            Page::ConnectedApps(Box::new(apps(text, 0))),
            Page::Leaving(leaving),
        ];
        pages.extend(MESSAGES.map(Page::Message));
        pages
    }

    fn answer(renderer: &Renderer, language: &str, shown: Page) -> Response<Bytes> {
        let mut asked = HeaderMap::new();
        asked.insert("accept-language", language.parse().unwrap());
        let mut response = page(StatusCode::OK, shown);
        response
            .headers_mut()
            .insert("error-id", "0123".parse().unwrap());
        renderer.finish(&asked, &mut response);
        response
    }

    fn host() -> Renderer {
        let logo = Logo::svg("<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
        let pages = Pages::new().name("N&<b>").logo(logo).accent("#7a1f5c");
        pages.build().unwrap()
    }

    /// Every page in every language, of ours and of a host's look.
    fn pages(text: &str) -> Vec<Response<Bytes>> {
        let mut answers = Vec::new();
        for renderer in [Pages::new().build().unwrap(), host()] {
            for language in ["en", "de"] {
                let pages = every(text).into_iter();
                answers.extend(pages.map(|page| answer(&renderer, language, page)));
            }
        }
        answers
    }

    fn html(response: &Response<Bytes>) -> &str {
        std::str::from_utf8(response.body()).unwrap()
    }

    fn shown(page: Page) -> String {
        html(&answer(&Pages::new().build().unwrap(), "en", page)).to_owned()
    }

    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        let mut values = response.headers().get_all(name).iter();
        let value = values.next().unwrap().to_str().unwrap();
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    /// The tags of a page, and the text left out: what a text could have changed.
    fn tags(html: &str) -> Vec<&str> {
        html.split('<')
            .skip(1)
            .map(|rest| rest.split(['>', ' ']).next().unwrap())
            .collect()
    }

    // req: http-page-1
    #[test]
    fn s14_a_hostile_text_is_inert_in_every_field_of_every_page_and_language() {
        let plain = pages("plain");
        for text in HOSTILE {
            for (page, plain) in pages(text).iter().zip(&plain) {
                assert_eq!(tags(html(page)), tags(html(plain)), "{text}");
                for raw in [
                    "<script",
                    "<img src=x",
                    "' onfocus",
                    "\"><",
                    "href=\"javascript:",
                ] {
                    assert!(
                        !html(page).contains(raw) || html(plain).contains(raw),
                        "{raw} from {text}"
                    );
                }
                assert_eq!(page.headers(), plain.headers());
            }
        }
        // Attributes: each quote that the template wrote, and not one more.
        let quotes = |page: &Response<Bytes>| html(page).matches(['"', '\'']).count();
        for (page, plain) in pages("a\"b'c").iter().zip(&plain) {
            assert_eq!(quotes(page), quotes(plain));
        }
    }

    // req: 9700-4.16-1, 9700-4.16-2, 6749-10.13-1
    #[test]
    fn rfc9700_4_16_no_page_can_be_framed_sniffed_or_run_a_script() {
        for page in pages("x") {
            assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
            assert_eq!(header(&page, "x-frame-options"), "DENY");
            assert_eq!(header(&page, "x-content-type-options"), "nosniff");
            assert_eq!(header(&page, "cache-control"), "no-store");
            let policy = header(&page, "content-security-policy").split("; ");
            let policy: Vec<_> = policy.collect();
            for directive in [
                "default-src 'none'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.contains(&directive), "{directive}");
            }
            assert!(!policy.iter().any(|directive| directive.contains("unsafe")));
        }
    }

    #[test]
    fn the_policy_allows_the_style_that_is_sent_and_a_logo_where_there_is_one() {
        for page in pages("x") {
            let (_, style) = html(&page).split_once("<style>").unwrap();
            let (style, rest) = style.split_once("</style>").unwrap();
            assert!(!rest.contains("style"));
            let hash = STANDARD.encode(Sha256::digest(style));
            let policy = header(&page, "content-security-policy");
            let has = |directive: &str| policy.split("; ").any(|part| part == directive);
            assert!(has(&format!("style-src 'sha256-{hash}'")), "{policy}");
            assert_eq!(
                has("img-src data:"),
                rest.contains("<img src=\"data:image/")
            );
        }
    }

    // req: http-page-2
    #[test]
    fn a_form_may_be_answered_with_any_redirect() {
        for page in pages("x") {
            let form_action = header(&page, "content-security-policy").contains("form-action");
            assert_eq!(form_action, !html(&page).contains("<form"));
        }
    }

    // req: 9700-4.2.4-1, 9700-4.2.4-2
    #[test]
    fn rfc9700_4_2_4_nothing_comes_from_elsewhere_and_nobody_else_learns_of_the_page() {
        for page in pages("x") {
            assert_eq!(header(&page, "referrer-policy"), "no-referrer");
            let html = html(&page).replace("src=\"data:", "");
            for elsewhere in ["src=", "url(", "@import", "<link", "<script"] {
                assert!(!html.contains(elsewhere), "{elsewhere}");
            }
            // The looser policy stands where a form is posted back to us, and lets no other site know.
            let loosened = html.contains("name=\"referrer\" content=\"same-origin\"");
            assert_eq!(loosened, html.contains("<form"));
            for link in html.split("<a ").skip(1) {
                let (link, _) = link.split_once('>').unwrap();
                let quiet = !link.contains("href=\"https://") || link.contains("noreferrer");
                assert!(quiet, "{link}");
            }
        }
    }

    #[test]
    fn every_page_is_small_whole_and_labelled() {
        const VOID: [&str; 5] = ["!DOCTYPE", "meta", "input", "img", "br"];
        for page in pages("x") {
            let html = html(&page);
            assert!(html.len() < 30_000);
            let tag = header(&page, "content-language");
            assert_eq!(header(&page, "vary"), "accept-language");
            assert!(html.starts_with(&format!("<!DOCTYPE html>\n<html lang=\"{tag}\">")));
            assert!(!html.contains("<title></title>"));
            for (part, times) in [("<h1", 1), ("<main>", 1), ("<title>", 1)] {
                assert_eq!(html.matches(part).count(), times, "{part}");
            }
            let mut open = Vec::new();
            for tag in tags(html) {
                match tag.strip_prefix('/') {
                    Some(closed) => assert_eq!(open.pop(), Some(closed), "{html}"),
                    None if VOID.contains(&tag) => {}
                    None => open.push(tag),
                }
            }
            assert!(open.is_empty(), "{open:?}");
            let fields = html.matches("<input").count() - html.matches("type=\"hidden\"").count();
            assert_eq!(html.matches("<label for=\"user_code\"").count(), fields);
            let ids: Vec<_> = html.split(" id=\"").skip(1).collect();
            let ids = ids.iter().map(|rest| rest.split('"').next());
            let unique: std::collections::HashSet<_> = ids.clone().collect();
            assert_eq!(ids.count(), unique.len());
        }
    }

    /// So many scopes, each of 100 characters with its description.
    fn long_scopes(count: usize) -> Vec<ScopeInWords> {
        let scope = |number| ScopeInWords {
            scope: format!("{:-<30}{number:03}", "a.scope"),
            description: Some("w".repeat(67)),
        };
        (0..count).map(scope).collect()
    }

    fn large_logo() -> Renderer {
        let logo = Logo::svg([b"<svg>".as_slice(), &[b' '; 4 * 1024 - 5]].concat());
        Pages::new().logo(logo).build().unwrap()
    }

    /// Whatever a stranger wrote, nothing but the words of the host can make the page longer.
    #[test]
    fn consent_of_forty_scopes_is_small_whatever_the_application_says_of_itself() {
        let address = format!("https://x.example/{}", "&".repeat(256 - 18));
        let kinds = [
            LinkKind::Website,
            LinkKind::PrivacyPolicy,
            LinkKind::TermsOfService,
        ];
        let page = Consent {
            client_name: "<".repeat(80),
            client_id: "a".repeat(64),
            scopes: long_scopes(40),
            links: kinds.map(|kind| Link::new(kind, &address).unwrap()).into(),
            ..consent(
                "n",
                Asked::Redirect(uri(&format!("https://{}/", "h".repeat(2_000)))),
            )
        };
        let page = answer(&large_logo(), "de", Page::Consent(Box::new(page)));
        assert!(html(&page).len() < 30_000, "{}", html(&page).len());
    }

    #[test]
    fn each_of_three_hundred_scopes_is_shown_and_how_many_they_are() {
        let shown = |count| {
            let scopes = long_scopes(count);
            let page = Consent {
                scopes,
                ..consent("n", device("WDJB-MJHT"))
            };
            shown(Page::Consent(Box::new(page)))
        };
        let page = shown(300);
        for scope in long_scopes(300) {
            let line = format!("<li>{} <code>{}</code></li>", "w".repeat(67), scope.scope);
            assert!(page.contains(&line), "{line}");
        }
        let (said, allow) = (
            page.find("These are 300 permissions."),
            page.find("Allow</button>"),
        );
        assert!(said.is_some() && said < allow);
        assert!(
            shown(21).contains("These are 21 permissions.") && !shown(20).contains("These are")
        );
        // A line more is what it says and 24 bytes.
        assert_eq!(shown(300).len() - shown(299).len(), 100 + 24);
    }

    #[test]
    fn ten_applications_of_four_scopes_are_a_small_page() {
        let mut page = apps(&"N".repeat(40), 10);
        for app in &mut page.apps {
            app.scopes = long_scopes(4);
        }
        let page = answer(&large_logo(), "de", Page::ConnectedApps(Box::new(page)));
        assert!(html(&page).len() < 30_000, "{}", html(&page).len());
    }

    // req: mcp-sec-10, 8628-3.3-3
    #[test]
    fn consent_says_who_asks_for_what_and_where_the_answer_goes() {
        let page = Consent {
            client_name: "Harbor".to_owned(),
            client_id: "toc_1".to_owned(),
            vouched_for: true,
            subject: "alice".to_owned(),
            action: "/auth/authorize".to_owned(),
            another_account: Some("/login?interaction=int-1".to_owned()),
            interaction: Secret::new("int-1"),
            csrf: Secret::new("csrf-1"),
            ..consent(
                "notes:read",
                Asked::Redirect(uri("https://app.example:8443/cb")),
            )
        };
        let page = shown(Page::Consent(Box::new(page)));
        for part in [
            "<h1>Allow <bdi>Harbor</bdi> to use your account?</h1>",
            "Signed in as <bdi>alice</bdi>",
            "<a href=\"/login?interaction=int-1\">Use another account</a>",
            "<li>notes:read <code>notes:read</code></li>",
            "<li><code>notes:read</code></li>",
            "<bdi>app.example:8443</bdi>",
            "at most 90 days",
            "<bdi>toc_1</bdi>",
            "<form method=\"post\" action=\"/auth/authorize\">",
            "<input type=\"hidden\" name=\"interaction\" value=\"int-1\">",
            "<input type=\"hidden\" name=\"csrf\" value=\"csrf-1\">",
            "name=\"decision\" value=\"allow\">Allow</button>",
            "name=\"decision\" value=\"deny\">Deny</button>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("class=\"warning\""));
    }

    // req: 7591-5-5
    #[test]
    fn rfc7591_5_consent_warns_of_a_client_that_nobody_vouched_for_and_says_where_it_is() {
        let to = |text| {
            shown(Page::Consent(Box::new(consent(
                "x",
                Asked::Redirect(uri(text)),
            ))))
        };
        let https = to("https://x.example/");
        assert!(
            https.contains("and know <bdi>x.example</bdi>.")
                && https.contains("Nobody has vouched")
        );
        assert!(https.contains("<bdi>x.example</bdi></strong></dd>"));
        let loopback = to("http://[::1]:9/cb");
        assert!(loopback.contains("<bdi>[::1]:9</bdi></strong>, a program"));
        assert!(loopback.contains("yourself in a program"));
        let app = to("com.x.app:/cb");
        assert!(app.contains("<bdi>com.x.app</bdi></strong>, an app"));
    }

    // req: 8628-3.3.1-1, 8628-3.3.1-2, 8628-5.4-1
    #[test]
    fn rfc8628_5_4_consent_for_a_device_shows_the_code_and_asks_to_compare() {
        let page = shown(Page::Consent(Box::new(consent("x", device("WDJB-MJHT")))));
        for part in [
            "You are about to connect a device.",
            "in front of you and that it shows exactly this code",
            "<span aria-hidden=\"true\">WDJB-MJHT</span><span class=\"unseen\">W D J B - M J H T</span>",
            "Did somebody send you this code",
            "<dd>2 minutes ago</dd>",
            "<bdi>192.0.2.7</bdi>",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("The answer goes to"));
    }

    #[test]
    fn the_field_for_a_code_has_its_label_and_says_what_was_wrong() {
        let page = |is_wrong| {
            shown(Page::DeviceCode(DeviceCode {
                action: "/device".to_owned(),
                user_code: Some("WDJB".to_owned()),
                is_wrong,
            }))
        };
        for part in [
            "<form method=\"post\" action=\"/device\">",
            "<label for=\"user_code\">Code</label>",
            "<input id=\"user_code\" name=\"user_code\" value=\"WDJB\" required",
            ">Continue</button>",
            "<title>Connect a device</title>",
        ] {
            assert!(page(false).contains(part), "{part}");
        }
        assert!(!page(false).contains("aria-invalid="));
        for part in [
            "role=\"alert\">This code is not valid.",
            "aria-describedby=\"hint problem\" aria-invalid=\"true\"",
            "<title>Problem: Connect a device</title>",
        ] {
            assert!(page(true).contains(part), "{part}");
        }
    }

    #[test]
    fn s14_a_host_is_escaped_and_the_page_before_an_error_leads_there_alone() {
        let app = uri("https://a&lt;b.example/"); // a host by the URL standard
        let leaving = shown(Page::Leaving(Leaving {
            url: Secret::new(app.with_parameters([("state", "\"><b>&x=javascript:")])),
            redirect_uri: app,
            detail: "x",
        }));
        assert_eq!(leaving.matches("<bdi>a&#38;lt;b.example</bdi>").count(), 2);
        assert!(!leaving.contains("a&lt;b"));
        let links: Vec<_> = leaving.split("href=\"").skip(1).collect();
        assert_eq!(links.len(), 1);
        assert_eq!(
            links[0].split('"').next().unwrap(),
            "https://a&#38;lt;b.example/?state=%22%3E%3Cb%3E%26x%3Djavascript%3A"
        );
    }

    #[test]
    fn a_host_says_it_in_its_own_words_languages_and_pages() {
        let renderer = Pages::new()
            .name("Notes")
            .light(Colors::new().accent("#7a1f5c"))
            .text("de", Text::Allow, "Na gut")
            .language("fr", [(Text::Allow, "Autoriser"), (Text::Deny, "Refuser")])
            .describe_scope("fr", "x", "Lire <tout>")
            .replace(|page, language| match page {
                Page::Message(Message::DeviceConnected) => {
                    let mut theirs =
                        Response::new(Body::from(Bytes::from(format!("Done in {language}"))));
                    theirs
                        .headers_mut()
                        .insert("content-type", "text/plain".parse().unwrap());
                    theirs
                        .headers_mut()
                        .insert("x-frame-options", "ALLOWALL".parse().unwrap());
                    Some(theirs)
                }
                _ => None,
            })
            .build()
            .unwrap();
        let consent = |language| {
            let page = Page::Consent(Box::new(consent("x", device("x"))));
            html(&answer(&renderer, language, page)).to_owned()
        };
        assert!(consent("de").contains(">Na gut</button>") && consent("de").contains(">Ablehnen<"));
        assert!(consent("de").contains("– Notes</title>"));
        let french = consent("fr-CH");
        for part in [
            "<html lang=\"fr\">",
            ">Autoriser</button>",
            ">Refuser</button>",
            "<li>Lire &#60;tout&#62; <code>x</code></li>",
            "What it may do",
        ] {
            assert!(french.contains(part), "{part}");
        }
        let done = answer(&renderer, "de", Page::Message(Message::DeviceConnected));
        assert_eq!(html(&done), "Done in de");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            (
                "content-security-policy",
                "base-uri 'none'; frame-ancestors 'none'",
            ),
        ] {
            assert_eq!(header(&done, name), value);
        }
    }
}
