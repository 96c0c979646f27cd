//! Redis servers of a test's own, on Unix sockets in temporary folders; they end with the process however that ends.
//!
//! Included by `#[path = "../support/redis.rs"] mod redis;`. A server is the child of a small shell that waits for the end of its input: when
//! this process ends, killed or not, its end of the pipe is closed, and the shell kills the server.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do where there is no server.
pub(crate) const ADVICE: &str = "tests of the Redis store need a Redis or Valkey server, 7 or newer: `apt-get install redis-server` (or valkey-server), or \
    TEST_REDIS_URL names one that may be filled with rubbish. TOWER_OAUTH_SKIP_SERVICES=1 skips them";

/// The shell that ends a server with the process that has started it; until then it sends the signals that it is told.
const GUARD: &str = r#"folder=$1; shift
"$@" >/dev/null 2>&1 & server=$!
while read signal; do kill "-$signal" "$server"; done
kill -KILL "$server" 2>/dev/null
wait "$server"
[ -z "$folder" ] || rm -rf "$folder""#;

/// A running server. Dropping it kills it, as a crash would; its data stay where they are.
pub(crate) struct Server {
    pub(crate) guard: Child,
}

impl Server {
    /// Starts a server with these arguments. If a folder is named, it goes with the server.
    pub(crate) fn start(folder: &str, arguments: &[&str]) -> Self {
        let program = program().unwrap_or_else(|| panic!("{ADVICE}"));
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh", folder, program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        Self { guard }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Its end is waited for, so that its data are at rest.
        let _ = self.guard.wait();
    }
}

/// `None` where it is to be skipped, which is said loudly.
pub(crate) fn available() -> Option<()> {
    if program().is_some() || std::env::var_os("TEST_REDIS_URL").is_some() {
        return Some(());
    }
    assert!(
        std::env::var("TOWER_OAUTH_SKIP_SERVICES").as_deref() == Ok("1"),
        "{}",
        ADVICE
    );
    // Past the capture of the test runner.
    let line = b"SKIPPED, since TOWER_OAUTH_SKIP_SERVICES=1: there is no Redis, so nothing of its store is tested\n";
    let _ = std::io::stderr().write_all(line);
    None
}

pub(crate) fn program() -> Option<&'static str> {
    static PROGRAM: OnceLock<Option<&str>> = OnceLock::new();
    *PROGRAM.get_or_init(|| {
        let mut named = ["redis-server", "valkey-server"].into_iter();
        let runs = |name: &&str| {
            let mut command = Command::new(name);
            command.arg("--version").stdout(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        named.find(runs)
    })
}

/// A server that forgets when it ends, one for each process of tests, or the one that `TEST_REDIS_URL` names. Its URL.
pub(crate) fn shared() -> &'static str {
    static SHARED: OnceLock<(String, Option<Server>)> = OnceLock::new();
    let (url, _) = SHARED.get_or_init(|| match std::env::var("TEST_REDIS_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            // Nothing static is dropped: it goes with the server.
            let folder = tempfile::tempdir()
                .expect("there is room for a folder")
                .keep();
            let socket = folder.join("redis.sock");
            let [folder, path] =
                [&folder, &socket].map(|path| path.to_str().expect("its name is text"));
            let arguments = [
                "--port",
                "0",
                "--unixsocket",
                path,
                "--dir",
                folder,
                "--save",
                "",
            ];
            let server = Server::start(folder, &arguments);
            let url = format!("unix://{path}");
            await_answer(move || UnixStream::connect(&socket));
            (url, Some(server))
        }
    });
    url
}

/// A prefix that no other test has, of this process or another.
pub(crate) fn prefix() -> String {
    static PREFIXES: AtomicU32 = AtomicU32::new(0);
    static PROCESS: OnceLock<u64> = OnceLock::new();
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(0));
    let number = PREFIXES.fetch_add(1, Ordering::SeqCst);
    format!("test-{process:x}-{number}")
}

/// Waits until a server takes connections and has loaded its data.
pub(crate) fn await_answer<S>(connect: impl Fn() -> std::io::Result<S> + Send + 'static)
where
    S: std::io::Read + std::io::Write,
{
    wait_until("the server answers", move || {
        let asked = connect().and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        });
        asked.is_ok_and(|answer| answer == *b"+PONG")
    });
}

/// Waits until something is so, with patience.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool + Send + 'static) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        while !is_so() {
            thread::yield_now();
        }
        tell.send(())
    });
    let waited = told.recv_timeout(PATIENCE);
    waited.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
