//! What a host sets of its pages.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;

use super::language::Spoken;
use super::respond::Renderer;
use super::text::Text;
use super::theme::{Colors, style};
use super::view::Page;
use crate::types::{Body, shows_something};

/// The look, the words and the languages of the built-in pages; each setting is optional, and checked by
/// [`build`](crate::server::AuthorizationServerBuilder::build).
///
/// ```
/// use tower_oauth::pages::{Colors, Logo, Pages, Text};
///
/// let pages = Pages::new()
///     .name("Notes")
///     .logo(Logo::svg("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\"><rect width=\"1\" height=\"1\"/></svg>"))
///     .light(Colors::new().accent("#7a1f5c"))
///     .dark(Colors::new().accent("#f0a6d8"))
///     .text("en", Text::ConsentHeading, "May {client} see your notes?")
///     .describe_scope("de", "notes:read", "Ihre Notizen lesen");
/// # let _ = pages;
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Pages {
    name: Option<String>,
    logo: Option<Logo>,
    light: Colors,
    dark: Colors,
    default_language: Option<String>,
    texts: Vec<(String, Text, String)>,
    scopes: Vec<(String, String, String)>,
    replace: Option<Replace>,
    pub(crate) another_account: bool,
}

/// Makes a page in our place.
pub(super) type Replace = Arc<dyn Fn(&Page, &str) -> Option<Response<Body>> + Send + Sync>;

/// Why the pages cannot be made so; each names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPages {
    /// A color is not written as one.
    #[error("{theme} {name}: {color:?} is no color: write #rrggbb or #rgb")]
    Color {
        /// `light` or `dark`.
        theme: &'static str,
        /// Which of its colors.
        name: &'static str,
        /// The text.
        color: String,
    },
    /// Text could not be read: its contrast is less than 4.5 (WCAG 2.2 §1.4.3).
    #[error("{theme} ink: cannot be read on the {name}, with a contrast of less than 4.5")]
    Contrast {
        /// `light` or `dark`.
        theme: &'static str,
        /// What it stands on.
        name: &'static str,
    },
    /// The logo is not what it is said to be, or longer than 4 KiB.
    #[error("logo: must be a PNG or an SVG of at most 4 KiB")]
    Logo,
    /// The name shows nothing, or is longer than 60 characters.
    #[error("name: must show something, in at most 60 characters")]
    Name,
    /// A language has no tag of BCP 47.
    #[error("{0:?} is no language tag")]
    Language(String),
    /// A text has not the same place for a value as the English one, or shows nothing.
    #[error(
        "{text:?} in {language:?}: must show something, and have the same {{places}} as the English text"
    )]
    Text {
        /// The tag of its language.
        language: String,
        /// Which text.
        text: Text,
    },
}

/// A picture that stands beside the name, sent within the page.
#[derive(Clone)]
pub struct Logo {
    media_type: &'static str,
    bytes: Bytes,
}

/// The longest logo, so that a page stays under 30 kB.
const LOGO: usize = 4 * 1024;

impl Logo {
    /// A PNG of at most 4 KiB; it is shown 40 pixels high.
    #[must_use]
    pub fn png(bytes: impl Into<Bytes>) -> Self {
        Self {
            media_type: "image/png",
            bytes: bytes.into(),
        }
    }

    /// An SVG of at most 4 KiB; it is shown 40 pixels high, as a picture: no script in it runs, and it loads nothing.
    #[must_use]
    pub fn svg(bytes: impl Into<Bytes>) -> Self {
        Self {
            media_type: "image/svg+xml",
            bytes: bytes.into(),
        }
    }

    fn url(&self) -> Result<String, InvalidPages> {
        let begins = |with: &[u8]| self.bytes.starts_with(with);
        let has = |part: &[u8]| self.bytes.windows(part.len()).any(|bytes| bytes == part);
        let fits = match self.media_type {
            "image/png" => begins(b"\x89PNG\r\n\x1a\n"),
            _ => has(b"<svg"),
        };
        if !fits || self.bytes.len() > LOGO {
            return Err(InvalidPages::Logo);
        }
        let data = STANDARD.encode(&self.bytes);
        Ok(format!("data:{};base64,{data}", self.media_type))
    }
}

impl Pages {
    /// The pages as they are: without a name, in colors that we chose, in English and German.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the host is called, at the head of each page and in its title. Default: nothing stands there.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A picture at the head of each page, beside the name, which says the same to who does not see it.
    pub fn logo(mut self, logo: Logo) -> Self {
        self.logo = Some(logo);
        self
    }

    /// The colors of the light theme. [`accent`](Self::accent) sets one in both.
    pub fn light(mut self, colors: Colors) -> Self {
        self.light = colors;
        self
    }

    /// The colors of the dark theme, for people whose device prefers one.
    pub fn dark(mut self, colors: Colors) -> Self {
        self.dark = colors;
        self
    }

    /// The color of the main button in both themes, `#rrggbb` or `#rgb`: see [`Colors::accent`].
    pub fn accent(mut self, color: impl Into<String>) -> Self {
        let color = color.into();
        self.light = self.light.accent(color.clone());
        self.dark = self.dark.accent(color);
        self
    }

    /// What one text says in a language: a tag of BCP 47 such as `de` or `pt-BR`. A language is there once it has a text; those it lacks
    /// are English.
    pub fn text(
        mut self,
        language: impl Into<String>,
        text: Text,
        says: impl Into<String>,
    ) -> Self {
        self.texts.push((language.into(), text, says.into()));
        self
    }

    /// Adds a language, or says some texts of one otherwise: [`Text::ALL`] is what there is to say.
    pub fn language(
        mut self,
        language: impl Into<String>,
        texts: impl IntoIterator<Item = (Text, impl Into<String>)>,
    ) -> Self {
        let language = language.into();
        let texts = texts.into_iter();
        self.texts
            .extend(texts.map(|(text, says)| (language.clone(), text, says.into())));
        self
    }

    /// The language of who asks for none that is there. Default: `en`.
    pub fn default_language(mut self, language: impl Into<String>) -> Self {
        self.default_language = Some(language.into());
        self
    }

    /// What people are told in a language that a scope of the server allows. Default: what
    /// [`describe_scope`](crate::server::AuthorizationServerBuilder::describe_scope) says.
    pub fn describe_scope(
        mut self,
        language: impl Into<String>,
        scope: impl Into<String>,
        says: impl Into<String>,
    ) -> Self {
        self.scopes
            .push((language.into(), scope.into(), says.into()));
        self
    }

    /// The login path shows its form to who is signed in, too: then the consent page has a link to it for who is somebody else.
    pub fn another_account(mut self) -> Self {
        self.another_account = true;
        self
    }

    /// Makes some pages in our place: `page` is what would be shown, the text the language that the browser asked for among those that
    /// are there, such as `de`. `None` leaves the page to us.
    ///
    /// The status is ours, and headers that the answer lacks are added: nobody may frame, keep or sniff it. The form of a page
    /// must send what ours sends: the documentation of each kind of [`Page`] says what that is.
    pub fn replace(
        mut self,
        page: impl Fn(&Page, &str) -> Option<Response<Body>> + Send + Sync + 'static,
    ) -> Self {
        self.replace = Some(Arc::new(page));
        self
    }

    /// The scopes that are described.
    pub(crate) fn described(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|(_, scope, _)| scope.as_str())
    }

    /// Checks everything, and makes what is the same on all pages.
    pub(crate) fn build(self) -> Result<Renderer, InvalidPages> {
        let name = self.name.as_deref().map(str::trim);
        if name.is_some_and(|name| !shows_something(name) || name.chars().count() > 60) {
            return Err(InvalidPages::Name);
        }
        let mut spoken = vec![Spoken::new("en"), Spoken::new("de")];
        for (language, text, says) in self.texts {
            if !fits(text, &says) {
                return Err(InvalidPages::Text { language, text });
            }
            of(&mut spoken, &language)?.texts.insert(text, says);
        }
        for (language, scope, says) in self.scopes {
            of(&mut spoken, &language)?.scopes.insert(scope, says);
        }
        if let Some(tag) = self.default_language {
            let is_it = |spoken: &Spoken| spoken.tag.eq_ignore_ascii_case(&tag);
            let at = spoken.iter().position(is_it);
            let at = at.ok_or_else(|| InvalidPages::Language(tag.clone()))?;
            spoken.swap(0, at);
        }
        Ok(Renderer::new(
            style(&self.light, &self.dark)?,
            name.map(ToOwned::to_owned),
            self.logo.as_ref().map(Logo::url).transpose()?,
            (spoken, self.replace),
        ))
    }
}

/// Whether a text has the places for values that it must have.
fn fits(text: Text, says: &str) -> bool {
    fn place(says: &str) -> Option<&str> {
        Some(says.split_once('{')?.1.split_once('}')?.0)
    }
    let english = Spoken::new("en");
    let ours = english.say(text);
    let braces = |says: &str| (says.matches('{').count(), says.matches('}').count());
    shows_something(says) && place(says) == place(ours) && braces(says) == braces(ours)
}

/// The language by its tag, added if it is a new one.
fn of<'a>(spoken: &'a mut Vec<Spoken>, tag: &str) -> Result<&'a mut Spoken, InvalidPages> {
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let invalid = || InvalidPages::Language(tag.to_owned());
    if !tag.split('-').all(part) {
        return Err(invalid());
    }
    let known = spoken
        .iter()
        .position(|spoken| spoken.tag.eq_ignore_ascii_case(tag));
    if known.is_none() {
        spoken.push(Spoken::new(tag));
    }
    let at = known.unwrap_or(spoken.len().saturating_sub(1));
    spoken.get_mut(at).ok_or_else(invalid)
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logo")
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidPages, Logo, Pages};
    use crate::pages::Text;

    #[test]
    fn what_cannot_be_shown_is_named() {
        let wrong = |pages: Pages| pages.build().err().unwrap();
        for name in ["", " \u{200b}", &"x".repeat(61)] {
            assert_eq!(wrong(Pages::new().name(name)), InvalidPages::Name);
        }
        let long = [b"<svg>".as_slice(), &[b' '; 4 * 1024]].concat();
        for logo in [
            Logo::png("<svg></svg>"),
            Logo::svg("\u{89}PNG"),
            Logo::svg(long),
        ] {
            assert_eq!(wrong(Pages::new().logo(logo)), InvalidPages::Logo);
        }
        for tag in ["", "d_e", "de-", "\" onload=\"", "toolongtag"] {
            let language = wrong(Pages::new().text(tag, Text::Allow, "x"));
            assert_eq!(language, InvalidPages::Language(tag.to_owned()));
        }
        let lacks = wrong(Pages::new().default_language("fr"));
        assert_eq!(lacks, InvalidPages::Language("fr".to_owned()));
        for (text, says) in [
            (Text::ConsentHeading, "Allow it?"),
            (Text::ConsentHeading, "Allow {subject}?"),
            (Text::ConsentHeading, "Allow {client} and {client}?"),
            (Text::Allow, "Allow {client}"),
            (Text::Allow, "\u{200b}"),
        ] {
            let language = "fr".to_owned();
            let wrong = wrong(Pages::new().text("fr", text, says));
            assert_eq!(wrong, InvalidPages::Text { language, text }, "{says}");
        }
    }
}
