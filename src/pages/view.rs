//! What stands on each page, for the templates and for a host that makes a page itself.

use std::net::IpAddr;
use std::time::Duration;

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

use crate::types::{RedirectUri, Secret, Timestamp, shows_something};

/// A page as it would be shown. Whoever makes one in our place ([`Pages::replace`](super::Pages::replace)) has to escape all of it: the
/// texts come from strangers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Page {
    /// May this application use this account?
    Consent(Box<Consent>),
    /// Which code does the device show?
    DeviceCode(DeviceCode),
    /// Who has access, and take it from whom?
    ConnectedApps(Box<ConnectedApps>),
    /// Before somebody goes on with an error, to an address that nobody vouched for.
    Leaving(Leaving),
    /// One thing is said: a device is connected, something failed.
    Message(Message),
}

/// The consent page. Its form is sent by POST to `action`, with `interaction`, `csrf`, and `decision`: `allow` or `deny`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Consent {
    /// What the application is called: its id if it has no name, never more than 80 characters, nor more than four marks in a row.
    pub client_name: String,
    /// Its `client_id`.
    pub client_id: String,
    /// Whether somebody else than the client itself says who it is. Where nobody does, the page must warn of it.
    pub vouched_for: bool,
    /// Who is signed in, as they are shown.
    pub subject: String,
    /// What it may do.
    pub scopes: Vec<ScopeInWords>,
    /// The resources that it may do that at (RFC 8707).
    pub resources: Vec<String>,
    /// Where the application tells about itself; each is an `https` URL.
    pub links: Vec<Link>,
    /// How long a yes lasts at most.
    pub lasts: Duration,
    /// On which way the application asked, and so what a person has to compare.
    pub asked: Asked,
    /// Where somebody else may sign in, if the host has such a place.
    pub another_account: Option<String>,
    /// The path that the form is sent to.
    pub action: String,
    /// The field `interaction`.
    pub interaction: Secret,
    /// The field `csrf`.
    pub csrf: Secret,
}

/// On which way an application asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Asked {
    /// The answer goes to this address: its host must be shown.
    Redirect(RedirectUri),
    /// A device shows a code.
    #[non_exhaustive]
    Device {
        /// The code as the device shows it, to be compared (RFC 8628 §5.4).
        user_code: Secret,
        /// How long ago the device asked.
        age: Option<Duration>,
        /// From where.
        address: Option<IpAddr>,
    },
}

/// A scope, and what the host says that it allows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScopeInWords {
    /// The scope.
    pub scope: String,
    /// The host's words for it, in the language of the page if it has some.
    pub description: Option<String>,
}

/// A page of somebody else.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Link {
    /// What is there.
    pub kind: LinkKind,
    /// Its address: `https` and nothing else, of at most 256 bytes, and no more than four marks in a row.
    pub url: String,
}

/// What is at a [`Link`] (RFC 7591 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// `client_uri`.
    Website,
    /// `policy_uri`.
    PrivacyPolicy,
    /// `tos_uri`.
    TermsOfService,
}

/// The page for the code of a device. Its form is sent by POST to `action`, with `user_code`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceCode {
    /// The path that the form is sent to.
    pub action: String,
    /// What the field holds at first; the code may come from a link, so that it is the person who has to send it.
    pub user_code: Option<String>,
    /// Whether the last one was wrong, expired or used.
    pub is_wrong: bool,
}

/// The page of connected applications. To take the access of one, a form is sent by POST to `action`, with its `client_id` and `csrf`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectedApps {
    /// The path that the form is sent to.
    pub action: String,
    /// Who is signed in.
    pub subject: String,
    /// The applications, those first that have renewed their access last; ten at most.
    pub apps: Vec<App>,
    /// Whether the access of one has just been removed.
    pub removed: bool,
    /// Where those before these stand.
    pub previous: Option<String>,
    /// Where those after these stand.
    pub next: Option<String>,
    /// The time by which the others are told.
    pub now: Timestamp,
}

/// An application that may use an account.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct App {
    /// What it is called: its id if it has no name, never more than 80 characters, nor more than four marks in a row.
    pub client_name: String,
    /// Its `client_id`.
    pub client_id: String,
    /// Whether somebody else than the client itself says who it is.
    pub vouched_for: bool,
    /// Where its codes went, of each host or kind of place one. Not where it says that it is, which may be anywhere.
    pub redirect_uris: Vec<RedirectUri>,
    /// Whether a code on a device gave it access; who has asked for that code is not known.
    pub on_device: bool,
    /// Its website: `https` and nothing else, and if nobody vouched for it at a host where its codes went.
    pub website: Option<String>,
    /// What it may do.
    pub scopes: Vec<ScopeInWords>,
    /// Since when.
    pub since: Timestamp,
    /// When it last got new tokens, with its first ones or by a refresh; the page calls that its last use. Who goes on using an access needs new
    /// tokens once in the life of an access token, ten minutes by default, and to within that it is true.
    pub renewed: Timestamp,
    /// Until when, however often it renews them.
    pub ends: Timestamp,
    /// The field `csrf`, for this application and this person alone, for an hour.
    pub csrf: Secret,
}

/// Stands before an invalid request of a self-registered client goes on to its redirect URI (RFC 9700 §4.11.2). No form.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Leaving {
    /// The address that nobody vouched for: its host must be shown.
    pub redirect_uri: RedirectUri,
    /// The link there, with the error response in it.
    pub url: Secret,
    /// What is wrong with the request, for the makers of the application.
    pub detail: &'static str,
}

/// What a page says that says one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A device was allowed.
    DeviceConnected,
    /// A device was denied.
    DeviceDenied,
    /// The request was decided before.
    Answered,
    /// The answer to the consent page did not come from it.
    Forged,
    /// A code did not come from the page for it, which is at this path.
    ForgedCode,
    /// A removal did not come from the page of connected applications, or too late.
    ForgedRemoval,
    /// The request has expired, or there never was one.
    Expired,
    /// There is no such client.
    UnknownApplication,
    /// Its answers may not go where it wants them.
    UnregisteredAddress,
    /// There were too many tries.
    #[non_exhaustive]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
    /// We have failed.
    Unavailable,
    /// Who comes back from the login is not signed in.
    NotSignedIn,
    /// The request is malformed.
    #[non_exhaustive]
    Invalid {
        /// What is wrong with it, in English, for the makers of the application.
        detail: &'static str,
    },
}

/// The longest address that is shown, in bytes.
const LONGEST: usize = 256;

impl Link {
    /// None but for an `https` URL: no other scheme is let into an `href`. None for one that is longer than anybody reads, either, or that
    /// piles up marks: it would push the rest of the page out of sight, or be drawn over it.
    pub(crate) fn new(kind: LinkKind, url: &str) -> Option<Self> {
        let fits = url.starts_with("https://")
            && url.len() <= LONGEST
            && url::Url::parse(url).is_ok()
            && few_marks(url.chars()).eq(url.chars());
        let url = url.to_owned();
        fits.then_some(Self { kind, url })
    }
}

/// The longest run of marks that is shown: Burmese syllables have so many.
const MARKS: usize = 4;

/// A text without the marks (Unicode's general category M) that follow four of their kind. They take no room of their own: eighty of them
/// on one letter are drawn over all that stands around it.
fn few_marks(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    let category = CodePointMapData::<GeneralCategory>::new();
    let mut run = 0_usize;
    text.filter(move |c| {
        let is_mark = GeneralCategoryGroup::Mark.contains(category.get(*c));
        run = if is_mark { run.saturating_add(1) } else { 0 };
        run <= MARKS
    })
}

/// What a client is called: in one direction, with no more than four marks on a letter, and in no more words than leave the warning in
/// sight. Without a name, its id stands for it (RFC 7591 §2).
pub(crate) fn display_name(client_name: Option<&str>, client_id: &str) -> String {
    // Marks that would show the letters of a name in another order than they have.
    let turns = |c: &char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let name = client_name.unwrap_or_default().chars();
    let name: String = few_marks(name.filter(|c| !turns(c) && !c.is_control())).collect();
    let name = if shows_something(&name) {
        name.trim()
    } else {
        client_id
    };
    match name.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", name.split_at(end).0),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, LinkKind, display_name};

    // req: 7591-2-9
    #[test]
    fn rfc7591_2_a_client_without_a_name_is_called_by_its_id_and_a_long_name_is_cut() {
        fn name(client_name: Option<&str>) -> String {
            display_name(client_name, "toc_1")
        }
        assert_eq!(name(None), "toc_1");
        for nothing in [" \n\u{202e}", "\u{200b}", "\u{3164} \u{2800}"] {
            assert_eq!(name(Some(nothing)), "toc_1", "{nothing:?}");
        }
        assert_eq!(name(Some("\u{202e}lanrebyh\0")), "lanrebyh");
        assert_eq!(name(Some(&"é".repeat(80))), "é".repeat(80));
        assert_eq!(name(Some(&"é".repeat(81))), "é".repeat(80) + "…");
    }

    #[test]
    fn s14_a_name_is_not_drawn_over_what_stands_around_it() {
        let name = |text: &str| display_name(Some(text), "toc_1");
        // Marks that have no room of their own, that enclose, and that have room; also with what is left out between them.
        for mark in ["\u{323}", "\u{20dd}", "\u{93e}", "\u{1e944}"] {
            let four = format!("W{}", mark.repeat(4));
            assert_eq!(name(&format!("W{}", mark.repeat(79))), four);
            let split = format!("{mark}\u{202e}\0").repeat(20);
            assert_eq!(name(&format!("W{split}")), four);
            let url = |times: usize| format!("https://x.example/W{}", mark.repeat(times));
            assert!(Link::new(LinkKind::Website, &url(4)).is_some());
            assert!(Link::new(LinkKind::Website, &url(5)).is_none());
        }
        for right in [
            "Việt Nam",
            "Vie\u{323}\u{302}t Nam",
            "हिन्दी",
            "ภาษาไทยที่นี่",
            "مُحَمَّد",
            "မြို့",
        ] {
            assert_eq!(name(right), right);
        }
    }

    #[test]
    fn s14_nothing_but_https_is_linked_to() {
        for text in [
            "javascript:alert(1)",
            "http://x.example/",
            "//x.example/",
            "https:x",
            "HTTPS://x.example",
            "data:,x",
            "",
        ] {
            assert!(Link::new(LinkKind::Website, text).is_none(), "{text}");
        }
        assert!(Link::new(LinkKind::Website, "https://x.example/").is_some());
    }

    #[test]
    fn an_address_that_nobody_would_read_to_its_end_is_not_linked_to() {
        let of = |length: usize| format!("https://x.example/{}", "a".repeat(length - 18));
        assert!(Link::new(LinkKind::Website, &of(256)).is_some());
        assert!(Link::new(LinkKind::Website, &of(257)).is_none());
    }
}
