//! An issuer behind TLS, with a certificate of the house.
//!
//! `keys/tls_ca.pem` has signed `keys/tls.pem` for `localhost` and 127.0.0.1; both are good from 2020 on for a hundred years.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::introspection_issuer::{active_with, answer};
use crate::tls_server;

pub(crate) struct Tls {
    address: SocketAddr,
    read: Arc<AtomicUsize>,
}

impl Tls {
    pub(crate) async fn start() -> Self {
        let acceptor = tls_server::acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust it hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut bytes = [0; 16 * 1024];
                let length = stream.read(&mut bytes).await.unwrap_or(0);
                count.fetch_add(length, Ordering::SeqCst);
                let good = active_with(&json!({}));
                let text = answer(200, &["content-type: application/json"], &good);
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, read }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("https://localhost:{}/introspect", self.address.port())
    }

    /// How many bytes of requests it was sent.
    pub(crate) fn read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }
}
