//! What the token endpoint costs over HTTP, in processor time of the serving process, beside a bare axum handler.
//!
//! `cargo bench --bench http --all-features`. Each case is a process of its own: one thread, axum over hyper, HTTP/1.1 with eight
//! connections that stay open. `bare` reads the same form and answers JSON of the same size with the same headers; `memory` is the token
//! endpoint with client credentials over the memory store. Cases take turns for several rounds. `growing` keeps every token;
//! `steady` is a server that has run for a while: before each round time goes on until the tokens of the round before have expired, and
//! they are purged within it. Servers run on one core and who asks on another: left to the scheduler, a case shares a core with who asks
//! or not by its place in the row, which makes more of a difference than what is measured. Who asks never sleeps and always has eight
//! requests under way: to wake somebody on another core is work of the one who answers, more of it for the slower server, since who asks
//! sleeps more often there, and it is not what is measured. Needs `taskset`. Printed are the medians of the processor time for each request, the ratio, and by how many bytes the
//! process grew for each token.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its figures"
)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::Form;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, GrantType, ManualClock, Secret, Timestamp};

const API: &str = "https://api.example";
const FORM: &str = "grant_type=client_credentials&client_id=service&client_secret=dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXkAB&scope=notes%3Aread";
const ANSWER: &str = r#"{"access_token":"toa_awMiAF3QdBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXkAA","token_type":"Bearer","expires_in":600,"scope":"notes:read"}"#;
const ROUNDS: usize = 15;
const REQUESTS: usize = 4000;
const CONNECTIONS: usize = 8;

fn main() {
    match std::env::var("SERVE") {
        Ok(case) if case.is_empty() => compare(),
        Ok(case) => serve(&case),
        Err(_) => assert!(on_core("0", "").status().unwrap().success()),
    }
}

/// This program, as one of the servers or as who asks them.
fn on_core(core: &str, case: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]);
    command
        .arg(std::env::current_exe().unwrap())
        .env("SERVE", case);
    command
}

/// The serving process: prints its address, answers until its standard input is closed.
fn serve(case: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let app = match case {
            "bare" => Router::new()
                .route("/auth/token", post(bare))
                .route("/later", get("later")),
            _ => memory(case == "steady").await,
        };
        let app = app.route("/figures", get(figures));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, app).await.unwrap();
    });
}

async fn bare(Form(form): Form<HashMap<String, String>>) -> impl IntoResponse {
    assert!(form.contains_key("grant_type"));
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (PRAGMA, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, ANSWER)
}

async fn memory(steady: bool) -> Router {
    let clock = ManualClock::new(Timestamp::from_secs(1_795_348_800));
    let oauth = AuthorizationServer::builder("https://as.example")
        .resource(API, ["notes:read", "notes:write"])
        .clock(clock.clone())
        .build()
        .unwrap();
    let secret = Secret::new("dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXkAB");
    let service = Client::confidential("service".parse().unwrap(), &secret)
        .grant_types([GrantType::ClientCredentials]);
    oauth.clients().create(service).await.unwrap();
    let later = async move || {
        clock.advance(Duration::from_secs(if steady { 601 } else { 0 }));
        "later"
    };
    Router::new()
        .route("/later", get(later))
        .fallback_service(oauth.service())
}

/// Nanoseconds on the processor, and bytes in memory, of this process.
async fn figures() -> String {
    let processor = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = memory.split(' ').nth(1).unwrap().parse().unwrap();
    format!("{} {}", processor.split(' ').next().unwrap(), pages * 4096)
}

struct Server {
    child: Child,
    connections: Vec<TcpStream>,
}

impl Server {
    fn start(case: &str) -> Self {
        let mut child = on_core("1", case).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let connect = |_| {
            let connection = TcpStream::connect(address.trim()).unwrap();
            connection.set_nodelay(true).unwrap();
            connection.set_nonblocking(true).unwrap();
            connection
        };
        Self {
            child,
            connections: (0..CONNECTIONS).map(connect).collect(),
        }
    }

    fn get(&mut self, path: &str) -> String {
        let connection = &mut self.connections[0];
        let request = format!("GET {path} HTTP/1.1\r\nhost: as.example\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        answer(connection)
    }

    fn figures(&mut self) -> (u64, u64) {
        let text = self.get("/figures");
        let (processor, memory) = text.split_once(' ').unwrap();
        (processor.parse().unwrap(), memory.parse().unwrap())
    }

    /// The processor time and the memory of one request.
    fn round(&mut self) -> (f64, f64) {
        let request = format!(
            "POST /auth/token HTTP/1.1\r\nhost: as.example\r\naccept: application/json\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{FORM}",
            FORM.len()
        );
        let (processor, memory) = self.figures();
        self.get("/later");
        for connection in &mut self.connections {
            connection.write_all(request.as_bytes()).unwrap();
        }
        let mut asked = CONNECTIONS;
        while asked < REQUESTS {
            for connection in &mut self.connections {
                let answer = answer(connection);
                assert_eq!(answer.len(), ANSWER.len(), "{answer}");
                connection.write_all(request.as_bytes()).unwrap();
            }
            asked += CONNECTIONS;
        }
        for connection in &mut self.connections {
            answer(connection);
        }
        let (processor_after, memory_after) = self.figures();
        let each = |before, after: u64| after.saturating_sub(before) as f64 / REQUESTS as f64;
        (each(processor, processor_after), each(memory, memory_after))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of an answer with 200.
fn answer(connection: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = match connection.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::hint::spin_loop();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(length > 0, "the server hung up");
        read.extend_from_slice(&buffer[..length]);
        let text = std::str::from_utf8(&read).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 200"), "{text}");
            let field = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim())
            });
            if body.len() == field.unwrap().parse::<usize>().unwrap() {
                return body.to_owned();
            }
        }
    }
}

fn compare() {
    let mut servers =
        ["bare", "growing", "steady"].map(|case| (case, Server::start(case), Vec::new()));
    for (_, server, _) in &mut servers {
        server.round(); // warms up
    }
    for _ in 0..ROUNDS {
        for (_, server, rounds) in &mut servers {
            rounds.push(server.round());
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut bare = None;
    println!("{REQUESTS} requests a round, {ROUNDS} rounds, {CONNECTIONS} connections");
    for (case, _, rounds) in servers {
        let processor = median(rounds.iter().map(|round| round.0).collect());
        let memory = rounds.iter().map(|round| round.1).sum::<f64>() / ROUNDS as f64;
        let bare = *bare.get_or_insert(processor);
        println!(
            "{case:>8}: {:.2} µs of processor time a request, {:.2} times bare, {memory:.0} bytes a request",
            processor / 1000.0,
            processor / bare
        );
    }
}
