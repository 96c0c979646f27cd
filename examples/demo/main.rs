//! cargo run --example demo
//!
//! A notes API, the authorization server for it, and a login of its own, as a host would have. `--help` tells the flags; the
//! start page tells what to try.

mod app;
mod clock;
mod flags;
mod login;
mod notes;
mod oauth;
mod pages;
mod people;
mod stores;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::middleware;
use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use clock::OffBy;
use flags::Flags;
use tower_oauth::types::IssuerUrl;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long requests that are under way have when the program is asked to end.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::main]
#[expect(clippy::print_stderr, reason = "says why it ends")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match serve(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "tells what to type")]
async fn serve(flags: Flags) -> Result<(), Failure> {
    let listener = TcpListener::bind(flags.listen)
        .await
        .map_err(|e| format!("--listen {}: {e}", flags.listen))?;
    let here = format!("http://{}", listener.local_addr()?);
    let issuer = flags.issuer.as_deref().unwrap_or(&here);
    let (oauth, file) = oauth::server(&flags, issuer).await?;
    let lines = lines(oauth.issuer());

    let app = notes::routes(&oauth::api(&flags, &oauth)?)
        .merge(login::routes(&oauth, &lines, OffBy(flags.clock_offset)))
        .merge(app::routes(&oauth))
        .layer(oauth.layer())
        .layer(middleware::from_fn(login::who_is_there))
        .layer(login::sessions(&oauth));
    // Whether all of it has come together; a host of one's own may rather do this in a test.
    oauth.self_check(&app).await?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    println!("listening on {here}\n\n{lines}");

    let (end, ended) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async { drop(ended.await) });
    tokio::select! {
        served = serving => served?,
        () = async {
            asked_to_end().await;
            drop(end);
            tokio::time::sleep(PATIENCE).await;
        } => tracing::warn!("some requests were not answered"),
    }
    drop(oauth); // what it does in the background ends before its store does
    if let Some(file) = file {
        file.close().await;
    }
    Ok(())
}

/// What a newcomer types first. The token is the fourth of the parts between quotes.
fn lines(issuer: &IssuerUrl) -> String {
    let api = issuer.origin();
    let auth = format!("{api}{}/auth", issuer.path());
    format!(
        "curl -i {api}/api/notes\n\
         TOKEN=$(curl -s -u demo-job:demo-job-secret -d grant_type=client_credentials {auth}/token | cut -d'\"' -f4)\n\
         curl -H \"Authorization: Bearer $TOKEN\" {api}/api/whoami\n\
         curl -u demo-api:demo-api-secret -d token=$TOKEN {auth}/introspect\n"
    )
}

/// Ctrl-C, or the signal that `kill` and containers send.
async fn asked_to_end() {
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = terminated() => {}
    }
    tracing::info!("asked to end");
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        terminate.recv().await;
    } else {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
