//! Redis servers that a test may stop, pause and kill.
//!
//! Included by `#[path = "../support/redis_own.rs"] mod redis_own;`, beside `redis_server`.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::redis_server::{Server, await_answer};

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
