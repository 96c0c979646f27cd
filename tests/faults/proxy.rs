//! A network between a node and its database that goes away without a word.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, watch};

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Forwards,
    /// Nothing arrives, and nobody is told. Connections that were open then are never of use again.
    Silent,
    /// Each connection has one more answer, and is silent from then on.
    OneAnswerMore,
    /// So many scripts of Redis go through; the next does not arrive, and its connection is silent from then on.
    HoldsScript(usize),
}

/// Takes connections for a database until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    network: watch::Sender<Network>,
    scripts: Arc<Scripts>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Scripts {
    /// How many have come since the network has become what it is.
    come: AtomicUsize,
    held: Notify,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, sees) = watch::channel(Network::Forwards);
        let scripts = Arc::<Scripts>::default();
        let counted = Arc::clone(&scripts);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *sees.borrow() == Network::Silent {
                    // The database hears nothing of who connects now, and has no place taken by them.
                    tokio::spawn(async move {
                        pending::<()>().await;
                        drop(client)
                    });
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket).await else {
                    continue; // the server is down, and the client is told so
                };
                let wire = Wire {
                    network: sees.clone(),
                    is_dead: AtomicBool::new(false), // until `dies` sees what has become of the network
                    scripts: Arc::clone(&counted),
                };
                tokio::spawn(wire.between(client, server));
            }
        });
        Self {
            port,
            network,
            scripts,
            accepting,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn becomes(&self, network: Network) {
        self.scripts.come.store(0, Ordering::SeqCst);
        self.network.send_replace(network);
    }

    /// As soon as a script is held.
    pub(crate) async fn holds(&self) {
        self.scripts.held.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection.
struct Wire {
    network: watch::Receiver<Network>,
    /// Nothing arrives any more; it is kept open.
    is_dead: AtomicBool,
    scripts: Arc<Scripts>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sent {
    Question,
    Answer,
}

impl Wire {
    async fn between(self, client: TcpStream, server: UnixStream) {
        let (asks, hears) = client.into_split();
        let (answers, asked) = server.into_split();
        tokio::select! {
            () = self.pump(asks, asked, Sent::Question) => {}
            () = self.pump(answers, hears, Sent::Answer) => {}
            () = self.dies() => {}
        }
    }

    /// Once the network is silent this connection is, for good.
    async fn dies(&self) {
        let mut network = self.network.clone();
        let silent = network.wait_for(|network| *network == Network::Silent);
        // An error says that the proxy is gone.
        if silent.await.is_ok() {
            self.is_dead.store(true, Ordering::SeqCst);
            pending::<()>().await;
        }
    }

    /// Forwards until one of them ends the connection.
    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        what: Sent,
    ) {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = from.read(&mut buffer).await.unwrap_or(0);
            let sent = buffer.get(..length).unwrap_or_default();
            if what == Sent::Question && self.is_held(sent) {
                self.is_dead.store(true, Ordering::SeqCst);
                self.scripts.held.notify_one();
            }
            if self.is_dead.load(Ordering::SeqCst) {
                pending::<()>().await;
            }
            let is_last = what == Sent::Answer && *self.network.borrow() == Network::OneAnswerMore;
            // First, so that whoever has the answer finds the connection as it is.
            self.is_dead.fetch_or(is_last, Ordering::SeqCst);
            if length == 0 || to.write_all(sent).await.is_err() {
                return;
            }
        }
    }

    /// Whether the script that is to be held is among these questions.
    fn is_held(&self, sent: &[u8]) -> bool {
        let Network::HoldsScript(number) = *self.network.borrow() else {
            return false;
        };
        let scripts = sent.windows(7).filter(|word| word == b"EVALSHA").count();
        let before = self.scripts.come.fetch_add(scripts, Ordering::SeqCst);
        (before..before + scripts).contains(&number)
    }
}
