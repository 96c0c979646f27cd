//! What a check leaves of a server's throughput over HTTP: `benches/peers/run http`.
//!
//! Each case is a process of its own: one thread, hyper, HTTP/1.1 with eight connections that stay open and always have a request under
//! way, with a token of RS256, 865 characters. Cases take turns for several rounds, and each round begins with another one. Printed are
//! medians of the requests answered each second, and of the processor time of the serving process for each; the machine needs two free
//! cores for the first, the second is steadier.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower::ServiceExt as _;
use tower_oauth::resource::CacheLimits;
use tower_oauth_peers::tokens::Key;
use tower_oauth_peers::verdicts::{Cached, Remember, verdicts};
use tower_oauth_peers::{
    Answer, Hello, Serves, axum_jwt_auth, jwt_authorizer, median, ours, tower_oauth2,
};

const CASES: [&str; 6] = [
    "bare hyper",
    "ours",
    "a peer in a moka cache",
    "jwt-authorizer",
    "tower-oauth2-resource-server",
    "axum-jwt-auth",
];
const CONNECTIONS: usize = 8;

fn main() {
    match std::env::var("SERVE") {
        Ok(case) => serve_case(&case),
        Err(_) => compare(),
    }
}

/// The serving process: prints its address and a token that is good there.
fn serve_case(case: &str) {
    let key = Key::new("RS256");
    let token = key.token(1, 3600);
    let hello = Hello::<Response<Full<Bytes>>>::new();
    match case {
        "bare hyper" => serve(hello, &token),
        "ours" => {
            let api = key.api(Duration::from_secs(3600), CacheLimits::new());
            serve(ours(&api), &token);
        }
        "a peer in a moka cache" => {
            let verdicts = verdicts();
            let remember = Remember {
                verdicts: verdicts.clone(),
                inner: hello.clone(),
            };
            let peer = tower_oauth2(&key, remember);
            serve(
                Cached {
                    verdicts,
                    peer,
                    inner: hello,
                },
                &token,
            );
        }
        "jwt-authorizer" => {
            let plain = |answer: Answer| answer.0;
            serve(jwt_authorizer(&key).map_response(plain), &token);
        }
        "tower-oauth2-resource-server" => serve(tower_oauth2(&key, hello), &token),
        _ => serve(axum_jwt_auth(&key), &token),
    }
}

fn serve<S, B>(service: S, token: &str)
where
    S: Serves<Incoming, Response<B>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{} {token}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(connection(service.clone(), TokioIo::new(stream)));
        }
    });
}

async fn connection<S, B>(service: S, stream: TokioIo<tokio::net::TcpStream>)
where
    S: Serves<Incoming, Response<B>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let service = TowerToHyperService::new(service);
    let _ = http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

struct Server {
    child: Child,
    connections: Vec<TcpStream>,
    request: String,
    /// How long an answer is.
    answer: usize,
}

impl Server {
    fn start(case: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("SERVE", case)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (address, token) = line.trim().split_once(' ').unwrap();
        let connect = |_| {
            let connection = TcpStream::connect(address).unwrap();
            connection.set_nodelay(true).unwrap();
            connection
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            connection
        };
        let request = format!(
            "GET /notes HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let mut connections: Vec<_> = (0..CONNECTIONS).map(connect).collect();
        connections[0].write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"{\"hello\":true}") {
            let mut byte = [0];
            connections[0].read_exact(&mut byte).unwrap();
            answer.extend_from_slice(&byte);
        }
        Self {
            child,
            connections,
            request,
            answer: answer.len(),
        }
    }

    /// Nanoseconds that the process was on a processor.
    fn processor(&self) -> u64 {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// Requests each second, and the processor time of each in nanoseconds.
    fn round(&mut self, requests: usize) -> (f64, f64) {
        let (processor, begun) = (self.processor(), Instant::now());
        let mut answer = vec![0; self.answer];
        for turn in 0..requests + CONNECTIONS {
            let connection = &mut self.connections[turn % CONNECTIONS];
            if turn >= CONNECTIONS {
                connection.read_exact(&mut answer).unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"true}"));
            }
            if turn < requests {
                connection.write_all(self.request.as_bytes()).unwrap();
            }
        }
        let spent = begun.elapsed().as_secs_f64();
        let processor = self.processor() - processor;
        (requests as f64 / spent, processor as f64 / requests as f64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn compare() {
    let (rounds, requests) = (number("ROUNDS", 20), number("REQUESTS", 4000));
    let mut servers = CASES.map(|case| (Server::start(case), Vec::new(), Vec::new()));
    for (server, _, _) in &mut servers {
        server.round(requests); // warms up
    }
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let case = (round + turn) % servers.len();
            let (server, rates, processor) = &mut servers[case];
            let figures = server.round(requests);
            rates.push(figures.0);
            processor.push(figures.1);
        }
    }
    println!("{rounds} rounds of {requests} requests, {CONNECTIONS} connections; medians");
    println!("| | requests/s | of bare | processor time, µs | of bare's throughput by it |");
    println!("|---|---:|---:|---:|---:|");
    let mut bare = None;
    for (case, (_, rates, processor)) in CASES.into_iter().zip(servers) {
        let (rate, processor) = (median(rates), median(processor));
        let bare: (f64, f64) = *bare.get_or_insert((rate, processor));
        println!(
            "| {case} | {rate:.0} | {:.2} | {:.2} | {:.2} |",
            rate / bare.0,
            processor / 1000.0,
            bare.1 / processor
        );
    }
}
