//! An example as a process of its own, for tests that outside clients take part in.
//!
//! Included by `#[path = "support/example.rs"] mod example;`. `cargo test` builds the examples together with the tests.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running program. Dropping it kills it, as a crash would; a test that failed is told what it had printed.
#[derive(Debug)]
pub(crate) struct Example {
    child: Child,
    base: String,
    printed: Arc<Mutex<String>>,
}

impl Example {
    /// Starts it with these arguments, which should let it listen on port 0, and waits until it serves.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        Self::run(Command::new(program(name)).args(arguments), ADVICE)
    }

    /// Starts any program that says where it listens as the examples do. `advice` is for whoever has not got it.
    pub(crate) fn run(command: &mut Command, advice: &str) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}; {advice}"));
        let mut example = Self {
            child,
            base: String::new(),
            printed: Arc::default(),
        };
        let (tell, told) = mpsc::channel();
        // Both are read to their ends, so that a full pipe never holds the program up.
        let stdout = example.child.stdout.take().expect("it was asked for");
        let stderr = example.child.stderr.take().expect("it was asked for");
        let (printed, also_printed) = (Arc::clone(&example.printed), Arc::clone(&example.printed));
        thread::spawn(move || keep(stdout, &printed, Some(&tell)));
        thread::spawn(move || keep(stderr, &also_printed, None));
        example.base = told
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("{command:?} did not say `{MARK}ADDR`: {e}"));
        example
    }

    /// Where it serves: `http://127.0.0.1:51004`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and its end is waited for all the same.
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
            eprint_all(&format!("the program ({status:?}) had printed:\n{printed}"));
        }
    }
}

const MARK: &str = "listening on http://";
/// `cargo test --test NAME` builds no examples.
const ADVICE: &str = "`cargo build --examples --all-features` makes it";

/// Keeps what the program prints, and tells the address once it is printed.
fn keep(stream: impl Read, printed: &Mutex<String>, tell: Option<&mpsc::Sender<String>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some((address, tell)) = line.trim().strip_prefix(MARK).zip(tell) {
            // Nobody listens any more if the test has failed meanwhile.
            let _ = tell.send(format!("http://{address}"));
        }
        let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.push_str(&line);
        printed.push('\n');
    }
}

#[expect(clippy::print_stderr, reason = "captured with the output of the test")]
fn eprint_all(text: &str) {
    eprintln!("{text}");
}

/// `target/debug/deps/demo-…` is this test; `target/debug/examples/demo` was built with it.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps");
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(program);
    assert!(program.exists(), "there is no {program:?}: {ADVICE}");
    program
}
