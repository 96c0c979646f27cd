//! Bodies stream both ways, and nobody waits forever for an upstream that is down, broken or silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use crate::example::Example;
use crate::support::{World, connect, exchange, gateway, status};

/// Nobody is asked about tokens here.
const NO_ISSUER: &str = "http://127.0.0.1:1";

/// How long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(30);

const CHUNK: usize = 1 << 16;

/// A service that sends each piece of a request back as soon as it has it, with a gateway in front.
async fn echo() -> Example {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(async |request: Request| Body::new(request.into_body()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    gateway(&base, NO_ISSUER, &[])
}

/// A service that says these bytes on each connection, once it has been sent something, and then keeps the connection open without reading
/// any further.
async fn service(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut piece = [0; 1024];
            let _ = stream.read(&mut piece).await;
            stream.write_all(says.as_bytes()).await.unwrap();
            open.push(stream);
        }
    });
    base
}

#[tokio::test]
async fn an_answer_begins_before_its_request_has_ended() {
    let gateway = echo().await;
    let mut stream = connect(gateway.base()).await;
    let head = "POST /pub HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let talk = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut read = String::new();
        for word in ["first", "second", "third"] {
            let chunk = format!("{:x}\r\n{word}\r\n", word.len());
            stream.write_all(chunk.as_bytes()).await.unwrap();
            while !read.contains(word) {
                let mut piece = [0; 1024];
                let length = stream.read(&mut piece).await.unwrap();
                assert_ne!(length, 0, "{read}");
                read.push_str(std::str::from_utf8(&piece[..length]).unwrap());
            }
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        while !read.ends_with("0\r\n\r\n") {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).await.unwrap();
            assert_ne!(length, 0, "{read}");
            read.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        assert!(read.starts_with("HTTP/1.1 200 "), "{read}");
    };
    timeout(PATIENCE, talk)
        .await
        .expect("it does not wait for the end");
}

fn chunk(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); CHUNK]
}

#[tokio::test]
async fn a_long_body_goes_through_and_back_and_is_the_same() {
    const CHUNKS: usize = 2048; // 128 MiB
    let gateway = echo().await;
    let (tell, pieces) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
    tokio::spawn(async move {
        for number in 0..CHUNKS {
            if tell.send(chunk(number).into()).await.is_err() {
                break;
            }
        }
    });
    let request = http::Request::post(format!("{}/pub", gateway.base()));
    let request = request.body(Pieces(pieces)).unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let response = client.build_http().request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let mut piece = frame.unwrap().into_data().unwrap();
        while !piece.is_empty() {
            let (number, from) = (length / CHUNK, length % CHUNK);
            let part = piece.split_to(piece.len().min(CHUNK - from));
            assert!(part == chunk(number)[from..from + part.len()]);
            length += part.len();
        }
    }
    assert_eq!(length, CHUNKS * CHUNK);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_gathered_here_and_ends_in_504() {
    let base = service("").await;
    let gateway = gateway(&base, NO_ISSUER, &["--timeout", "2"]);
    let mut stream = connect(gateway.base()).await;
    let head = "POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; CHUNK];
    let mut sent = 0;
    while let Ok(Ok(length)) = timeout(Duration::from_secs(1), stream.write(&piece)).await {
        sent += length;
        assert!(sent < 64 << 20, "more than all sockets between can hold");
    }
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .expect("it does not hang")
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
}

#[tokio::test]
async fn an_upstream_that_is_down_or_broken_is_502() {
    // Bound, so that nobody else is given the port, and refused, since it does not listen.
    let unused = TcpSocket::new_v4().unwrap();
    unused.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nobody = format!("http://{}", unused.local_addr().unwrap());
    let mut upstreams = vec![(nobody, "nobody listens")];
    for says in [
        "garbage\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        upstreams.push((service(says).await, says));
    }
    for (base, says) in upstreams {
        let gateway = gateway(&base, NO_ISSUER, &[]);
        let request = b"GET /pub HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = timeout(PATIENCE, exchange(gateway.base(), request))
            .await
            .unwrap();
        assert_eq!(status(&answer), 502, "{says}: {answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_silent_is_504_and_an_answer_that_stops_does_not_look_whole() {
    let silent = service("").await;
    let stops = service("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let client = reqwest::Client::new();
    for (base, expected) in [(silent, 504), (stops, 200)] {
        let gateway = gateway(&base, NO_ISSUER, &["--timeout", "1"]);
        let asked = client.get(format!("{}/pub", gateway.base())).send();
        let answer = timeout(PATIENCE, asked)
            .await
            .expect("it does not hang")
            .unwrap();
        assert_eq!(answer.status(), expected);
        let read = timeout(PATIENCE, answer.text())
            .await
            .expect("it does not hang");
        assert_eq!(read.is_ok(), expected == 504, "{read:?}");
    }
}

#[tokio::test]
async fn a_client_that_stops_amid_its_request_is_408_and_the_upstream_is_not_blamed() {
    let base = service("").await;
    let gateway = gateway(&base, NO_ISSUER, &["--timeout", "1"]);
    let request = b"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi";
    let answer = timeout(PATIENCE, exchange(gateway.base(), request))
        .await
        .expect("it does not hang");
    assert_eq!(status(&answer), 408, "{answer}");
}

#[tokio::test]
async fn a_slow_request_is_not_cut_short_while_it_moves() {
    let world = World::start(&["--timeout", "1"]).await;
    let mut stream = connect(world.base()).await;
    let head = "POST /pub HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut turns = tokio::time::interval(Duration::from_millis(250));
    for _ in 0..10 {
        turns.tick().await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer));
    read.await.expect("it does not hang").unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.service.one().body, "xxxxxxxxxx");
}

/// A body of what comes through a channel.
struct Pieces(tokio::sync::mpsc::Receiver<bytes::Bytes>);

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Self::Error>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
