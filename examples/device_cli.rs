//! cargo run --example device_cli — a program for the command line that signs in by a device code (RFC 8628).
//!
//! It asks the demo at http://127.0.0.1:8080, or the issuer that it is given, shows a code and waits until somebody has allowed it on a
//! phone or in another window. Then it asks the API who that was.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever started it"
)]

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What is needed of RFC 8414 §2.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: String,
    registration_endpoint: String,
}

/// RFC 8628 §3.2.
#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default = "five")]
    interval: u64,
}

fn five() -> u64 {
    5
}

/// An answer to a poll, good or bad.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Token { access_token: String },
    Error { error: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    let issuer = std::env::args().nth(1);
    let issuer = issuer.as_deref().unwrap_or("http://127.0.0.1:8080");
    // Whoever copies it from a browser has a slash too many: an issuer without a path has none.
    match sign_in(issuer.trim_end_matches('/')).await {
        Ok(name) => {
            println!("\nSigned in as {name}.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("\n{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Gives the name of whoever has allowed it.
async fn sign_in(issuer: &str) -> Result<String, Box<dyn Error>> {
    if !issuer.starts_with("http://") && !issuer.starts_with("https://") {
        return Err(format!(
            "{issuer} is no issuer: that would be a URL, such as http://127.0.0.1:8080"
        )
        .into());
    }
    let http = Client::new();
    let metadata = discover(&http, issuer).await?;
    let client_id = register(&http, &metadata).await?;

    let form = [("client_id", client_id.as_str()), ("scope", "notes:read")];
    let device = http.post(&metadata.device_authorization_endpoint);
    let device = device.form(&form).send().await?.error_for_status()?;
    let device: Device = device.json().await?;
    show(&device)?;

    let token = wait(&http, &metadata, &client_id, &device).await?;
    let whoami = http.get(format!("{issuer}/api/whoami")).bearer_auth(token);
    let whoami: Value = whoami.send().await?.error_for_status()?.json().await?;
    let name = whoami.get("sub").and_then(Value::as_str);
    Ok(name.ok_or("the API knows nobody")?.to_owned())
}

/// For issuers without a path; the well-known part would stand before it.
async fn discover(http: &Client, issuer: &str) -> Result<Metadata, Box<dyn Error>> {
    let url = format!("{issuer}/.well-known/oauth-authorization-server");
    let metadata: Metadata = http
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    if metadata.issuer != issuer {
        return Err(format!("{issuer} calls itself {}", metadata.issuer).into()); // RFC 8414 §3.3
    }
    Ok(metadata)
}

/// A real program registers once and keeps the id, or comes with one.
async fn register(http: &Client, metadata: &Metadata) -> Result<String, Box<dyn Error>> {
    let client = json!({
        "client_name": "Notes for the command line",
        "grant_types": [DEVICE_CODE],
        "token_endpoint_auth_method": "none",
    });
    let request = http.post(&metadata.registration_endpoint).json(&client);
    let client: Value = request.send().await?.error_for_status()?.json().await?;
    let id = client.get("client_id").and_then(Value::as_str);
    Ok(id.ok_or("no client_id came back")?.to_owned())
}

fn show(device: &Device) -> Result<(), Box<dyn Error>> {
    if let Some(uri) = &device.verification_uri_complete {
        let code = tower_oauth::qr::terminal(uri)?;
        println!("{code}");
    }
    println!(
        "Open {} and type in {}.",
        device.verification_uri, device.user_code
    );
    Ok(())
}

/// Polls as RFC 8628 §3.5 wants it: never more often than it is told to, five seconds less often after each `slow_down`, and not
/// beyond the life of the code. Where nothing answers it waits twice as long.
async fn wait(
    http: &Client,
    metadata: &Metadata,
    client_id: &str,
    device: &Device,
) -> Result<String, Box<dyn Error>> {
    let form = [
        ("grant_type", DEVICE_CODE),
        ("client_id", client_id),
        ("device_code", &device.device_code),
    ];
    let end = Instant::now() + Duration::from_secs(device.expires_in);
    let mut interval = Duration::from_secs(device.interval);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        print!("\rWaiting, {} s are left ", left.as_secs());
        std::io::stdout().flush()?;
        tokio::time::sleep(interval).await;
        let request = http.post(&metadata.token_endpoint).form(&form);
        let Ok(response) = request.timeout(Duration::from_secs(10)).send().await else {
            interval *= 2;
            continue;
        };
        let answer = response.json().await?;
        match answer {
            Answer::Token { access_token } => return Ok(access_token),
            Answer::Error { error } => match error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval += Duration::from_secs(5),
                "temporarily_unavailable" => interval *= 2,
                "access_denied" => return Err("Somebody has said no.".into()),
                "expired_token" => break,
                other => return Err(format!("The server says {other}.").into()),
            },
        }
    }
    Err("Nobody has answered in time.".into())
}
