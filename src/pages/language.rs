//! Which language a page is in (RFC 9110 §12.5.4, RFC 4647 §3.4), and what it says in it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;

use super::english::english;
use super::german::german;
use super::text::Text;

/// What one language says otherwise than we do, or in our place.
#[derive(Debug, Clone, Default)]
pub(super) struct Spoken {
    /// As `Content-Language` and `lang` write it: `de`, `pt-BR`.
    pub(super) tag: String,
    pub(super) texts: HashMap<Text, String>,
    /// What people are told that a scope allows.
    pub(super) scopes: HashMap<String, String>,
}

impl Spoken {
    pub(super) fn new(tag: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            ..Self::default()
        }
    }

    pub(super) fn say(&self, text: Text) -> &str {
        let ours = || match self.tag.as_str() {
            "de" => german(text),
            _ => english(text),
        };
        self.texts.get(&text).map_or_else(ours, String::as_str)
    }

    /// A text with a value in the place that it has for one.
    pub(super) fn fill<'a>(&'a self, text: Text, value: impl fmt::Display) -> Phrase<'a> {
        let text = self.say(text);
        let (before, rest) = text.split_once('{').unwrap_or((text, ""));
        let (_, after) = rest.split_once('}').unwrap_or(("", rest));
        Phrase {
            before,
            value: value.to_string(),
            after,
            is_ours: false,
        }
    }

    /// As `fill`, with a value of our own words.
    pub(super) fn put<'a>(&'a self, text: Text, value: impl fmt::Display) -> Phrase<'a> {
        Phrase {
            is_ours: true,
            ..self.fill(text, value)
        }
    }

    /// A time as people say it, rounded up, in the largest unit of which it has two.
    pub(super) fn lasts(&self, time: Duration) -> String {
        let seconds = time.as_secs();
        for (unit, text) in [
            (24 * 3600, Text::Days),
            (3600, Text::Hours),
            (60, Text::Minutes),
        ] {
            if seconds >= 2 * unit {
                return self.number(text, seconds.div_ceil(unit));
            }
        }
        match seconds {
            1 => self.say(Text::OneSecond).to_owned(),
            seconds => self.number(Text::Seconds, seconds),
        }
    }

    /// How long ago something was, rounded down.
    pub(super) fn ago(&self, time: Duration) -> String {
        let seconds = time.as_secs();
        let units = [
            (24 * 3600, Text::DaysAgo),
            (3600, Text::HoursAgo),
            (60, Text::MinutesAgo),
        ];
        let found = units.iter().find(|(unit, _)| seconds >= 2 * unit);
        match found {
            Some((unit, text)) => self.number(*text, seconds / unit),
            None if seconds >= 60 => self.say(Text::AMinuteAgo).to_owned(),
            None => self.say(Text::JustNow).to_owned(),
        }
    }

    fn number(&self, text: Text, number: u64) -> String {
        let Phrase { before, after, .. } = self.fill(text, "");
        format!("{before}{number}{after}")
    }
}

/// A text with a value in it, which is escaped like everything else.
#[derive(Template)]
#[template(
    source = "{{ before }}{% if is_ours %}{{ value }}{% else if !value.is_empty() %}<bdi>{{ value }}</bdi>{% endif %}{{ after }}",
    ext = "html"
)]
pub(super) struct Phrase<'a> {
    before: &'a str,
    value: String,
    after: &'a str,
    is_ours: bool,
}

/// It is a template of its own, and has escaped its parts.
impl HtmlSafe for Phrase<'_> {}

/// The language of those that are there which suits an `Accept-Language` best; the first one if none does.
pub(super) fn choose<'a>(accepted: &str, spoken: &'a [Spoken]) -> Option<&'a Spoken> {
    let mut ranges: Vec<(&str, u32)> = accepted.split(',').take(MOST).filter_map(range).collect();
    ranges.sort_by_key(|(_, quality)| std::cmp::Reverse(*quality)); // stable: of equals the first
    let refused = |spoken: &Spoken| {
        let of = |range: &str| range.eq_ignore_ascii_case(&spoken.tag);
        ranges
            .iter()
            .any(|(range, quality)| *quality == 0 && of(range))
    };
    let wanted = ranges.iter().filter(|(_, quality)| *quality > 0);
    wanted
        .filter_map(|(range, _)| match *range {
            "*" => spoken.iter().find(|spoken| !refused(spoken)),
            range => find(range, spoken).filter(|spoken| !refused(spoken)),
        })
        .next()
        .or_else(|| spoken.first())
}

/// So many ranges are looked at: browsers send a handful.
const MOST: usize = 32;

/// A language range and its quality in thousandths; none if it is malformed.
fn range(text: &str) -> Option<(&str, u32)> {
    let (range, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let weight = weight.trim();
    let weight = weight.strip_prefix("q=").or(weight.strip_prefix("Q="))?;
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = part.bytes().all(|byte| byte.is_ascii_digit());
    if part.len() > 3 || !digits || !matches!(whole, "0" | "1") {
        return None;
    }
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    let quality = if whole == "1" { 1000 } else { part };
    Some((range.trim(), quality))
}

/// `de-CH` is also served by `de` (RFC 4647 §3.4), and `pt` by `pt-BR` (§3.3.1).
fn find<'a>(range: &str, spoken: &'a [Spoken]) -> Option<&'a Spoken> {
    let mut wanted = range;
    loop {
        let found = spoken
            .iter()
            .find(|spoken| spoken.tag.eq_ignore_ascii_case(wanted));
        if found.is_some() {
            return found;
        }
        match wanted.rsplit_once('-') {
            Some((shorter, _)) => wanted = shorter,
            None => break,
        }
    }
    let is_region_of = |spoken: &&Spoken| {
        let language = spoken.tag.split('-').next().unwrap_or_default();
        language.eq_ignore_ascii_case(wanted)
    };
    spoken.iter().find(is_region_of)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use askama::Template as _;

    use super::{Spoken, choose};
    use crate::pages::Text;

    fn spoken(tags: &[&str]) -> Vec<Spoken> {
        tags.iter().map(|tag| Spoken::new(*tag)).collect()
    }

    #[test]
    fn rfc9110_12_5_4_the_language_that_is_wanted_most_is_spoken() {
        let ours = spoken(&["en", "de", "pt-BR"]);
        for (accepted, tag) in [
            ("", "en"),
            ("de", "de"),
            ("DE", "de"),
            ("de-CH", "de"),
            ("de-Latn-CH-1996", "de"),
            ("pt", "pt-BR"),
            ("pt-PT", "pt-BR"),
            ("fr, de;q=0.5, en;q=0.4", "de"),
            ("en;q=0.3,de;q=0.9", "de"),
            ("en;q=0.9,de;q=0.9", "en"),
            ("de;q=0.9,en;q=0.9", "de"),
            ("de;q=0", "en"),
            ("de-AT, de;q=0, en;q=0.1", "en"),
            ("*", "en"),
            ("en;q=0, *;q=0.5", "de"),
            ("*, en;q=0, de;q=0", "pt-BR"),
            ("*, en;q=0, de;q=0, pt-BR;q=0", "en"),
            ("fr", "en"),
            ("de;q=2, en;q=0.1", "en"),
            ("de;q=0.1234, en;q=0.1", "en"),
            ("de ; q=0.8 , en ; q=0.1", "de"),
            (";;;,,,q=1", "en"),
            ("-", "en"),
        ] {
            assert_eq!(choose(accepted, &ours).unwrap().tag, tag, "{accepted}");
        }
        let many = "fr,".repeat(10_000) + "de";
        assert_eq!(choose(&many, &ours).unwrap().tag, "en");
        assert_eq!(choose("fr", &spoken(&["de", "en"])).unwrap().tag, "de");
    }

    #[test]
    fn times_are_said_in_the_largest_unit_of_which_there_are_two() {
        let (english, german) = (Spoken::new("en"), Spoken::new("de"));
        for (seconds, said, ago) in [
            (0, "0 seconds", "just now"),
            (1, "1 second", "just now"),
            (59, "59 seconds", "just now"),
            (119, "119 seconds", "a minute ago"),
            (120, "2 minutes", "2 minutes ago"),
            (121, "3 minutes", "2 minutes ago"),
            (3600, "60 minutes", "60 minutes ago"),
            (7200, "2 hours", "2 hours ago"),
            (24 * 3600, "24 hours", "24 hours ago"),
            (90 * 24 * 3600, "90 days", "90 days ago"),
        ] {
            assert_eq!(english.lasts(Duration::from_secs(seconds)), said);
            assert_eq!(english.ago(Duration::from_secs(seconds)), ago);
        }
        assert_eq!(german.lasts(Duration::from_secs(180)), "3 Minuten");
        assert_eq!(
            german.ago(Duration::from_secs(3 * 24 * 3600)),
            "vor 3 Tagen"
        );
    }

    #[test]
    fn each_language_has_each_text_with_the_same_places_for_values() {
        let place = |text: &str| Some(text.split_once('{')?.1.split_once('}')?.0.to_owned());
        let (english, german) = (Spoken::new("en"), Spoken::new("de"));
        for text in Text::ALL {
            let (english, german) = (english.say(text), german.say(text));
            assert!(!german.is_empty() && !english.is_empty(), "{text:?}");
            assert_eq!(place(english), place(german), "{text:?}");
            assert!(english.matches('{').count() <= 1, "{text:?}");
        }
        let same = |text: &&Text| english.say(**text) == german.say(**text);
        assert_eq!(Text::ALL.iter().filter(same).count(), 2, "Website and Code");
    }

    #[test]
    fn s14_a_value_in_a_text_is_escaped_and_the_text_too() {
        let mut spoken = Spoken::new("en");
        let text = "<b>{client}</b>".to_owned();
        spoken.texts.insert(Text::ConsentHeading, text);
        let phrase = spoken.fill(Text::ConsentHeading, "<i>\"{client}");
        assert_eq!(
            phrase.render().unwrap(),
            "&#60;b&#62;<bdi>&#60;i&#62;&#34;{client}</bdi>&#60;/b&#62;"
        );
    }
}
