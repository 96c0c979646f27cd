//! An app that the host vouches for: on the network, behind TLS. What a person has allowed it may be remembered.
//!
//! The certificate is one of the house, for `localhost`; the browser of the tests takes it.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use crate::tls_server;

/// Serves until the test ends, and gives the port.
pub(crate) async fn serve(pages: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls_server::acceptor();
    let (ready, streams) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, from)) = listener.accept().await {
            let (acceptor, ready) = (acceptor.clone(), ready.clone());
            // Browsers open connections that they may never use: each is waited for by itself.
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = ready.send((stream, from)).await;
                }
            });
        }
    });
    let accepted = Accepted { address, streams };
    tokio::spawn(async { axum::serve(accepted, pages).await });
    address.port()
}

struct Accepted {
    address: SocketAddr,
    streams: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Listener for Accepted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
