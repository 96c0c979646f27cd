//! Servers that a test may stop, and clusters of them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::redis_server::{Server, await_answer, wait_until};

/// A server with a folder of its own, which outlives it.
pub(crate) struct Own {
    folder: TempDir,
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
        let path = |name: &str| {
            folder
                .path()
                .join(name)
                .to_str()
                .expect("its name is text")
                .to_owned()
        };
        let fixed = [
            ["--port", "0"],
            ["--unixsocket", &path("redis.sock")],
            ["--dir", &path("")],
        ];
        let arguments = fixed.as_flattened().iter().chain(arguments);
        let arguments = arguments.map(|&argument| argument.to_owned()).collect();
        Self {
            folder,
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
        self.server = Some(Server::start("", &arguments));
        let socket = self.socket();
        await_answer(move || UnixStream::connect(&socket));
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&mut self, name: &str) {
        let server = self.server.as_mut().expect("it runs");
        let shell = server.guard.stdin.as_mut().expect("it is piped");
        writeln!(shell, "{name}").expect("the shell lives as long as the server");
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
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
            await_answer(move || TcpStream::connect(("127.0.0.1", port)));
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
        let ports: Vec<_> = nodes.iter().map(|(port, ..)| *port).collect();
        wait_until("the cluster has formed", move || {
            ports.iter().all(|port| knows_all(*port))
        });
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
