//! No secret is in the log. All other tests of this binary run once more, in a process of their own that logs everything, and whatever
//! they used as a secret is looked for in what was logged: as it is, in every spelling that a log could give it, and as a digest.
//!
//! A test cannot see the tests beside it, and a process has one log: so the binary starts itself. That needs no second build, takes no
//! lock of cargo's, and makes the proof a part of `cargo test`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use tower_oauth::types::Digest;

use super::watch::{LOG, SECRETS};

/// What digests of secrets are made under, so that a store finds them: one of these is as good as a place in the store.
const KINDS: [&str; 8] = [
    "access_token",
    "client_secret",
    "code",
    "device",
    "grant",
    "initial_access_token",
    "interaction",
    "refresh_token",
];

/// How long all other tests may take: several times what they do on two cores.
const PATIENCE: Duration = Duration::from_secs(900);

// req: http-log-1
#[test]
fn http_log_1_all_tests_together_leave_no_secret_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (passed, said) = run_the_others(folder.path());
    let log = std::fs::read(folder.path().join(LOG)).unwrap();
    let secrets = std::fs::read_to_string(folder.path().join(SECRETS)).unwrap();
    let secrets: Vec<(String, String)> = secrets
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found = search(&log, &secrets);
    assert!(found.is_empty(), "{}", found.join("\n"));

    // A run that was cut short, logged little or used few secrets proves nothing.
    assert!(passed, "{said}");
    let mut kinds = BTreeMap::<&str, usize>::new();
    for (kind, _) in &secrets {
        *kinds.entry(kind).or_default() += 1;
    }
    for kind in [
        "access_token",
        "authorization",
        "client_secret",
        "code",
        "code_verifier",
        "csrf",
        "device_code",
        "interaction",
        "refresh_token",
        "state",
        "token",
        "user_code",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} was used: {kinds:?}");
    }
    let text = String::from_utf8_lossy(&log);
    for said in [
        " TRACE ",
        " DEBUG ",
        "token issued",
        "presented again",
        "a step of the store failed",
        "token refused",
        "sqlx",
    ] {
        assert!(text.contains(said), "{said} was not logged");
    }
}

/// Runs all other tests, with a log in this folder. Whether they passed, and what was said of them.
fn run_the_others(folder: &Path) -> (bool, String) {
    // Into a file, and not through a pipe: that would be open for as long as anybody is left whom a test has started.
    let said = folder.join("said");
    let to_said = File::create(&said).unwrap();
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", "leaks::", "--skip", "structure::"])
        .env("TEST_LOG", folder)
        .stdin(Stdio::null())
        .stderr(to_said.try_clone().unwrap())
        .stdout(to_said)
        .spawn()
        .unwrap();
    let number = run.id().to_string();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(run.wait().unwrap()));
    let ended = told.recv_timeout(PATIENCE);
    let said = String::from_utf8_lossy(&std::fs::read(said).unwrap()).into_owned();
    let status = ended.unwrap_or_else(|_| {
        let threads = threads(&number);
        let _ = Command::new("kill").args(["-KILL", &number]).status();
        panic!("the other tests have not ended in {PATIENCE:?}:\n{said}\nits threads:\n{threads}");
    });
    (status.success(), said)
}

/// The threads of a process, which are named after their tests, and for how many ticks each has worked: as far as the machine tells.
fn threads(number: &str) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{number}/task"));
    let mut all = String::new();
    for task in tasks.into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        // Behind the name: its state, and as the twelfth and thirteenth the times in itself and in the system (proc(5)).
        let stat = read("stat");
        let (_, behind) = stat.rsplit_once(')').unwrap_or_default();
        let mut ticks = behind.split_whitespace().skip(11);
        let [own, system] = [(); 2].map(|()| ticks.next().unwrap_or("?"));
        let name = read("comm");
        writeln!(all, "{}: {own} + {system} ticks", name.trim_end()).unwrap();
    }
    all
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_hang_are_named() {
    let (end, ends) = mpsc::channel::<()>();
    let hangs = thread::Builder::new().name("a test that hangs".to_owned());
    // It has its name by the time that it says so.
    let (tell, told) = mpsc::channel();
    let hangs = hangs.spawn(move || {
        tell.send(()).unwrap();
        ends.recv()
    });
    told.recv().unwrap();
    let all = threads(&std::process::id().to_string());
    drop(end);
    hangs.unwrap().join().unwrap().unwrap_err();
    let line = all.lines().find(|line| line.starts_with("a test that han"));
    let (_, ticks) = line
        .unwrap_or_else(|| panic!("{all}"))
        .split_once(": ")
        .unwrap();
    let own = ticks.split(' ').next().unwrap();
    assert!(own.parse::<u32>().is_ok(), "{all}");
}

/// A log in which a secret of each kind stands in each spelling: each one is found.
#[test]
fn what_is_searched_for_is_found_in_each_spelling() {
    let secret = "tor_+/kQ4n7rYw~2Zt_pB9sXc-LmV3uHe.Fj8oD";
    let secrets = [("token".to_owned(), secret.to_owned())];
    let bytes = secret.as_bytes();
    let sha: [u8; 32] = Sha256::digest(bytes).into();
    let digest = *Digest::of("code", bytes).as_bytes();
    let lists = |bytes: &[u8]| format!("{bytes:?}");
    let percent = |lower: bool| {
        let encode = |byte: &u8| match (byte.is_ascii_alphanumeric(), lower) {
            (true, _) => char::from(*byte).to_string(),
            (false, true) => format!("%{byte:02x}"),
            (false, false) => format!("%{byte:02X}"),
        };
        bytes.iter().map(encode).collect::<String>()
    };
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let within = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for leak in [
        secret.to_owned(),
        secret[..20].to_owned(),
        secret[20..].to_owned(),
        form,
        percent(false),
        percent(true),
        STANDARD_NO_PAD.encode(bytes),
        within(secret),
        within(&format!("a{secret}bcd")),
        within(&format!("ab{secret}c")),
        within(&format!("abc{secret}")),
        hex(bytes),
        hex(bytes).to_uppercase(),
        lists(bytes),
        hex(&sha),
        hex(&sha).to_uppercase(),
        URL_SAFE_NO_PAD.encode(sha),
        STANDARD_NO_PAD.encode(sha),
        lists(&sha),
        hex(&digest),
        hex(&digest).to_uppercase(),
        URL_SAFE_NO_PAD.encode(digest),
        STANDARD_NO_PAD.encode(digest),
        lists(&digest),
    ] {
        let log = format!("2026-11-22 DEBUG tower_oauth: value={leak} and more\n");
        assert_eq!(search(log.as_bytes(), &secrets).len(), 1, "{leak}");
    }
    // The digest of an access token stands behind its place.
    let token = format!("toa_{}", URL_SAFE_NO_PAD.encode([7; 38]));
    let mut digest = *Digest::of("access_token", &[7; 38]).as_bytes();
    digest[..6].fill(7);
    let leak = hex(&digest);
    assert_eq!(
        search(leak.as_bytes(), &[("token".to_owned(), token)]).len(),
        1
    );
    // The digest of a grant is that of a part of the token.
    let token = format!("tor_{}", URL_SAFE_NO_PAD.encode([7; 68]));
    let leak = hex(Digest::of("grant", &[7; 32]).as_bytes());
    assert_eq!(
        search(leak.as_bytes(), &[("token".to_owned(), token)]).len(),
        1
    );

    let innocent = b"DEBUG tower_oauth: the refresh token is not valid error=\"invalid_grant\"\n";
    assert!(search(innocent, &secrets).is_empty());
}

/// The lines in which a secret stands, with its kind and its spelling; one for each place.
fn search(log: &[u8], secrets: &[(String, String)]) -> Vec<String> {
    let needles: Vec<_> = secrets
        .iter()
        .flat_map(|(kind, secret)| spellings(secret).map(move |(how, text)| (kind, how, text)))
        .collect();
    // By their first eight bytes, and before that by a hash of those, which rules out nearly all places of a log.
    let mut begins = HashMap::<[u8; START], Vec<usize>>::new();
    let mut likely = vec![false; 1 << 24];
    for (number, (.., needle)) in needles.iter().enumerate() {
        let start = *needle.as_bytes().first_chunk().unwrap();
        begins.entry(start).or_default().push(number);
        likely[slot(start)] = true;
    }
    let mut found = Vec::new();
    let mut end = 0;
    for (place, start) in log.windows(START).enumerate() {
        let start = start.try_into().unwrap();
        if place < end || !likely[slot(start)] {
            continue;
        }
        let Some(numbers) = begins.get(&start) else {
            continue;
        };
        let stands = |number: &&usize| log[place..].starts_with(needles[**number].2.as_bytes());
        if let Some(number) = numbers.iter().find(stands) {
            let (kind, how, needle) = &needles[*number];
            end = place + needle.len();
            let from = log[..place].iter().rposition(|byte| *byte == b'\n');
            let to = log[place..].iter().position(|byte| *byte == b'\n');
            let line = &log
                [from.map_or(0, |from| from + 1)..to.map_or(log.len(), |length| place + length)];
            let line = String::from_utf8_lossy(line);
            found.push(format!("{kind}, {how}, {needle}: {line}"));
        }
    }
    found
}

const START: usize = 8;

fn slot(start: [u8; START]) -> usize {
    let mixed = u64::from_le_bytes(start).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(mixed >> 40).unwrap()
}

/// How a log could spell a secret.
fn spellings(secret: &str) -> impl Iterator<Item = (&'static str, String)> {
    let bytes = secret.as_bytes();
    let mut all = vec![("raw", secret.to_owned())];
    // Cut short, it is a leak still.
    if secret.len() >= 32 && secret.is_ascii() {
        let (head, tail) = secret.split_at(16);
        all.push(("its first part", head.to_owned()));
        all.push(("its last part", tail[tail.len() - 16..].to_owned()));
    }
    let percent = |encode: fn(u8) -> String| {
        let each = |byte: &u8| match byte.is_ascii_alphanumeric() {
            true => char::from(*byte).to_string(),
            false => encode(*byte),
        };
        bytes.iter().map(each).collect::<String>()
    };
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    all.push(("percent-encoded", form));
    all.push(("percent-encoded", percent(|byte| format!("%{byte:02X}"))));
    all.push(("percent-encoded", percent(|byte| format!("%{byte:02x}"))));
    all.extend(encodings(bytes));
    all.push(("bytes", list(bytes)));

    let sha: [u8; 32] = Sha256::digest(bytes).into();
    let refresh = secret.strip_prefix("tor_");
    let refresh = refresh.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let refresh = refresh.filter(|bytes| bytes.len() == 68);
    let kept = refresh.iter().flat_map(|bytes| {
        [
            *Digest::of("grant", &bytes[..32]).as_bytes(),
            *Digest::of("refresh_token", bytes).as_bytes(),
        ]
    });
    // That of an access token is of its bytes, and stands behind its place.
    let opaque = secret.strip_prefix("toa_");
    let opaque = opaque.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let placed = opaque.filter(|bytes| bytes.len() == 38).map(|bytes| {
        let mut digest = *Digest::of("access_token", &bytes).as_bytes();
        digest[..6].copy_from_slice(&bytes[..6]);
        digest
    });
    let kept = kept.chain(placed);
    let named = KINDS.map(|kind| *Digest::of(kind, bytes).as_bytes());
    for digest in named.into_iter().chain([sha]).chain(kept) {
        all.extend(encodings(&digest).map(|(_, text)| ("digest", text)));
        all.push(("digest", list(&digest)));
    }
    all.into_iter()
}

/// Hexadecimal and base64, of both alphabets, wherever in a longer text the bytes stand.
fn encodings(bytes: &[u8]) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let mut all = vec![
        ("hexadecimal", hex(bytes)),
        ("hexadecimal", hex(bytes).to_uppercase()),
    ];
    for before in 0..3 {
        let padded = [&[0; 2][..before], bytes].concat();
        // Only what no neighbour has a part in: whole letters behind what stands before, and before what comes after.
        let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            all.push(("base64", engine.encode(&padded)[first..last].to_owned()));
        }
    }
    all.into_iter()
}

/// As `Debug` writes bytes, without the brackets.
fn list(bytes: &[u8]) -> String {
    let text = format!("{bytes:?}");
    text[1..text.len() - 1].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
