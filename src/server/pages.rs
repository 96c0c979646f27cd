//! The pages that a resource owner sees: consent (RFC 6749 §4.1.1), the device code (RFC 8628 §3.3) and messages.
//!
//! They are rendered here and need no script. `askama` escapes every value; foreign text stands in `<bdi>`, so that a direction
//! mark in it cannot turn the words around it.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};

use crate::types::{RedirectUri, shows_something};

/// May this client use this account? Answers `decision` (`allow`, `deny`), `interaction` and `csrf` by POST.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct Consent<'a> {
    /// Without one, its id stands for it (RFC 7591 §2).
    pub(crate) client_name: Option<&'a str>,
    pub(crate) client_id: &'a str,
    /// Whether somebody else than the client itself says who it is.
    pub(crate) vouched_for: bool,
    pub(crate) subject: &'a str,
    /// Each scope with the host's words for it.
    pub(crate) scopes: Vec<(&'a str, Option<&'a str>)>,
    pub(crate) resources: Vec<&'a str>,
    /// Where the client tells about itself.
    pub(crate) links: Vec<Link<'a>>,
    /// How long a yes lasts, in words.
    pub(crate) lasts: &'a str,
    pub(crate) asked: Asked<'a>,
    /// The path that the answer is posted to.
    pub(crate) action: &'a str,
    pub(crate) interaction: &'a str,
    pub(crate) csrf: &'a str,
}

/// On which way a client asked, and so what a person has to compare.
pub(crate) enum Asked<'a> {
    /// The answer goes to this URI, as it was requested.
    Redirect(&'a RedirectUri),
    /// A device shows this code, written as it shows it. How long ago it asked, in words, and from where, are for the person to
    /// compare (RFC 8628 §5.4).
    Device {
        user_code: &'a str,
        age: Option<String>,
        address: Option<IpAddr>,
    },
}

/// A page of somebody else, in words and as an address.
pub(crate) struct Link<'a> {
    label: &'static str,
    url: &'a str,
}

impl<'a> Link<'a> {
    /// None but for an `https` URL: no other scheme is let into an `href`.
    pub(crate) fn new(label: &'static str, url: &'a str) -> Option<Self> {
        let fits = url.starts_with("https://") && url::Url::parse(url).is_ok();
        fits.then_some(Self { label, url })
    }

    pub(crate) fn url(&self) -> &'a str {
        self.url
    }
}

/// A time as people say it, rounded up, in the largest unit of which it has two.
pub(crate) fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    for (unit, name) in [(24 * 3600, "days"), (3600, "hours"), (60, "minutes")] {
        if seconds >= 2 * unit {
            return format!("{} {name}", seconds.div_ceil(unit));
        }
    }
    match seconds {
        1 => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}

impl Consent<'_> {
    /// What the client is called: in one direction, and in no more words than leave the warning in sight.
    fn name(&self) -> String {
        // Marks that would show the letters of a name in another order than they have.
        let turns = |c: &char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        let name = self.client_name.unwrap_or_default().chars();
        let name: String = name.filter(|c| !turns(c) && !c.is_control()).collect();
        let name = if shows_something(&name) {
            name.trim()
        } else {
            self.client_id
        };
        match name.char_indices().nth(80) {
            Some((end, _)) => format!("{}…", name.split_at(end).0),
            None => name.to_owned(),
        }
    }
}

/// Asks for the code that a device shows. Answers `user_code` by POST.
#[derive(Template)]
#[template(path = "device_code.html")]
pub(crate) struct DeviceCode<'a> {
    /// The path that the code is posted to.
    pub(crate) action: &'a str,
    /// What the field holds at first, from `verification_uri_complete` or the last try.
    pub(crate) user_code: Option<&'a str>,
    /// What was wrong with the last try.
    pub(crate) problem: Option<&'a str>,
}

/// Says one thing: a device is connected, a request was denied, something failed.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
}

/// Stands before an invalid request of a self-registered client goes on to its redirect URI (RFC 9700 §4.11.2).
#[derive(Template)]
#[template(path = "leaving.html")]
pub(crate) struct Leaving<'a> {
    pub(crate) redirect_uri: &'a RedirectUri,
    /// The error response that the link carries.
    pub(crate) parameters: &'a [(&'a str, &'a str)],
    /// What is wrong with the request.
    pub(crate) text: &'a str,
}

impl Leaving<'_> {
    /// Made here and from a `RedirectUri`, so that it is never a `javascript:` URL.
    fn url(&self) -> String {
        self.redirect_uri
            .with_parameters(self.parameters.iter().copied())
    }
}

/// A page, and the content security policy it is sent with.
pub(crate) trait Page: Template {
    const POLICY: HeaderValue;
}

/// The hash is that of the style element in `base.html`; a test computes it anew.
///
/// There is no `form-action`: browsers apply it to every redirect that follows a form, and nobody can list those. A client's
/// redirect URI may redirect further, the host's login to another site, and `[::1]` cannot even be written as a source.
/// What it guards against, a form slipped into the page, could win nothing: the values in ours are worthless without the
/// session they were made for.
const FORM: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-WE0SEFFCzT0K861ZuNLmmcq31ZiO0IoeP4bP/6RupsQ='; base-uri 'none'; frame-ancestors 'none'",
);

/// As `FORM`, for a page that has none.
const NO_FORM: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-WE0SEFFCzT0K861ZuNLmmcq31ZiO0IoeP4bP/6RupsQ='; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
);

impl Page for Consent<'_> {
    const POLICY: HeaderValue = FORM;
}

impl Page for DeviceCode<'_> {
    const POLICY: HeaderValue = FORM;
}

impl Page for Message<'_> {
    const POLICY: HeaderValue = NO_FORM;
}

impl Page for Leaving<'_> {
    const POLICY: HeaderValue = NO_FORM;
}

/// The page as a response.
pub(crate) fn respond<P: Page>(status: StatusCode, page: &P) -> Response<Bytes> {
    let (status, html) = match page.render() {
        Ok(html) => (status, html),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut response = Response::new(Bytes::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(CONTENT_TYPE, html);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, P::POLICY);
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY")); // RFC 9700 §4.16: MUST
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer")); // RFC 9700 §4.2.4; see form.html
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // No Cross-Origin-Opener-Policy: it would cut an app off from the popup that it opened us in.
    response
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use http::{Response, StatusCode};
    use sha2::{Digest as _, Sha256};

    use super::{Asked, Consent, DeviceCode, Leaving, Link, Message, respond, words};
    use crate::types::RedirectUri;
    use std::time::Duration;

    const HOSTILE: [&str; 5] = [
        "\"><script>alert(1)</script>",
        "' onfocus='alert(1)' autofocus='",
        "</title></style></textarea><img src=x onerror=alert(1)>",
        "{{ 7 * 7 }}{% raw %}${7*7}&lt;b&gt;",
        "\u{202e}javascript:alert(1)//\0",
    ];

    fn uri(text: &str) -> RedirectUri {
        text.parse().unwrap()
    }

    /// A consent page whose every text is this one.
    fn consent<'a>(text: &'a str, asked: Asked<'a>) -> Consent<'a> {
        Consent {
            client_name: Some(text),
            client_id: text,
            vouched_for: false,
            subject: text,
            scopes: vec![(text, Some(text)), (text, None)],
            resources: vec![text],
            links: Link::new("Website", text).into_iter().collect(),
            lasts: text,
            asked,
            action: text,
            interaction: text,
            csrf: text,
        }
    }

    fn device(text: &str) -> Asked<'_> {
        Asked::Device {
            user_code: text,
            age: Some(text.to_owned()),
            address: Some([192, 0, 2, 7].into()),
        }
    }

    /// Every kind of page, each of its texts being this one.
    fn pages(text: &str) -> Vec<Response<Bytes>> {
        let ok = StatusCode::OK;
        let app = uri("https://app.example/cb");
        let user_code = Some(text);
        vec![
            respond(ok, &consent(text, Asked::Redirect(&app))),
            respond(ok, &consent(text, device(text))),
            respond(
                ok,
                &DeviceCode {
                    action: text,
                    user_code,
                    problem: user_code,
                },
            ),
            respond(StatusCode::BAD_REQUEST, &Message { title: text, text }),
            respond(
                ok,
                &Leaving {
                    redirect_uri: &app,
                    parameters: &[("state", text)],
                    text,
                },
            ),
        ]
    }

    fn html(response: &Response<Bytes>) -> &str {
        std::str::from_utf8(response.body()).unwrap()
    }

    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        let mut values = response.headers().get_all(name).iter();
        let value = values.next().unwrap().to_str().unwrap();
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    /// The tags of a page with their attributes, and the text left out: what a text could have changed.
    fn tags(html: &str) -> Vec<&str> {
        html.split('<')
            .skip(1)
            .map(|rest| rest.split(['>', ' ']).next().unwrap())
            .collect()
    }

    #[test]
    fn s14_a_hostile_text_is_inert_in_every_field() {
        let plain = pages("plain");
        for text in HOSTILE {
            for (page, plain) in pages(text).iter().zip(&plain) {
                assert_eq!(tags(html(page)), tags(html(plain)), "{text}");
                for raw in ["<script", "<img", "' onfocus", "\"><", "href=\"javascript:"] {
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

    #[test]
    fn s14_nothing_but_https_is_linked_to_and_no_address_leaves_its_attribute() {
        for text in [
            "javascript:alert(1)",
            "http://x.example/",
            "//x.example/",
            "https:x",
            "HTTPS://x.example",
            "data:,x",
            "",
        ] {
            assert!(Link::new("Website", text).is_none(), "{text}");
        }
        let hostile = "https://x.example/\"><script>alert(1)</script>'";
        let mut page = consent("x", device("x"));
        page.links = Link::new("Website", hostile).into_iter().collect();
        let page = respond(StatusCode::OK, &page);
        assert!(html(&page).contains("<a href=\"https://x.example/&#34;&#62;&#60;script"));
        assert!(!html(&page).contains("<script") && !html(&page).contains('\''));
    }

    #[test]
    fn times_are_said_in_the_largest_unit_of_which_there_are_two() {
        for (seconds, said) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (121, "3 minutes"),
            (3600, "60 minutes"),
            (7200, "2 hours"),
            (24 * 3600, "24 hours"),
            (90 * 24 * 3600, "90 days"),
        ] {
            assert_eq!(words(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn s14_the_page_before_an_error_goes_on_leads_to_the_redirect_uri_alone() {
        let app = uri("https://app.example/cb?x=1");
        let page = Leaving {
            redirect_uri: &app,
            parameters: &[
                ("error", "invalid_scope"),
                ("state", "\"><b>&x=javascript:"),
            ],
            text: "It asks for a scope that does not exist.",
        };
        let page = respond(StatusCode::BAD_REQUEST, &page);
        assert_eq!(page.status(), StatusCode::BAD_REQUEST);
        let links: Vec<_> = html(&page).split("href=\"").skip(1).collect();
        assert_eq!(links.len(), 1);
        assert_eq!(
            links[0].split('"').next().unwrap(),
            "https://app.example/cb?x=1&#38;error=invalid_scope&#38;state=%22%3E%3Cb%3E%26x%3Djavascript%3A"
        );
        assert!(html(&page).contains("know <strong><bdi>app.example</bdi></strong>"));
    }

    // req: 9700-4.16-1, 9700-4.16-2, 6749-10.13-1, http-page-1
    #[test]
    fn rfc9700_4_16_no_page_can_be_framed_sniffed_or_run_a_script() {
        for page in pages("x") {
            assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
            assert_eq!(header(&page, "x-frame-options"), "DENY");
            assert_eq!(header(&page, "x-content-type-options"), "nosniff");
            assert_eq!(header(&page, "cache-control"), "no-store");
            assert_eq!(header(&page, "referrer-policy"), "no-referrer");
            let policy: Vec<_> = header(&page, "content-security-policy")
                .split("; ")
                .collect();
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
    fn the_policy_allows_the_style_that_is_sent() {
        for page in pages("x") {
            let (_, style) = html(&page).split_once("<style>").unwrap();
            let (style, rest) = style.split_once("</style>").unwrap();
            assert!(!rest.contains("style"));
            let source = format!(
                "style-src 'sha256-{}'",
                STANDARD.encode(Sha256::digest(style))
            );
            let policy = header(&page, "content-security-policy");
            assert!(
                policy.split("; ").any(|directive| directive == source),
                "{source}"
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
            let leaving = html(&page).contains("cannot be answered");
            for elsewhere in ["src=", "url(", "@import", "<link", "<script", "://"] {
                let link = leaving && elsewhere == "://"; // the one that it is there for
                assert!(!html(&page).contains(elsewhere) || link, "{elsewhere}");
            }
            // The looser policy stands where a form is posted back to us, and lets no other site know.
            let loosened = html(&page).contains("name=\"referrer\" content=\"same-origin\"");
            assert_eq!(loosened, html(&page).contains("<form"));
        }
    }

    // req: mcp-sec-10, 8628-3.3-3
    #[test]
    fn consent_says_who_asks_for_what_and_where_the_answer_goes() {
        let app = uri("https://app.example:8443/cb");
        let page = Consent {
            client_name: Some("Harbor"),
            client_id: "toc_1",
            vouched_for: true,
            subject: "alice",
            scopes: vec![("notes:read", Some("Read your notes")), ("openid", None)],
            resources: vec!["https://notes.example"],
            links: vec![],
            lasts: "90 days",
            asked: Asked::Redirect(&app),
            action: "/auth/authorize",
            interaction: "int-1",
            csrf: "csrf-1",
        };
        let page = respond(StatusCode::OK, &page);
        for part in [
            "<h1>Allow <bdi class=\"name\">Harbor</bdi> to use your account?</h1>",
            "<li>Read your notes <code>notes:read</code></li>",
            "<li><code>openid</code></li>",
            "<bdi>https://notes.example</bdi>",
            "<bdi>alice</bdi>",
            "<bdi>app.example:8443</bdi>",
            "<bdi>toc_1</bdi>",
            "<form method=\"post\" action=\"/auth/authorize\">",
            "<input type=\"hidden\" name=\"interaction\" value=\"int-1\">",
            "<input type=\"hidden\" name=\"csrf\" value=\"csrf-1\">",
            "name=\"decision\" value=\"allow\">Allow</button>",
            "name=\"decision\" value=\"deny\">Deny</button>",
        ] {
            assert!(html(&page).contains(part), "{part}");
        }
        assert!(!html(&page).contains("class=\"warning\""));
    }

    #[test]
    fn consent_says_what_kind_of_place_the_answer_goes_to() {
        let to = |uri: RedirectUri| {
            html(&respond(
                StatusCode::OK,
                &consent("x", Asked::Redirect(&uri)),
            ))
            .to_owned()
        };
        assert!(to(uri("http://[::1]:9/cb")).contains("<bdi>[::1]:9</bdi></strong>, a program"));
        assert!(to(uri("com.x.app:/cb")).contains("<bdi>com.x.app</bdi></strong>, an app"));
        assert!(to(uri("https://x.example/")).contains("<bdi>x.example</bdi></strong></dd>"));
    }

    #[test]
    fn s14_a_host_is_escaped_too() {
        let app = uri("https://a&lt;b.example/"); // a host by the URL standard
        let leaving = Leaving {
            redirect_uri: &app,
            parameters: &[],
            text: "x",
        };
        for page in [
            respond(StatusCode::OK, &consent("x", Asked::Redirect(&app))),
            respond(StatusCode::OK, &leaving),
        ] {
            assert_eq!(
                html(&page).matches("<bdi>a&#38;lt;b.example</bdi>").count(),
                2
            );
            assert!(!html(&page).contains("a&lt;b"));
        }
    }

    // req: 7591-5-5
    #[test]
    fn rfc7591_5_consent_warns_of_a_client_that_nobody_vouched_for() {
        let app = uri("https://app.example/cb");
        let warns = |vouched_for| {
            let page = consent("x", Asked::Redirect(&app));
            let page = Consent {
                vouched_for,
                ..page
            };
            html(&respond(StatusCode::OK, &page)).contains("Nobody has vouched")
        };
        assert!(warns(false) && !warns(true));
    }

    // req: 7591-2-9
    #[test]
    fn rfc7591_2_a_client_without_a_name_is_called_by_its_id_and_a_long_name_is_cut() {
        fn name(client_name: Option<&str>) -> String {
            let page = consent("toc_1", device("x"));
            let page = Consent {
                client_name,
                ..page
            };
            page.name()
        }
        assert_eq!(name(None), "toc_1");
        for nothing in [" \n\u{202e}", "\u{200b}", "\u{3164} \u{2800}"] {
            assert_eq!(name(Some(nothing)), "toc_1", "{nothing:?}");
        }
        assert_eq!(name(Some("\u{202e}lanrebyh\0")), "lanrebyh");
        assert_eq!(name(Some(&"é".repeat(80))), "é".repeat(80));
        assert_eq!(name(Some(&"é".repeat(81))), "é".repeat(80) + "…");
    }

    // req: 8628-3.3.1-1, 8628-3.3.1-2, 8628-5.4-1
    #[test]
    fn rfc8628_5_4_consent_for_a_device_shows_the_code_and_asks_to_compare() {
        let page = respond(StatusCode::OK, &consent("x", device("WDJB-MJHT")));
        for part in [
            "You are about to connect a device.",
            "in front of you and that it shows exactly this code",
            ">WDJB-MJHT<",
            "Did somebody send you this code",
            ">Allow</button>",
            ">Deny</button>",
        ] {
            assert!(html(&page).contains(part), "{part}");
        }
        assert!(!html(&page).contains("The answer goes to"));
    }

    #[test]
    fn the_field_for_a_code_has_its_label_and_says_what_was_wrong() {
        let page = |user_code, problem| {
            let page = DeviceCode {
                action: "/device",
                user_code,
                problem,
            };
            html(&respond(StatusCode::OK, &page)).to_owned()
        };
        let first = page(None, None);
        for part in [
            "<form method=\"post\" action=\"/device\">",
            "<label for=\"user_code\">Code</label>",
            "<input id=\"user_code\" name=\"user_code\" value=\"\" required",
            ">Continue</button>",
            "<title>Connect a device</title>",
        ] {
            assert!(first.contains(part), "{part}");
        }
        assert!(!first.contains("aria-invalid="));
        let second = page(Some("WDJB"), Some("This code is not known."));
        for part in [
            "value=\"WDJB\"",
            "role=\"alert\">This code is not known.</p>",
            "aria-describedby=\"hint problem\" aria-invalid=\"true\"",
            "<title>Problem: Connect a device</title>",
        ] {
            assert!(second.contains(part), "{part}");
        }
    }

    #[test]
    fn every_page_is_small_and_says_its_language_and_its_heading() {
        for page in pages("x") {
            let html = html(&page);
            assert!(html.len() < 30_000);
            assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
            assert_eq!(html.matches("<h1>").count(), 1);
            assert_eq!(html.matches("<main>").count(), 1);
        }
    }
}
