//! An upstream behind TLS is asked by its name alone, and only if its certificate is trusted (V35).
//!
//! `tests/it/keys/tls_ca.pem` has signed `tls.pem` for `localhost`.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::example::{Example, program};
use crate::support::{AUDIENCE, exchange, status};
use crate::tls_server;

/// A service behind TLS, its port, and how many requests it has read.
async fn service() -> (u16, Arc<AtomicUsize>) {
    let acceptor = tls_server::acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust it hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let answer =
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, requests)
}

/// What a gateway says that trusts those whom the machine trusts, which this file names.
async fn status_by(upstream: &str, trusted: &str) -> u16 {
    let mut command = Command::new(program("gateway"));
    command
        .args(["--listen", "127.0.0.1:0", "--upstream", upstream])
        .args(["--audience", AUDIENCE, "--jwt", "https://nobody.invalid"])
        .args(["--public", "/pub"])
        .env("SSL_CERT_FILE", trusted);
    let gateway = Example::run(&mut command, "an example");
    let answer = exchange(
        gateway.base(),
        b"GET /pub HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    status(&answer)
}

#[tokio::test]
async fn v35_an_upstream_behind_tls_is_asked_if_its_certificate_is_trusted_and_for_its_name() {
    let (port, requests) = service().await;
    let by_name = format!("https://localhost:{port}");
    let by_another = format!("https://[::ffff:127.0.0.1]:{port}");
    let (house, other) = ("tests/it/keys/tls_ca.pem", "tests/it/keys/tls.pem");
    assert_eq!(status_by(&by_name, house).await, 204);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(status_by(&by_name, other).await, 502);
    assert_eq!(status_by(&by_another, house).await, 502);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
