//! For `leaks.rs`: in a run that it has started, all that the tests log, and every secret that passes through the [`Harness`], go into
//! two files of the folder that `TEST_LOG` names. In any other run nothing is noted.
//!
//! [`Harness`]: super::support::Harness

use std::collections::HashSet;
use std::fs::File;
use std::io::{LineWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, Uri};
use serde_json::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::prelude::*;

use super::support::Answer;

/// What stands in a form, a query, a JSON answer or a hidden field under these names is a secret.
const SECRET: [&str; 13] = [
    "access_token",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "csrf",
    "device_code",
    "initial_access_token",
    "interaction",
    "refresh_token",
    "state",
    "token",
    "user_code",
];

/// Shorter texts stand in any log: tests send `x` where they could as well send nothing.
const SHORTEST: usize = 8;

pub(crate) const LOG: &str = "log";
pub(crate) const SECRETS: &str = "secrets";

struct Watch {
    secrets: Mutex<(HashSet<String>, LineWriter<File>)>,
}

/// Begins to log, if this is such a run. The log is that of the crate and of its store drivers: what other crates of a host log of a
/// request (`hyper` its bytes, `tower-http` what it was told to) is not the crate's to hold back.
pub(crate) fn start() {
    watch();
}

fn watch() -> Option<&'static Watch> {
    static WATCH: OnceLock<Option<Watch>> = OnceLock::new();
    let begin = || {
        let folder = std::env::var_os("TEST_LOG")?;
        let folder = Path::new(&folder);
        let log = Mutex::new(File::create(folder.join(LOG)).unwrap());
        let ours = Targets::new()
            .with_target("tower_oauth", LevelFilter::TRACE)
            .with_target("sqlx", LevelFilter::TRACE);
        let to_file = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_writer(log);
        tracing_subscriber::registry()
            .with(to_file.with_filter(ours))
            .init();
        tracing::trace!(target: "tower_oauth", "the log begins"); // the finest level there is, and so are all others
        let secrets = LineWriter::new(File::create(folder.join(SECRETS)).unwrap());
        let secrets = Mutex::new((HashSet::new(), secrets));
        Some(Watch { secrets })
    };
    WATCH.get_or_init(begin).as_ref()
}

/// Notes a secret of a kind; one that never came through the harness, such as an initial access token.
pub(crate) fn secret(kind: &str, text: &str) {
    let Some(watch) = watch() else { return };
    // What is one letter again and again is in every log.
    let first = text.chars().next();
    if text.len() < SHORTEST || text.chars().all(|letter| Some(letter) == first) {
        return;
    }
    let mut secrets = watch.secrets.lock().unwrap();
    let (known, file) = &mut *secrets;
    if known.insert(text.to_owned()) {
        writeln!(file, "{}", serde_json::json!([kind, text])).unwrap();
    }
}

/// Notes the secrets of a request.
pub(crate) fn request(uri: &Uri, headers: &HeaderMap, body: &[u8]) {
    if watch().is_none() {
        return;
    }
    pairs(uri.query().unwrap_or_default().as_bytes());
    pairs(body);
    for field in headers.get_all("authorization") {
        let Ok(field) = field.to_str() else { continue };
        let Some((scheme, credentials)) = field.split_once(' ') else {
            continue;
        };
        secret("authorization", credentials.trim());
        let decoded = STANDARD_NO_PAD.decode(credentials.trim().trim_end_matches('='));
        let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let basic = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let Some((_, password)) = basic.as_deref().and_then(|basic| basic.split_once(':')) else {
            continue;
        };
        secret("client_secret", password);
        let form = format!("client_secret={password}");
        pairs(form.as_bytes());
    }
}

/// Notes the secrets of an answer: members of JSON, parameters of the address, hidden fields.
pub(crate) fn answer(answer: &Answer) {
    if watch().is_none() {
        return;
    }
    let location = answer.headers.get("location");
    if let Some((_, query)) = location.and_then(|to| to.to_str().ok()?.split_once('?')) {
        pairs(query.as_bytes());
    }
    if let Ok(Value::Object(members)) = serde_json::from_slice(&answer.body) {
        for name in SECRET {
            if let Some(Value::String(text)) = members.get(name) {
                secret(name, text);
            }
        }
        if let Some(Value::String(code)) = members.get("user_code") {
            secret("user_code", &code.replace('-', "")); // as it is kept
        }
    }
    let text = String::from_utf8_lossy(&answer.body);
    for name in ["interaction", "csrf"] {
        let field = format!("name=\"{name}\" value=\"");
        for rest in text.split(&field).skip(1) {
            secret(name, rest.split('"').next().unwrap_or_default());
        }
    }
}

fn pairs(form: &[u8]) {
    for (name, value) in url::form_urlencoded::parse(form) {
        if let Some(name) = SECRET.iter().find(|secret| **secret == name) {
            secret(name, &value);
        }
    }
}
