//! Colors, and whether one can be read on another (WCAG 2.2 §1.4.3).

use std::fmt;
use std::str::FromStr;

/// A color of sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Color([u8; 3]);

/// The least contrast of text with what it stands on (WCAG 2.2 §1.4.3).
pub(super) const TEXT: f64 = 4.5;

/// The least contrast of the edge of a field or a button (WCAG 2.2 §1.4.11).
pub(super) const EDGE: f64 = 3.0;

const BLACK: Color = Color([0, 0, 0]);
const WHITE: Color = Color([255, 255, 255]);

impl Color {
    pub(super) const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// From 1 for the same color to 21 for black and white.
    pub(super) fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Black or white, whichever is easier to read on this: one of the two always has a contrast of 4.5 or more.
    pub(super) fn opposite(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(BLACK) {
            WHITE
        } else {
            BLACK
        }
    }

    /// So many hundredths of the way to another color.
    pub(super) fn towards(self, other: Self, percent: u32) -> Self {
        let Self([red, green, blue]) = self;
        let Self([to_red, to_green, to_blue]) = other;
        let mix = |from: u8, to: u8| {
            let sum = u32::from(from) * (100 - percent.min(100)) + u32::from(to) * percent.min(100);
            u8::try_from((sum + 50) / 100).unwrap_or(u8::MAX)
        };
        Self([mix(red, to_red), mix(green, to_green), mix(blue, to_blue)])
    }

    /// This color, or the nearest one on the way to another that stands out enough from all of these.
    pub(super) fn readable(self, on: &[Self], towards: Self, least: f64) -> Self {
        let fits = |color: &Self| on.iter().all(|on| color.contrast(*on) >= least);
        let way = (0..=100)
            .step_by(5)
            .map(|percent| self.towards(towards, percent));
        way.into_iter().find(fits).unwrap_or(towards)
    }

    /// The relative luminance of WCAG 2.2.
    fn luminance(self) -> f64 {
        let part = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let Self([red, green, blue]) = self;
        0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue)
    }
}

/// As CSS writes it: `#1a56b8`, or `#15b` for `#1155bb`.
impl FromStr for Color {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix('#').ok_or(())?;
        let digits: Vec<u8> = digits
            .chars()
            .map(|digit| {
                digit
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect::<Option<_>>()
            .ok_or(())?;
        match *digits.as_slice() {
            [red, green, blue] => Ok(Self([red * 17, green * 17, blue * 17])),
            [r1, r2, g1, g2, b1, b2] => Ok(Self([r1 * 16 + r2, g1 * 16 + g2, b1 * 16 + b2])),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::{BLACK, Color, TEXT, WHITE};

    #[test]
    fn a_color_is_three_or_six_hexadecimal_digits() {
        for (text, printed) in [
            ("#15b", "#1155bb"),
            ("#1A56b8", "#1a56b8"),
            ("#fff", "#ffffff"),
        ] {
            assert_eq!(text.parse::<Color>().unwrap().to_string(), printed);
        }
        for wrong in [
            "",
            "#",
            "1a56b8",
            "#1a56b",
            "#1a56b88",
            "#1a56bg",
            "red",
            "#15b;}",
            "#+1+1+1",
            "#１２３",
            "rgb(1,2,3)",
        ] {
            assert!(wrong.parse::<Color>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        assert!((BLACK.contrast(WHITE) - 21.0).abs() < 1e-9);
        assert!((WHITE.contrast(WHITE) - 1.0).abs() < 1e-9);
        // The grey that WCAG names as the lightest for text on white.
        let grey: Color = "#767676".parse().unwrap();
        assert!((4.5..4.6).contains(&grey.contrast(WHITE)));
        let lighter: Color = "#777777".parse().unwrap();
        assert!(lighter.contrast(WHITE) < 4.5);
    }

    #[test]
    fn black_or_white_can_be_read_on_every_color() {
        for red in (0..=255).step_by(15) {
            for green in (0..=255).step_by(15) {
                for blue in (0..=255).step_by(15) {
                    let color = Color::new(red, green, blue);
                    assert!(color.opposite().contrast(color) >= TEXT, "{color}");
                }
            }
        }
    }

    #[test]
    fn a_color_that_cannot_be_read_moves_until_it_can_and_no_further() {
        let yellow: Color = "#ffe14d".parse().unwrap();
        let moved = yellow.readable(&[WHITE], BLACK, TEXT);
        assert!(moved.contrast(WHITE) >= TEXT && moved != BLACK);
        let blue: Color = "#1a56b8".parse().unwrap();
        assert_eq!(blue.readable(&[WHITE], BLACK, TEXT), blue);
        assert_eq!(WHITE.towards(BLACK, 0), WHITE);
        assert_eq!(WHITE.towards(BLACK, 100), BLACK);
        assert_eq!(WHITE.towards(BLACK, 1000), BLACK);
    }
}
