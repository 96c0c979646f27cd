//! cargo run --example gateway -- --help
//!
//! A reverse proxy that protects any HTTP service: it asks for a bearer token, and tells the service whose it is. It speaks HTTP/1.1 on
//! both sides, https to the upstream alone: for https to clients, something that ends TLS stands in front. It starts whether its issuers
//! are up or not: until they are, requests with a token get 503.
//!
//! Left out: HTTP/2, so gRPC; upgrades, so WebSockets (the request goes on as an ordinary one); trailers; CONNECT and TRACE (501); tokens in
//! the query or in forms (RFC 6750 §2.2, §2.3), which open nothing and go on as they are.
//!
//! With the demo (`cargo run --example demo`) and any service on port 9000:
//! `cargo run --example gateway -- --listen 127.0.0.1:8090 --upstream http://127.0.0.1:9000 --audience http://127.0.0.1:8080
//! --introspect http://127.0.0.1:8080 --client demo-api:demo-api-secret`

mod bodies;
mod flags;
mod gateway;
mod headers;
mod paths;
mod upstream;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tower_oauth::resource::{CacheLimits, ConfigError};
use tower_oauth::{Issuer, ResourceServer};
use tracing_subscriber::EnvFilter;

use flags::{Credentials, Flags};
use gateway::Gateway;
use upstream::Upstream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// How long requests that are under way have when the program is asked to end.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::main]
#[expect(clippy::print_stderr, reason = "says why it ends")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    match serve(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "tells what to type")]
async fn serve(flags: Flags) -> Result<(), Failure> {
    flags.check()?;
    let listener = TcpListener::bind(flags.listen)
        .await
        .map_err(|e| format!("--listen {}: {e}", flags.listen))?;
    let here = format!("http://{}", listener.local_addr()?);
    let api = api(&flags, &here)?;
    let scope: Vec<_> = flags.scope.iter().map(|scope| scope.as_str()).collect();
    let upstream = Upstream::new(&flags.upstream, flags.timeout)?;
    let gateway = Gateway::new(api, &scope.join(" "), flags.public, upstream);
    let asked_to_end = asked_to_end()?;
    println!("listening on {here}\n\n{}", lines(&here));

    let connections = GracefulShutdown::new();
    tokio::select! {
        never = accept(&listener, &gateway, &connections) => match never {},
        () = asked_to_end => {}
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(PATIENCE) => tracing::warn!("some requests were not answered"),
    }
    Ok(())
}

/// What asks for tokens. A name that is no URL is an audience as well; the resource is then found where this gateway listens.
fn api(flags: &Flags, here: &str) -> Result<ResourceServer, Failure> {
    let audience = &flags.audience;
    let is_url = audience.starts_with("https://") || audience.starts_with("http://");
    let mut builder = ResourceServer::builder(if is_url { audience } else { here })
        .audience(audience)
        .scopes_supported(flags.scope.iter().map(ToString::to_string))
        .cache(
            CacheLimits::new()
                .ttl(flags.cache_ttl)
                .negative_ttl(flags.negative_ttl),
        );
    for issuer in &flags.jwt {
        let issuer = Issuer::jwt(issuer.as_str());
        builder = builder.issuer(if flags.accept_typ_jwt {
            issuer.accept_typ_jwt()
        } else {
            issuer
        });
    }
    if let (Some(issuer), Some(Credentials(Some((id, secret))))) =
        (&flags.introspect, &flags.client)
    {
        builder = builder.issuer(Issuer::opaque(issuer.as_str()).client(id, secret));
    }
    builder.build().map_err(|error| match error {
        ConfigError::ResourceNotHttps if !is_url => format!(
            "--audience {audience} is no URL, and clients would be sent to {here}: name the https URL that they know"
        )
        .into(),
        ConfigError::Resource | ConfigError::ResourceNotHttps => {
            format!("--audience {audience} will not do, {error}").into()
        }
        error => error.into(),
    })
}

/// What a newcomer types first.
fn lines(here: &str) -> String {
    format!(
        "curl -i {here}/\n\
         curl {here}/.well-known/oauth-protected-resource\n\
         curl -i -H \"Authorization: Bearer $TOKEN\" {here}/\n"
    )
}

/// Takes connections, until it is dropped.
async fn accept(
    listener: &TcpListener,
    gateway: &Gateway,
    connections: &GracefulShutdown,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => connect(stream, peer, gateway, connections),
            Err(error) => {
                // Mostly there are too many open files; some will be closed.
                tracing::error!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn connect(stream: TcpStream, peer: SocketAddr, gateway: &Gateway, connections: &GracefulShutdown) {
    let gateway = gateway.clone();
    let service = service_fn(move |request| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.answer(request, peer.ip()).await) }
    });
    let _ = stream.set_nodelay(true); // slower without it, and no worse
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke off");
        }
    });
}

/// Ctrl-C, or the signal that `kill` and containers send: noticed from now on.
#[cfg(unix)]
fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("asked to end");
    })
}

/// Ctrl-C.
#[cfg(not(unix))]
fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
        tracing::info!("asked to end");
    })
}
