//! The templates, and what they are filled with.

use askama::Template;

use super::language::{Phrase, Spoken};
use super::respond::Frame;
use super::text::Text;
use super::view::{
    App, Asked, ConnectedApps, Consent, DeviceCode, Leaving, Link, LinkKind, Message, Page,
    ScopeInWords,
};
use crate::types::{RedirectUri, Timestamp};

/// A page in a language.
pub(super) fn render(
    frame: &Frame,
    (words, error_id): (&Spoken, Option<&str>),
    page: &Page,
) -> Result<String, askama::Error> {
    match page {
        Page::Consent(page) => ConsentHtml { frame, words, page }.render(),
        Page::DeviceCode(page) => DeviceCodeHtml { frame, words, page }.render(),
        Page::ConnectedApps(page) => ConnectedAppsHtml { frame, words, page }.render(),
        Page::Leaving(page) => LeavingHtml { frame, words, page }.render(),
        Page::Message(message) => {
            let said = Said::of(message, words);
            MessageHtml {
                frame,
                words,
                said,
                error_id,
            }
            .render()
        }
    }
}

/// Whether a page has a form, and so needs another policy.
pub(super) fn has_form(page: &Page) -> bool {
    match page {
        Page::Consent(_) | Page::DeviceCode(_) => true,
        Page::ConnectedApps(page) => !page.apps.is_empty(),
        Page::Leaving(_) | Page::Message(_) => false,
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentHtml<'a> {
    frame: &'a Frame,
    words: &'a Spoken,
    page: &'a Consent,
}

#[derive(Template)]
#[template(path = "device_code.html")]
struct DeviceCodeHtml<'a> {
    frame: &'a Frame,
    words: &'a Spoken,
    page: &'a DeviceCode,
}

#[derive(Template)]
#[template(path = "connected_apps.html")]
struct ConnectedAppsHtml<'a> {
    frame: &'a Frame,
    words: &'a Spoken,
    page: &'a ConnectedApps,
}

#[derive(Template)]
#[template(path = "leaving.html")]
struct LeavingHtml<'a> {
    frame: &'a Frame,
    words: &'a Spoken,
    page: &'a Leaving,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessageHtml<'a> {
    frame: &'a Frame,
    words: &'a Spoken,
    said: Said<'a>,
    error_id: Option<&'a str>,
}

/// A message in words.
struct Said<'a> {
    title: &'a str,
    text: Phrase<'a>,
    /// `good` or `bad`, or neither.
    mood: &'static str,
    /// What the link back to the page is called, if there is one at this path.
    back: Option<&'a str>,
    /// For the makers of the application.
    detail: Option<&'static str>,
}

impl<'a> Said<'a> {
    fn of(message: &Message, words: &'a Spoken) -> Self {
        let (title, text, mood) = match message {
            Message::DeviceConnected => (Text::ConnectedTitle, Text::ConnectedText, "good"),
            Message::DeviceDenied => (Text::DeniedTitle, Text::DeniedText, ""),
            Message::Answered => (Text::AnsweredTitle, Text::AnsweredText, ""),
            Message::Forged => (Text::ForgedTitle, Text::ForgedText, "bad"),
            Message::ForgedCode => (Text::ForgedTitle, Text::ForgedCodeText, "bad"),
            Message::ForgedRemoval => (Text::ForgedTitle, Text::ForgedRemovalText, "bad"),
            Message::Expired => (Text::ExpiredTitle, Text::ExpiredText, ""),
            Message::UnknownApplication => (Text::UnknownTitle, Text::UnknownText, "bad"),
            Message::UnregisteredAddress => {
                (Text::UnregisteredTitle, Text::UnregisteredText, "bad")
            }
            Message::TooMany { .. } => (Text::TooManyTitle, Text::TooManyText, ""),
            Message::Unavailable => (Text::UnavailableTitle, Text::UnavailableText, ""),
            Message::NotSignedIn => (Text::NotSignedInTitle, Text::NotSignedInText, "bad"),
            Message::Invalid { .. } => (Text::InvalidTitle, Text::InvalidText, "bad"),
        };
        let text = match message {
            Message::TooMany { retry_after } => words.put(text, words.lasts(*retry_after)),
            _ => words.fill(text, ""),
        };
        let back = match message {
            Message::ForgedCode => Some(Text::ToDevice),
            Message::ForgedRemoval | Message::NotSignedIn => Some(Text::ToList),
            _ => None,
        };
        let detail = match message {
            Message::Invalid { detail } => Some(*detail),
            _ => None,
        };
        Self {
            title: words.say(title),
            text,
            mood,
            back: back.map(|text| words.say(text)),
            detail,
        }
    }
}

impl ConsentHtml<'_> {
    fn device(&self) -> Option<Device<'_>> {
        match &self.page.asked {
            Asked::Redirect(_) => None,
            Asked::Device {
                user_code,
                age,
                address,
            } => Some(Device {
                user_code: user_code.expose(),
                age: age.map(|age| self.words.ago(age)),
                address: address.map(|address| address.to_string()),
            }),
        }
    }

    fn redirect_uri(&self) -> Option<&RedirectUri> {
        match &self.page.asked {
            Asked::Redirect(uri) => Some(uri),
            Asked::Device { .. } => None,
        }
    }

    fn warning(&self) -> Phrase<'_> {
        let (text, value) = match self.redirect_uri() {
            None => (Text::UnvouchedDevice, ""),
            Some(uri) if uri.is_loopback() => (Text::UnvouchedComputer, ""),
            Some(uri) if uri.is_https() => (Text::UnvouchedHost, uri.destination()),
            Some(_) => (Text::UnvouchedApp, ""),
        };
        self.words.fill(text, value)
    }

    /// How many scopes there are, if they are many.
    fn many(&self) -> Option<usize> {
        Some(self.page.scopes.len()).filter(|number| *number > MANY)
    }

    fn lasts(&self) -> String {
        self.words.lasts(self.page.lasts)
    }

    fn label(&self, link: &Link) -> &str {
        self.words.say(match link.kind {
            LinkKind::Website => Text::Website,
            LinkKind::PrivacyPolicy => Text::PrivacyPolicy,
            LinkKind::TermsOfService => Text::TermsOfService,
        })
    }
}

/// What a device shows and where it is.
struct Device<'a> {
    user_code: &'a str,
    age: Option<String>,
    address: Option<String>,
}

impl LeavingHtml<'_> {
    fn warning(&self) -> Phrase<'_> {
        let uri = &self.page.redirect_uri;
        let text = if uri.is_loopback() {
            Text::LeavingComputer
        } else if uri.is_https() {
            Text::LeavingHost
        } else {
            Text::LeavingApp
        };
        self.words.fill(text, uri.destination())
    }
}

impl ConnectedAppsHtml<'_> {
    /// Where an application is: the computer and the device need not be those that the page is shown on.
    fn places<'a>(&'a self, app: &'a App) -> impl Iterator<Item = &'a str> {
        let went_to = app.redirect_uris.iter().map(|uri| match uri {
            uri if uri.is_loopback() => self.words.say(Text::AppOnComputer),
            uri if uri.is_https() => uri.destination(),
            _ => self.words.say(Text::AppOnDevice),
        });
        let on_device = app.on_device.then(|| self.words.say(Text::AppDevice));
        went_to.chain(on_device)
    }

    fn ago(&self, at: &Timestamp) -> String {
        self.words.ago(self.page.now.since(*at))
    }
}

impl Spoken {
    /// What a scope allows, in this language or as the host says it in all.
    fn scope<'a>(&'a self, scope: &'a ScopeInWords) -> Option<&'a str> {
        let here = self.scopes.get(&scope.scope).map(String::as_str);
        here.or(scope.description.as_deref())
    }

    /// What kind of place an address is, if it is not a host on the network.
    fn place(&self, uri: &RedirectUri) -> Option<&str> {
        if uri.is_loopback() {
            Some(self.say(Text::OnThisComputer))
        } else if uri.is_https() {
            None
        } else {
            Some(self.say(Text::OnThisDevice))
        }
    }
}

/// Of more scopes than these a person is told the number: nobody counts what is longer than a screen.
const MANY: usize = 20;

/// A code letter by letter, for who hears it: run together it would be read as a word.
fn spelled(code: &str) -> String {
    let letters: Vec<_> = code.chars().map(String::from).collect();
    letters.join(" ")
}

/// The day of a time, as `2026-11-26`, in UTC.
fn day(at: &Timestamp) -> String {
    // Days are counted from 0000-03-01, so that the leap day is the last of a year.
    let days = at.as_secs() / (24 * 3600) + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::day;
    use crate::types::Timestamp;

    #[test]
    fn a_day_is_that_of_the_calendar() {
        for (seconds, said) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_704_067_199, "2023-12-31"),
            (1_795_348_800, "2026-11-22"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(&Timestamp::from_secs(seconds)), said);
        }
        day(&Timestamp::MAX); // no panic
    }
}
