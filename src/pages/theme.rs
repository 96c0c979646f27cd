//! The style of the pages, made of a few colors.

use std::fmt::Write as _;

use super::color::{Color, EDGE, TEXT};
use super::settings::InvalidPages;

/// The colors of a theme, each written `#rrggbb` or `#rgb`. What is not set is as we chose it; lines, quiet text and the text on the
/// accent are made of these, so that they can be read.
///
/// ```
/// use tower_oauth::pages::{Colors, Pages};
///
/// let pages = Pages::new().light(Colors::new().accent("#7a1f5c").ground("#faf6f2"));
/// # let _ = pages;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Colors {
    ink: Option<String>,
    paper: Option<String>,
    ground: Option<String>,
    accent: Option<String>,
}

impl Colors {
    /// The colors that we chose.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of text: it must have a contrast of 4.5 with paper and ground (WCAG 2.2 §1.4.3).
    pub fn ink(mut self, color: impl Into<String>) -> Self {
        self.ink = Some(color.into());
        self
    }

    /// Of the sheet that all stands on.
    pub fn paper(mut self, color: impl Into<String>) -> Self {
        self.paper = Some(color.into());
        self
    }

    /// Of what is around the sheet.
    pub fn ground(mut self, color: impl Into<String>) -> Self {
        self.ground = Some(color.into());
        self
    }

    /// Of the main button, whose text is black or white, whichever is easier to read. Where it is the color of a line or a link, it is
    /// moved towards the ink until it stands out.
    pub fn accent(mut self, color: impl Into<String>) -> Self {
        self.accent = Some(color.into());
        self
    }
}

/// Which of the two, with the colors that we chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

impl Theme {
    const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Ink, paper, ground, accent.
    const fn colors(self) -> [Color; 4] {
        match self {
            Self::Light => [
                Color::new(0x1b, 0x1e, 0x23),
                Color::new(0xff, 0xff, 0xff),
                Color::new(0xef, 0xf1, 0xf4),
                Color::new(0x1a, 0x56, 0xb8),
            ],
            Self::Dark => [
                Color::new(0xe8, 0xea, 0xee),
                Color::new(0x1d, 0x20, 0x25),
                Color::new(0x12, 0x14, 0x17),
                Color::new(0x8f, 0xba, 0xff),
            ],
        }
    }

    /// What is warned of, on its own ground; and what was wrong.
    const fn signals(self) -> [Color; 3] {
        match self {
            Self::Light => [
                Color::new(0xff, 0xf3, 0xd1),
                Color::new(0x8a, 0x5a, 0x00),
                Color::new(0xb3, 0x26, 0x1e),
            ],
            Self::Dark => [
                Color::new(0x35, 0x2a, 0x0d),
                Color::new(0xe3, 0xb7, 0x48),
                Color::new(0xff, 0x9d, 0x94),
            ],
        }
    }

    /// The custom properties of `style.css`.
    fn properties(self, set: &Colors) -> Result<String, InvalidPages> {
        let theme = self.name();
        let color = |name: &'static str, set: &Option<String>, ours: Color| match set {
            None => Ok(ours),
            Some(text) => text.parse().map_err(|()| InvalidPages::Color {
                theme,
                name,
                color: text.clone(),
            }),
        };
        let [ink, paper, ground, accent] = self.colors();
        let ink = color("ink", &set.ink, ink)?;
        let paper = color("paper", &set.paper, paper)?;
        let ground = color("ground", &set.ground, ground)?;
        let accent = color("accent", &set.accent, accent)?;
        for (name, on) in [("paper", paper), ("ground", ground)] {
            if ink.contrast(on) < TEXT {
                return Err(InvalidPages::Contrast { theme, name });
            }
        }
        let [warn, warn_edge, bad] = self.signals();
        let sheet = [paper, ground];
        let text = warn.opposite();
        let properties = [
            ("ink", ink),
            ("paper", paper),
            ("ground", ground),
            ("soft", paper.towards(ink, 68).readable(&sheet, ink, TEXT)),
            ("line", paper.towards(ink, 14)),
            ("edge", paper.towards(ink, 45).readable(&[paper], ink, EDGE)),
            ("accent", accent),
            ("on-accent", accent.opposite()),
            ("link", accent.readable(&sheet, ink, TEXT)),
            ("warn", warn),
            ("warn-ink", warn.towards(text, 88)),
            ("warn-edge", warn_edge),
            ("bad", bad.readable(&sheet, ink, TEXT)),
        ];
        let mut css = String::new();
        for (name, color) in properties {
            let _ = write!(css, "--{name}:{color};"); // a String takes all
        }
        Ok(css)
    }
}

/// The whole style element.
pub(super) fn style(light: &Colors, dark: &Colors) -> Result<String, InvalidPages> {
    let light = Theme::Light.properties(light)?;
    let dark = Theme::Dark.properties(dark)?;
    let rest = include_str!("style.css");
    Ok(format!(
        ":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rest}"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Colors, InvalidPages, style};
    use crate::pages::color::{Color, EDGE, TEXT};

    /// The property of the light and of the dark theme.
    fn properties(style: &str, name: &str) -> Vec<Color> {
        let name = format!("--{name}:");
        let found = style.split(&name).skip(1);
        found
            .filter_map(|rest| rest.split(';').next()?.parse().ok())
            .collect()
    }

    // req: http-page-1
    #[test]
    fn whatever_the_host_chooses_can_be_read() {
        let ours = Colors::new();
        let pink = Colors::new().accent("#ffd7ee").ground("#fff8fb");
        let night = Colors::new()
            .paper("#101a2b")
            .ink("#ccd6e8")
            .ground("#0a0f1a")
            .accent("#123");
        for (light, dark) in [
            (&ours, &ours),
            (&pink, &ours),
            (&night, &night),
            (&ours, &pink.clone().ground("#111")),
        ] {
            let style = style(light, dark).unwrap();
            let all = |name| properties(&style, name);
            for theme in [0, 1] {
                let of = |name| all(name)[theme];
                for (text, on, least) in [
                    ("ink", "paper", TEXT),
                    ("ink", "ground", TEXT),
                    ("soft", "paper", TEXT),
                    ("soft", "ground", TEXT),
                    ("link", "paper", TEXT),
                    ("link", "ground", TEXT),
                    ("bad", "paper", TEXT),
                    ("on-accent", "accent", TEXT),
                    ("warn-ink", "warn", TEXT),
                    ("edge", "paper", EDGE),
                ] {
                    let contrast = of(text).contrast(of(on));
                    assert!(
                        contrast >= least,
                        "{text} on {on} in theme {theme}: {contrast}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_color_that_is_none_and_one_that_cannot_be_read_are_named() {
        let ours = Colors::new();
        let wrong = style(&ours, &Colors::new().accent("blue")).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "dark accent: \"blue\" is no color: write #rrggbb or #rgb"
        );
        let grey = style(&Colors::new().ink("#999"), &ours).unwrap_err();
        assert!(matches!(
            grey,
            InvalidPages::Contrast {
                theme: "light",
                name: "paper"
            }
        ));
        let slip = style(&Colors::new().accent("#fff}*{display:none"), &ours);
        assert!(slip.is_err(), "nothing but a color gets into the style");
    }
}
