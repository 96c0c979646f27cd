//! QR codes of links, such as `verification_uri_complete` (RFC 8628 §3.3.1), for programs on a terminal and for pages.
//!
//! Show the link and the user code beside it as text, for who cannot scan. A code that was scanned is filled in and nothing more: its owner
//! still compares it and decides.

use qrcode::{Color, EcLevel, QrCode};

/// So many modules around a code are light: scanners look for it (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// The link is too long for a QR code: more than about 2,300 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long for a QR code")]
#[non_exhaustive]
pub struct TooLong;

/// The code in half blocks of Unicode, two modules to a character, each line with its end; 41 columns for a link of 50 letters. What is
/// light is drawn, for terminals that write light on dark; most scanners read it from the others, too.
///
/// # Errors
/// [`TooLong`].
///
/// ```
/// let code = tower_oauth::qr::terminal("https://auth.example/device?user_code=WDJB-MJHT")?;
/// # let print = |_: &str| {};
/// print(&code);
/// # Ok::<(), tower_oauth::qr::TooLong>(())
/// ```
pub fn terminal(text: &str) -> Result<String, TooLong> {
    let modules = Modules::of(text)?;
    let mut drawn = String::new();
    for row in (0..modules.size).step_by(2) {
        for column in 0..modules.size {
            // Below the last row there is nothing to draw.
            let below = row + 1 >= modules.size || modules.is_dark(column, row + 1);
            drawn.push(match (modules.is_dark(column, row), below) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        drawn.push('\n');
    }
    Ok(drawn)
}

/// The code as an SVG element to stand in a page: black on white in both themes, without a script, a style or an address, so that it needs
/// nothing of a content security policy. It has no size of its own, and nothing for who does not see it.
///
/// # Errors
/// [`TooLong`].
pub fn svg(text: &str) -> Result<String, TooLong> {
    let modules = Modules::of(text)?;
    let size = modules.size;
    let mut path = String::new();
    for row in 0..size {
        for column in (0..size).filter(|column| modules.is_dark(*column, row)) {
            path.push_str(&format!("M{column} {row}h1v1h-1z"));
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\" aria-hidden=\"true\">\
         <path fill=\"#fff\" d=\"M0 0h{size}v{size}h-{size}z\"/><path d=\"{path}\"/></svg>"
    ))
}

/// The modules of a code with what is light around it.
struct Modules {
    dark: Vec<Color>,
    size: usize,
}

impl Modules {
    fn of(text: &str) -> Result<Self, TooLong> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| TooLong)?;
        Ok(Self {
            size: code.width() + 2 * QUIET,
            dark: code.into_colors(),
        })
    }

    fn is_dark(&self, column: usize, row: usize) -> bool {
        let width = self.size - 2 * QUIET;
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        let at = inside(column).zip(inside(row));
        let module = at.and_then(|(column, row)| self.dark.get(row * width + column));
        module == Some(&Color::Dark)
    }
}

#[cfg(test)]
mod tests {
    use super::{TooLong, svg, terminal};

    const LINK: &str = "https://auth.example/device?user_code=WDJB-MJHT";

    /// Which modules of a terminal's code are dark, row by row.
    fn rows(drawn: &str) -> Vec<Vec<bool>> {
        let half =
            |line: &str, light: [char; 2]| line.chars().map(|c| !light.contains(&c)).collect();
        let both = |line| [half(line, ['█', '▀']), half(line, ['█', '▄'])];
        drawn.lines().flat_map(both).collect()
    }

    #[test]
    fn a_code_has_its_three_corners_and_light_around_it() {
        let drawn = terminal(LINK).unwrap();
        let rows = rows(&drawn);
        let size = rows[0].len();
        assert_eq!(
            (size, rows.len()),
            (41, 42),
            "version 4, and four on each side"
        );
        let corner = |left: usize, top: usize| {
            (0..7).all(|y| {
                (0..7).all(|x| {
                    let ring = x == 0 || y == 0 || x == 6 || y == 6;
                    let core = (2..=4).contains(&x) && (2..=4).contains(&y);
                    rows[top + y][left + x] == (ring || core)
                })
            })
        };
        assert!(corner(4, 4) && corner(size - 11, 4) && corner(4, size - 11));
        assert!(!corner(size - 11, size - 11));
        for (y, row) in rows.iter().take(size).enumerate() {
            for (x, dark) in row.iter().enumerate() {
                let around = [x, y].iter().any(|at| *at < 4 || *at >= size - 4);
                assert!(!(around && *dark), "{x} {y}");
            }
        }
    }

    #[test]
    fn terminal_and_page_show_the_same_and_nothing_else_stands_in_the_page() {
        let rows = rows(&terminal(LINK).unwrap());
        let page = svg(LINK).unwrap();
        for (y, row) in rows.iter().take(41).enumerate() {
            for (x, dark) in row.iter().enumerate() {
                assert_eq!(
                    page.contains(&format!("M{x} {y}h1v1h-1z")),
                    *dark,
                    "{x} {y}"
                );
            }
        }
        for (part, times) in [("<", 4), ("http", 1), ("style", 0), ("WDJB", 0)] {
            assert_eq!(page.matches(part).count(), times, "{part}");
        }
        assert_ne!(page, svg("https://auth.example/device").unwrap());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(terminal(&"x".repeat(2_331)).is_ok());
        assert_eq!(svg(&"x".repeat(2_332)), Err(TooLong));
        assert!(svg("").is_ok());
    }
}
