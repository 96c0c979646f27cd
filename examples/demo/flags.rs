//! What can be said on the command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tower_oauth::server::AccessTokenFormat;
use tower_oauth::types::SigningAlgorithm;

/// A notes API with an authorization server in front of it, and a small login of its own.
///
/// People: alice / wonderland, bob / builder. Clients: demo-job / demo-job-secret (client credentials), demo-api / demo-api-secret
/// (may introspect every token); others register themselves.
#[derive(Debug, Parser)]
#[command(name = "demo", max_term_width = 120)]
pub(crate) struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// What clients and browsers call this server, if that is not http://ADDR
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,

    /// Where everything is kept: `memory:`, `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE` or `redis://HOST:PORT`. Several
    /// demos may share the last two; then all need the same --issuer
    #[arg(long, value_name = "STORE", default_value = "sqlite:tower-oauth-demo.db", value_parser = store)]
    pub(crate) store: Store,

    /// What access tokens are: `opaque`, or `jwt` (RFC 9068, ES256)
    #[arg(long, value_name = "FORM", default_value = "opaque", value_parser = access_token)]
    pub(crate) access_token: AccessTokenFormat,

    /// How long an access token lives
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) access_token_lifetime: Option<Duration>,

    /// How long a refresh token lives if it is not used
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) refresh_token_lifetime: Option<Duration>,

    /// How long an authorization code lives
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) code_lifetime: Option<Duration>,

    /// How long a device code lives
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) device_code_lifetime: Option<Duration>,

    /// How long a used refresh token still gives the same successor
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) refresh_retry_window: Option<Duration>,

    /// By how much the clock of this demo is wrong, to try out nodes whose clocks differ; `-20` is behind
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) clock_offset: i64,
}

#[derive(Clone)]
pub(crate) enum Store {
    Memory,
    Sqlite(PathBuf),
    Postgres(String),
    Redis(String),
}

/// A URL may have a password in it.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "Memory",
            Self::Sqlite(_) => "Sqlite(…)",
            Self::Postgres(_) => "Postgres(…)",
            Self::Redis(_) => "Redis(…)",
        })
    }
}

fn store(text: &str) -> Result<Store, &'static str> {
    match text.split_once(':') {
        Some(("memory", "")) => Ok(Store::Memory),
        Some(("sqlite", path)) if !path.is_empty() => Ok(Store::Sqlite(path.into())),
        Some(("postgres" | "postgresql", _)) => Ok(Store::Postgres(text.to_owned())),
        Some(("redis" | "redis+unix", _)) => Ok(Store::Redis(text.to_owned())),
        Some(("rediss", _)) => Err("the demo speaks no TLS; use `redis://`"),
        _ => Err("none of `memory:`, `sqlite:PATH`, `postgres://…` and `redis://…`"),
    }
}

fn access_token(text: &str) -> Result<AccessTokenFormat, &'static str> {
    match text {
        "opaque" => Ok(AccessTokenFormat::Opaque),
        "jwt" => Ok(AccessTokenFormat::Jwt(SigningAlgorithm::Es256)),
        _ => Err("neither `opaque` nor `jwt`"),
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
