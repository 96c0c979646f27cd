//! How every page looks: on a small phone, on a phone and on a desk, in light and dark, enlarged, and to those who listen to it.
//!
//! The screenshots stand in `target/pages`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::App;
use crate::chromium::browse;
use crate::code::{PILED, piled};
use crate::pages::{ALL, Page};
use crate::person::Person;
use crate::{demo, npm};

const LARGEST: usize = 30_000;

#[derive(Clone, Copy)]
enum Theme {
    Light,
    Dark,
}

impl fmt::Display for Theme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Light => "light",
            Self::Dark => "dark",
        })
    }
}

const THEMES: [Theme; 2] = [Theme::Light, Theme::Dark];

/// In CSS pixels: a small phone, a phone, and a desk.
const WIDTHS: [u32; 3] = [320, 390, 1440];

/// Leads a fresh visitor to one page after the other, and looks at each.
pub(crate) async fn each_page(person: &mut Person, look: impl AsyncFn(&Person, Page)) {
    let demo = demo();
    let app = App::register(demo.base()).await;
    // Some pages say that something is wrong, and are answered so.
    for status in [400, 403, 429, 503] {
        person.expects_status(status);
    }
    for page in ALL {
        person.forget_cookies().await;
        page.go(person, demo.base(), &app).await;
        look(person, page).await;
    }
}

#[tokio::test]
async fn every_page_fits_its_window_in_both_themes_and_is_small() {
    let folder = screenshots();
    browse(async |person| {
        each_page(person, async |person, page| {
            let source = person.source().await;
            assert!(source.len() < LARGEST, "{page:?}: {} bytes", source.len());
            for theme in THEMES {
                in_theme(person, theme).await;
                for width in WIDTHS {
                    in_window(person, width, 1).await;
                    fits(person, &format!("{page:?}, {theme}, {width} px")).await;
                    let file = format!("{}-{width}-{theme}.png", page.name());
                    photograph(person, &folder.join(file)).await;
                }
            }
        })
        .await;
    })
    .await;
}

/// The rest of the page looks the same as if the name had no marks at all.
#[tokio::test]
async fn s14_what_an_app_calls_itself_is_drawn_over_nothing_else() {
    browse(async |person| {
        let demo = demo();
        person.open(&format!("{}/login", demo.base())).await;
        person.sign_in("alice", "wonderland").await;
        for pile in PILED {
            for width in WIDTHS {
                in_window(person, width, 1).await;
                let mut seen = Vec::new();
                for marks in [0, 79] {
                    let app = App::register_as(demo.base(), &piled(pile, marks)).await;
                    person.open(&app.asks("s")).await;
                    fits(person, &format!("{pile:?}, {width} px")).await;
                    seen.push(around_the_heading(person).await);
                }
                assert!(seen[0] == seen[1], "{pile:?}, {width} px");
            }
        }
    })
    .await;
}

/// Pictures of what is left of the page, above its heading, and below it, to the end of the warning.
async fn around_the_heading(person: &Person) -> Vec<String> {
    let places = "const of = what => document.querySelector(what).getBoundingClientRect(); \
        const main = of('main'), h1 = of('h1'), warning = of('.warning'), end = document.documentElement.clientWidth; \
        return [[0, 0, main.left, warning.bottom], [0, 0, end, h1.top], [0, h1.bottom, end, warning.bottom - h1.bottom]]";
    let mut pictures = Vec::new();
    for place in person.run(places).await.as_array().unwrap() {
        let [x, y, width, height] = [0, 1, 2, 3].map(|at| place[at].as_f64().unwrap());
        let clip = json!({ "x": x, "y": y, "width": width, "height": height, "scale": 1 });
        let picture = person
            .devtools("Page.captureScreenshot", json!({ "clip": clip }))
            .await;
        pictures.push(picture["data"].as_str().unwrap().to_owned());
    }
    pictures
}

#[tokio::test]
async fn every_page_can_be_read_at_twice_its_size() {
    browse(async |person| {
        each_page(person, async |person, page| {
            // A window of 1280 pixels at 200 % has room for 640; so has a phone of 320 whose owner has the text alone enlarged.
            in_window(person, 640, 2).await;
            fits(person, &format!("{page:?} at 200 %")).await;
            in_window(person, 320, 1).await;
            person
                .run("document.documentElement.style.fontSize = '200%'")
                .await;
            fits(person, &format!("{page:?}, text at 200 %")).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn no_page_keeps_anybody_out_says_axe() {
    let Some(axe) = axe() else { return };
    browse(async |person| {
        each_page(person, async |person, page| {
            keeps_nobody_out(person, &axe, &format!("{page:?}")).await;
        })
        .await;
    })
    .await;
}

/// The page that is shown breaks no rule of axe, and fits its window, in both themes, on a small phone and on a desk.
pub(crate) async fn keeps_nobody_out(person: &Person, axe: &str, what: &str) {
    for theme in THEMES {
        in_theme(person, theme).await;
        for width in [320, 1440] {
            in_window(person, width, 1).await;
            let what = format!("{what}, {theme}, {width} px");
            fits(person, &what).await;
            let violations = violations(person, axe).await;
            assert!(violations.is_empty(), "{what}: {violations:#?}");
        }
    }
}

/// A page with all that the checks look for.
const BAD: &str = "data:text/html,<meta http-equiv=Content-Security-Policy content=\"style-src 'none'\">\
    <style>p{color:red}</style><p style=color:red>x</p><input><pre>a line that is longer than any phone is wide, since nobody has \
    broken it into two or three";

#[tokio::test]
async fn what_the_checks_look_for_they_find() {
    let axe = axe();
    browse(async |person| {
        person.open(BAD).await;
        in_window(person, 320, 1).await;
        assert!(overhang(person).await > 0);
        if let Some(axe) = axe {
            let found = violations(person, &axe).await.join("\n");
            assert!(
                found.contains("label") && found.contains("document-title"),
                "{found}"
            );
        }
        let complaints = person.complaints().await.join("\n");
        assert!(
            complaints.contains("Content Security Policy"),
            "{complaints}"
        );
        assert!(person.complaints().await.is_empty(), "each is told once");
    })
    .await;
}

async fn in_theme(person: &Person, theme: Theme) {
    let feature = json!({ "name": "prefers-color-scheme", "value": theme.to_string() });
    let features = json!({ "features": [feature] });
    person
        .devtools("Emulation.setEmulatedMedia", features)
        .await;
}

/// In a window that has room for so many CSS pixels, each of them `scale` pixels of the screen. As on phones, scrollbars take no room.
async fn in_window(person: &Person, width: u32, scale: u32) {
    let hidden = json!({ "hidden": true });
    person
        .devtools("Emulation.setScrollbarsHidden", hidden)
        .await;
    let window =
        json!({ "width": width, "height": 800, "deviceScaleFactor": scale, "mobile": false });
    person
        .devtools("Emulation.setDeviceMetricsOverride", window)
        .await;
}

/// By how many pixels the page is wider than its window.
async fn overhang(person: &Person) -> i64 {
    let script =
        "const page = document.documentElement; return page.scrollWidth - page.clientWidth";
    person.run(script).await.as_i64().unwrap()
}

async fn fits(person: &Person, what: &str) {
    let overhang = overhang(person).await;
    assert_eq!(overhang, 0, "{what}: that many pixels stick out");
}

async fn photograph(person: &Person, file: &Path) {
    let whole = json!({ "captureBeyondViewport": true });
    let picture = person.devtools("Page.captureScreenshot", whole).await;
    let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    fs::write(file, picture).unwrap();
}

fn screenshots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("pages");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The source of `axe-core`. `None` if this is to be skipped.
pub(crate) fn axe() -> Option<String> {
    let installed = npm::install("axe", &[])?;
    let source = installed.join("node_modules/axe-core/axe.min.js");
    Some(fs::read_to_string(source).unwrap())
}

/// Each rule that the page breaks, with the elements that break it.
async fn violations(person: &Person, axe: &str) -> Vec<String> {
    if person.run("return !window.axe").await == true {
        person.run(axe).await;
    }
    let found = person
        .run_to_its_end("const done = arguments[0]; axe.run().then(found => done(found.violations), e => done([String(e)]))")
        .await;
    let name = |violation: &Value| {
        let places = violation["nodes"].as_array().into_iter().flatten();
        let places: Vec<_> = places.map(|node| &node["html"]).collect();
        format!("{}: {} at {places:?}", violation["id"], violation["help"])
    };
    found.as_array().unwrap().iter().map(name).collect()
}
