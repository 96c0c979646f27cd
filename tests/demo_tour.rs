//! The tour of the demo, typed in as it stands: each block is answered as the page says, but for tokens and codes.
//!
//! Needs `bash`, `curl` and `openssl`. Where one is missing it is skipped, and says so; in CI that is a failure.

#[path = "support/example.rs"]
mod example;

use std::io::{self, Write as _};
use std::process::Command;
use std::{env, fs};

use example::Example;

/// Printed between the answers to two blocks.
const NEXT: &str = "---- next block ----";

#[test]
fn each_block_of_the_tour_is_answered_as_it_says() {
    let missing = ["bash", "curl", "openssl"].map(|program| {
        let found = Command::new(program).arg("--help").output();
        found.is_err().then_some(program)
    });
    if let Some(program) = missing.into_iter().flatten().next() {
        let may_skip = env::var_os("CI").is_none();
        assert!(may_skip, "the tour needs {program}");
        // Past the capture of the test runner: whoever asked for it is to see it.
        writeln!(io::stderr(), "\nSKIPPED: the tour needs {program}\n").ok();
        return;
    }
    let page = fs::read_to_string("README.md").expect("tests run in the package");
    let (_, page) = page
        .split_once("In one terminal:\n\n```sh\ncargo run --example demo\n```")
        .expect("the tour begins so");
    let (page, _) = page.split_once("\n## ").expect("something follows it");
    let demo = Example::start("demo", &["--listen", "127.0.0.1:0", "--store", "memory:"]);
    let (_, port) = demo.base().rsplit_once(':').expect("an address has a port");

    let blocks = blocks(page);
    let script: Vec<_> = blocks.iter().map(|(typed, _)| *typed).collect();
    let script = script.join(&format!("\necho '{NEXT}'\n"));
    let folder = tempfile::tempdir().expect("there is room");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script.replace("8080", port)])
        .current_dir(&folder)
        .output()
        .expect("bash was there");
    let answered = String::from_utf8_lossy(&output.stdout).replace(port, "8080");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{answered}{said}");
    let answers: Vec<_> = answered.split(NEXT).collect();
    assert_eq!(answers.len(), blocks.len(), "{answered}");
    for ((typed, expected), answer) in blocks.iter().zip(answers) {
        assert_eq!(masked(answer), masked(expected), "the answer to\n{typed}");
    }
}

/// What is typed in, and what the page says that the answer is.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("```sh\n").skip(1);
    let block = |block| -> Option<(&str, &str)> {
        let (typed, rest) = str::split_once(block, "\n```\n")?;
        let expected = rest.trim_start().strip_prefix("```text\n");
        let expected = expected.and_then(|rest| rest.split_once("\n```"));
        Some((typed, expected.map_or("", |(expected, _)| expected)))
    };
    blocks
        .map(|text| block(text).expect("blocks end"))
        .collect()
}

/// The lines that say something, with a mark for each word that chance or the time of day made.
fn masked(text: &str) -> Vec<String> {
    let made = |word: &str| {
        let user_code =
            word.len() == 9 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let time = word.len() == 10 && word.bytes().all(|b| b.is_ascii_digit());
        let id = word.len() == 22 && word.bytes().any(|b| !b.is_ascii_lowercase() && b != b'-');
        word.len() >= 40 || user_code || time || id
    };
    let words = |line: &str| -> String {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let pieces = line.split_inclusive(|c| !in_word(c));
        let mask = |piece: &str| match piece.trim_end_matches(|c| !in_word(c)) {
            word if made(word) => piece.replace(word, "…"),
            _ => piece.to_owned(),
        };
        pieces.map(mask).collect()
    };
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("date: "));
    lines.map(words).collect()
}
