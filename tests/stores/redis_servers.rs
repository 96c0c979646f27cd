//! Clusters of servers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::redis_server::{Server, await_answer, wait_until};

/// Three servers that are a cluster, each with a third of the slots.
pub(crate) struct Cluster {
    nodes: Vec<(u16, Server)>,
    _ports: Vec<Option<TcpSocket>>,
    _folder: TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let (mut nodes, mut ports) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let own = folder.path().join(format!("{number}"));
            std::fs::create_dir(&own).expect("there is room for a folder");
            let [(port, held), (bus, also_held)] = [free_port(), free_port()];
            ports.extend([held, also_held]);
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
        let all: Vec<_> = nodes.iter().map(|(port, ..)| *port).collect();
        wait_until("the cluster has formed", move || {
            all.iter().all(|port| knows_all(*port))
        });
        Self {
            nodes: nodes
                .into_iter()
                .map(|(port, server, _)| (port, server))
                .collect(),
            _ports: ports,
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

/// A port, and what keeps it from others. On Linux who names it may have it besides; elsewhere nothing keeps it.
fn free_port() -> (u16, Option<TcpSocket>) {
    let held = TcpSocket::new_v4().expect("there are sockets");
    held.set_reuseaddr(true).expect("it is not bound yet");
    let any = ([127, 0, 0, 1], 0).into();
    held.bind(any).expect("there is a free port");
    let port = held.local_addr().expect("it is bound").port();
    (port, cfg!(target_os = "linux").then_some(held))
}
