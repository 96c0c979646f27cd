//! QR codes, drawn by us and read again by a decoder of somebody else's.

use rqrr::PreparedImage;
use tower_oauth::qr;

/// So many pixels of a picture are a module wide.
const MODULE: usize = 4;

/// What stands in the only code of a picture of so many modules, of which these are dark.
fn read(size: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
    let pixels = size * MODULE;
    let grey = |x, y| match is_dark(x / MODULE, y / MODULE) {
        true => 0,
        false => 255,
    };
    let mut picture = PreparedImage::prepare_from_greyscale(pixels, pixels, grey);
    let codes = picture.detect_grids();
    assert_eq!(codes.len(), 1);
    let (_, text) = codes[0].decode().unwrap();
    text
}

/// As a terminal shows it that writes light on dark: two modules to a character.
fn terminal(drawn: &str) -> String {
    let lines: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
    read(lines[0].len(), |x, y| {
        let light = if y % 2 == 0 { '▀' } else { '▄' };
        let here = lines[y / 2][x];
        here != '█' && here != light
    })
}

/// As a page shows it: what its two paths fill, the first one white and the second one black.
fn svg(drawn: &str) -> String {
    let attribute = |element: &str, name: &str| {
        let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let view = attribute(drawn, "viewBox");
    let size: usize = view.rsplit(' ').next().unwrap().parse().unwrap();
    let paths: Vec<_> = drawn.split("<path").skip(1).collect();
    assert_eq!(attribute(paths[0], "fill"), "#fff");
    let all = format!("M0 0h{size}v{size}h-{size}z");
    assert_eq!(attribute(paths[0], "d"), all);
    let mut dark = vec![vec![false; size]; size];
    for square in attribute(paths[1], "d").split_inclusive('z') {
        let corner = square.strip_prefix('M').unwrap();
        let (x, y) = corner
            .strip_suffix("h1v1h-1z")
            .unwrap()
            .split_once(' ')
            .unwrap();
        let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
        dark[y][x] = true;
    }
    read(size, |x, y| dark[y][x])
}

#[test]
fn what_is_drawn_for_a_terminal_and_for_a_page_is_read_again() {
    let link = "https://auth.example/device?user_code=WDJB-MJHT";
    // The longest fills the largest code, of 177 modules.
    let path = |length: usize| format!("https://auth.example/{}/device", "tenant-".repeat(length));
    let longest = format!("{link}&x={}", "x".repeat(2_300 - link.len() - 3));
    for text in [
        "HTTPS://A.EXAMPLE",
        link,
        &path(20),
        &path(100),
        &longest,
        "https://täglich.example/gerät",
    ] {
        assert_eq!(terminal(&qr::terminal(text).unwrap()), text);
        assert_eq!(svg(&qr::svg(text).unwrap()), text);
    }
}
