//! Answers a second over each store.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use tower::service_fn;

use crate::flows::{Ask, Flow, rate};
use crate::place::{Bare, Endpoint, Place, endpoint, server};

const STORES: [&str; 6] = [
    "bare",
    "memory",
    "sqlite",
    "postgres",
    "redis",
    "redis_always",
];
const LASTS: Duration = Duration::from_millis(1200);
pub(crate) const AT_ONCE: usize = 64;

pub(crate) async fn measure() {
    let some = std::env::var("STORES").unwrap_or_else(|_| STORES.join(","));
    println!("answers a second | 1 caller | {AT_ONCE} callers | {AT_ONCE} over HTTP");
    for name in STORES
        .into_iter()
        .filter(|name| some.split(',').any(|one| one == *name))
    {
        let place = Place::open(name);
        let here = here(&place).await;
        let there = Served::start(&place.elsewhere);
        for flow in Flow::ALL {
            let one = rate(in_process(&here, 1), flow, LASTS).await;
            let many = rate(in_process(&here, AT_ONCE), flow, LASTS).await;
            let mut asks = Vec::new();
            for _ in 0..AT_ONCE {
                asks.push(Ask::http(&there.address).await);
            }
            let http = rate(asks, flow, LASTS).await;
            println!("{name}, {} | {one:.0} | {many:.0} | {http:.0}", flow.name());
            for (how, rate) in [("one", one), ("many", many), ("http", http)] {
                println!(
                    r#"{{"part":"rates","store":"{name}","flow":"{}","how":"{how}","rate":{rate:.0}}}"#,
                    flow.name()
                );
            }
        }
    }
}

pub(crate) fn in_process(endpoint: &Endpoint, callers: usize) -> Vec<Ask> {
    let ask = || Ask::InProcess(endpoint.clone());
    std::iter::repeat_with(ask).take(callers).collect()
}

async fn here(place: &Place) -> Endpoint {
    match place.name {
        "bare" => Bare::new().await.endpoint(),
        _ => endpoint(&server(&place.url).await),
    }
}

/// A process that serves over HTTP, and ends with this value.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("SERVE", url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The serving process: prints its address, and answers until it is killed.
pub(crate) fn serve(url: &str) {
    crate::runtime().block_on(async {
        let app = match url {
            "bare" => {
                let bare = Bare::new().await;
                let answer = service_fn(move |request| bare.clone().answer(request));
                Router::new().fallback_service(answer)
            }
            _ => Router::new().fallback_service(server(url).await.service()),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, app).await.unwrap();
    });
}
