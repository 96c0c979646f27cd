//! Redis servers of a test's own, on Unix sockets in temporary folders; they end with the process however that ends.
//!
//! Included by `#[path = "../support/redis.rs"] mod redis;`. A server is the child of a small shell that waits for the end of its input: when
//! this process ends, killed or not, its end of the pipe is closed, and the shell kills the server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do where there is no server.
const ADVICE: &str = "tests of the Redis store need a Redis or Valkey server, 7 or newer: `apt-get install redis-server` (or valkey-server), or \
    TEST_REDIS_URL names one that may be filled with rubbish. TOWER_OAUTH_SKIP_SERVICES=1 skips them";

/// The shell that ends a server with the process that has started it.
const GUARD: &str = r#"folder=$1; shift
"$@" >/dev/null 2>&1 & server=$!
echo "$server"
exec >/dev/null
cat >/dev/null
kill -KILL "$server" 2>/dev/null
wait "$server"
[ -z "$folder" ] || rm -rf "$folder""#;

/// A running server. Dropping it kills it, as a crash would; its data stay where they are.
pub(crate) struct Server {
    guard: Child,
    /// Its process.
    pub(crate) id: u32,
}

impl Server {
    /// Starts a server with these arguments. If a folder is named, it goes with the server.
    pub(crate) fn start(folder: &str, arguments: &[&str]) -> Self {
        let program = program().unwrap_or_else(|| panic!("{ADVICE}"));
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh", folder, program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let mut said = String::new();
        let mut stdout = guard.stdout.take().expect("it was asked for");
        let mut byte = [0];
        while stdout.read(&mut byte).expect("it can be read") == 1 && byte != *b"\n" {
            said.push(byte[0].into());
        }
        let id = said.parse().expect("the shell says which process it is");
        Self { guard, id }
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.id.to_string()])
            .status();
        assert!(sent.expect("there is a kill").success());
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
        "{ADVICE}"
    );
    // Past the capture of the test runner.
    let line = b"SKIPPED, since TOWER_OAUTH_SKIP_SERVICES=1: there is no Redis, so nothing of its store is tested\n";
    let _ = std::io::stderr().write_all(line);
    None
}

fn program() -> Option<&'static str> {
    static PROGRAM: OnceLock<Option<&str>> = OnceLock::new();
    *PROGRAM.get_or_init(|| {
        let named = ["redis-server", "valkey-server"].into_iter();
        let runs = |name: &&str| {
            let mut command = Command::new(name);
            command.arg("--version").stdout(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        named.filter(runs).next()
    })
}

/// A server that forgets when it ends, one for each process of tests, or the one that `TEST_REDIS_URL` names. Its URL.
pub(crate) fn shared() -> &'static str {
    static SHARED: OnceLock<(String, Option<Own>)> = OnceLock::new();
    let (url, _) = SHARED.get_or_init(|| match std::env::var("TEST_REDIS_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let mut own = Own::new(&["--save", "", "--appendonly", "no"]);
            own.folder.disable_cleanup(true); // nothing static is dropped: the shell sees to it
            own.goes_with_server = true;
            own.start_again();
            (own.url(), Some(own))
        }
    });
    url
}

/// A prefix that no other test has, of this process or another.
pub(crate) fn prefix() -> String {
    static PREFIXES: AtomicU32 = AtomicU32::new(0);
    let number = PREFIXES.fetch_add(1, Ordering::SeqCst);
    format!("test-{}-{number}", std::process::id())
}

/// A server with a folder of its own, which outlives it.
pub(crate) struct Own {
    folder: TempDir,
    goes_with_server: bool,
    arguments: Vec<String>,
    server: Option<Server>,
}

impl Own {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut own = Self::new(arguments);
        own.start_again();
        own
    }

    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let fixed = [
            ["--port", "0"],
            ["--unixsocket", &path("redis.sock")],
            ["--dir", &path("")],
        ];
        let arguments = fixed.as_flattened().iter().chain(arguments);
        let arguments = arguments.map(|&argument| argument.to_owned()).collect();
        Self {
            folder,
            goes_with_server: false,
            arguments,
            server: None,
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it on the same data.
    pub(crate) fn start_again(&mut self) {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        let folder = match self.goes_with_server {
            true => self.folder.path().to_str().expect("its name is text"),
            false => "",
        };
        self.server = Some(Server::start(folder, &arguments));
        let socket = self.folder.path().join("redis.sock");
        await_answer(|| std::os::unix::net::UnixStream::connect(&socket));
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}/redis.sock", self.folder.path().display())
    }
}

/// Waits until a server takes connections and has loaded its data.
pub(crate) fn await_answer<S>(connect: impl Fn() -> std::io::Result<S>)
where
    S: std::io::Read + std::io::Write,
{
    let begun = Instant::now();
    loop {
        let asked = connect().and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        });
        if asked.is_ok_and(|answer| answer == *b"+PONG") {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the server does not answer; is another Redis in the way?"
        );
        std::thread::yield_now();
    }
}

/// Three servers that are a cluster, each with a third of the slots.
pub(crate) struct Cluster {
    nodes: Vec<(u16, Server)>,
    _folder: TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut nodes = Vec::new();
        for number in 0..3 {
            let own = folder.path().join(format!("{number}"));
            std::fs::create_dir(&own).expect("there is room for a folder");
            let (port, bus) = two_free_ports();
            let fixed = [
                ["--port", &port.to_string()],
                ["--cluster-port", &bus.to_string()],
                ["--bind", "127.0.0.1"],
                ["--cluster-announce-ip", "127.0.0.1"],
                ["--cluster-enabled", "yes"],
                ["--cluster-node-timeout", "2000"],
                ["--save", ""],
                ["--dir", own.to_str().expect("its name is text")],
            ];
            let server = Server::start("", fixed.as_flattened());
            await_answer(|| TcpStream::connect(("127.0.0.1", port)));
            nodes.push((port, server, bus));
        }
        let slots = [(0, 5460), (5461, 10922), (10923, 16383)];
        for ((port, ..), (first, last)) in nodes.iter().zip(slots) {
            let said = say(*port, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            assert_eq!(said, "+OK");
            for (other, _, bus) in &nodes {
                let meet = format!("CLUSTER MEET 127.0.0.1 {other} {bus}");
                assert_eq!(say(*port, &meet), "+OK");
            }
        }
        let begun = Instant::now();
        while !nodes.iter().all(|(port, ..)| knows_all(*port)) {
            assert!(begun.elapsed() < PATIENCE, "the cluster does not form");
            std::thread::yield_now();
        }
        Self {
            nodes: nodes
                .into_iter()
                .map(|(port, server, _)| (port, server))
                .collect(),
            _folder: folder,
        }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        let ports = self.nodes.iter().map(|(port, _)| port);
        ports
            .map(|port| format!("redis://127.0.0.1:{port}"))
            .collect()
    }
}

/// Whether a node knows of all slots and nodes.
fn knows_all(port: u16) -> bool {
    let info = say(port, "CLUSTER INFO");
    [
        "cluster_state:ok",
        "cluster_known_nodes:3",
        "cluster_size:3",
    ]
    .iter()
    .all(|line| info.contains(line))
}

/// The first line of an answer, or the whole of a longer one.
pub(crate) fn say(port: u16, line: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server is there");
    let both = format!("{line}\r\nQUIT\r\n");
    stream.write_all(both.as_bytes()).expect("it listens");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers text");
    // The last line answers the QUIT.
    let said = said.strip_suffix("+OK\r\n").expect("it says goodbye");
    said.trim_end().to_owned()
}

fn two_free_ports() -> (u16, u16) {
    let bind = || std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    let port =
        |listener: &std::net::TcpListener| listener.local_addr().expect("it is bound").port();
    let (one, other) = (bind(), bind());
    (port(&one), port(&other))
}
