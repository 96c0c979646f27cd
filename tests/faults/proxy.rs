//! A network between a node and its database that goes away without a word.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Forwards,
    /// Nothing arrives, and nobody is told. Connections that were open then are never of use again.
    Silent,
    /// Each connection has one more answer, and is silent from then on.
    OneAnswerMore,
}

/// Takes connections for a database until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    network: watch::Sender<Network>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, sees) = watch::channel(Network::Forwards);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&socket).await else {
                    continue; // the server is down, and the client is told so
                };
                tokio::spawn(between(client, server, sees.clone()));
            }
        });
        Self {
            port,
            network,
            accepting,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn becomes(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn between(client: TcpStream, server: UnixStream, network: watch::Receiver<Network>) {
    let (asks, hears) = client.into_split();
    let (answers, asked) = server.into_split();
    let is_dead = Arc::new(AtomicBool::new(*network.borrow() == Network::Silent));
    let mut sees = network.clone();
    tokio::select! {
        () = pump(asks, asked, &network, (&is_dead, false)) => {}
        () = pump(answers, hears, &network, (&is_dead, true)) => {}
        () = dies(&mut sees, &is_dead) => {}
    }
}

/// Once the network is silent this connection is, for good. It is kept open.
async fn dies(network: &mut watch::Receiver<Network>, is_dead: &AtomicBool) {
    // An error says that the proxy is gone.
    if network
        .wait_for(|network| *network == Network::Silent)
        .await
        .is_ok()
    {
        is_dead.store(true, Ordering::SeqCst);
        pending::<()>().await;
    }
}

/// Forwards until one of them ends the connection.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    network: &watch::Receiver<Network>,
    (is_dead, is_answer): (&AtomicBool, bool),
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        if is_dead.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        let sent = buffer.get(..length).unwrap_or_default();
        if length == 0 || to.write_all(sent).await.is_err() {
            return;
        }
        if is_answer && *network.borrow() == Network::OneAnswerMore {
            is_dead.store(true, Ordering::SeqCst);
        }
    }
}
