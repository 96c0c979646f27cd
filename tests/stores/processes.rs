//! Other processes: one opener, and nothing answered that the killing of the process loses.
//!
//! Each test starts this binary again with itself alone. What it finds in the environment then tells it to be the other process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tower_oauth::store::{Insert, SqliteOpenError, SqliteStore, Store as _};

use crate::support::{file, key, now, record};

/// Set for the other process: the file.
const FILE: &str = "TOWER_OAUTH_TEST_FILE";

/// The file, in a process that [`other`] has started.
fn as_other() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

/// How long it may take until the other process has said something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts this binary again with one test of this file. What it says comes line by line, until it has ended.
fn other(test: &str, path: &Path) -> (Child, mpsc::Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().expect("a test has a binary"))
        .args(["--exact", &format!("processes::{test}"), "--nocapture"])
        .env(FILE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts again");
    let stdout = child.stdout.take().expect("it is piped");
    let (tell, says) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines();
        lines
            .map(|line| line.expect("it writes text"))
            .try_for_each(|line| tell.send(line))
    });
    (child, says)
}

/// The next line of the other process that begins so.
fn line(says: &mpsc::Receiver<String>, begin: &str) -> String {
    std::iter::repeat_with(|| says.recv_timeout(PATIENCE))
        .map(|line| line.unwrap_or_else(|e| panic!("it has not said {begin:?}: {e}")))
        // The test runner may have begun the line.
        .find_map(|line| {
            let at = line.find(begin)?;
            line.get(at..).map(str::to_owned)
        })
        .expect("there is always another")
}

#[tokio::test]
async fn another_process_is_refused_until_the_first_is_killed() {
    if let Some(path) = as_other() {
        return match SqliteStore::open(path).await {
            Ok(_store) => {
                println!("other: open");
                std::io::stdin().read_line(&mut String::new()).unwrap(); // until it is killed
            }
            Err(error) => println!("other: {error}"),
        };
    }
    let test = "another_process_is_refused_until_the_first_is_killed";
    let (_folder, path) = file();
    let (mut holder, says) = other(test, &path);
    assert_eq!(line(&says, "other: "), "other: open");
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::AlreadyOpen { .. }));
    holder.kill().unwrap();
    holder.wait().unwrap();

    let _store = SqliteStore::open(&path).await.unwrap();
    let (mut second, says) = other(test, &path);
    assert!(line(&says, "other: ").contains("is open already, here or in another process"));
    assert!(second.wait().unwrap().success());
}

#[tokio::test]
async fn what_was_answered_survives_the_killing_of_the_process() {
    if let Some(path) = as_other() {
        let store = SqliteStore::open(path).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let store = store.clone();
            tasks.spawn(async move {
                for number in 0.. {
                    let number = task * 1_000_000 + number;
                    let put = store.insert(key(number), record("1"), now()).await.unwrap();
                    assert!(matches!(put, Insert::Inserted(_)));
                    println!("other: answered {number}");
                }
            });
        }
        return drop(tasks.join_all().await); // never: it is killed
    }
    let (_folder, path) = file();
    let (mut writer, says) = other(
        "what_was_answered_survives_the_killing_of_the_process",
        &path,
    );
    let mut answered = Vec::new();
    while answered.len() < 300 {
        answered.push(line(&says, "other: answered "));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    answered.extend(
        says.iter()
            .filter(|line| line.starts_with("other: answered ")),
    );
    let store = SqliteStore::open(&path).await.unwrap();
    for answer in answered {
        let number = answer.trim_start_matches("other: answered ");
        let found = store.get(key(number.parse().unwrap())).await.unwrap();
        assert!(found.is_some(), "{answer}, but it is gone");
    }
}
