//! What can be said on the command line, and what makes no sense together.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use http::Uri;
use tower_oauth::types::{IssuerUrl, ScopeToken};

use crate::paths::Public;

/// Asks for a good token in front of any HTTP service, and tells the service whose it is.
///
/// A request that passes has no `Authorization` any more; x-auth-issuer, x-auth-subject, x-auth-client-id and x-auth-scope say what the
/// token says, and no client can set them. Subject and client id are percent-encoded where they are not visible ASCII. Tokens are taken
/// from the `Authorization` header alone, never from the query. x-forwarded-for, -proto and -host are set, and not taken over.
#[derive(Debug, Parser)]
#[command(name = "gateway", max_term_width = 120)]
pub(crate) struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,

    /// The service behind: http or https, with a path or without one
    #[arg(long, value_name = "URL", value_parser = upstream)]
    pub(crate) upstream: Uri,

    /// Whom tokens must be meant for: the URL by which clients know this gateway, or the name that the issuers have for it
    #[arg(long, value_name = "AUD")]
    pub(crate) audience: String,

    /// Takes JWTs of this issuer, by the keys that it publishes (RFC 9068); may be repeated
    #[arg(long, value_name = "ISSUER")]
    pub(crate) jwt: Vec<IssuerUrl>,

    /// Asks this issuer about its tokens, whatever they are (RFC 7662), where its metadata says
    #[arg(long, value_name = "ISSUER")]
    pub(crate) introspect: Option<IssuerUrl>,

    /// Who asks: the credentials of this gateway at that issuer
    #[arg(long, value_name = "ID:SECRET", value_parser = credentials)]
    pub(crate) client: Option<Credentials>,

    /// A scope that each token must have; may be repeated, then all of them
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<ScopeToken>,

    /// A path that needs no token, and all below it; may be repeated. A wrong token is refused there, too
    #[arg(long, value_name = "PREFIX")]
    pub(crate) public: Vec<Public>,

    /// How long it is believed that a token is good: so long may a revocation go unnoticed
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "60")]
    pub(crate) cache_ttl: Duration,

    /// How long it is believed that a token is not good, but no longer than --cache-ttl
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "10")]
    pub(crate) negative_ttl: Duration,

    /// Takes JWTs that do not say to be access tokens, as of Keycloak, Entra ID and Auth0; never ID tokens
    #[arg(long)]
    pub(crate) accept_typ_jwt: bool,

    /// How long the upstream may be silent while it is waited for
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "60")]
    pub(crate) timeout: Duration,
}

impl Flags {
    /// Whether it makes sense together; a sentence if it does not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let asks = self.introspect.is_some();
        if self.jwt.is_empty() && !asks {
            return Err("whose tokens are good? Name an issuer with --jwt or --introspect");
        }
        match &self.client {
            None if asks => {
                return Err(
                    "--introspect asks with credentials: name them with --client ID:SECRET",
                );
            }
            Some(_) if !asks => return Err("--client is for --introspect, which is not there"),
            Some(Credentials(None)) => {
                return Err("--client is ID:SECRET, and neither may be empty");
            }
            None | Some(Credentials(Some(_))) => {}
        }
        if self
            .introspect
            .as_ref()
            .is_some_and(|issuer| self.jwt.contains(issuer))
        {
            return Err(
                "--jwt and --introspect name one issuer: which is it? It is asked about its JWTs as well",
            );
        }
        if self.accept_typ_jwt && self.jwt.is_empty() {
            return Err("--accept-typ-jwt is for --jwt, which is not there");
        }
        if self.timeout.is_zero() {
            return Err("--timeout 0 leaves the upstream no time at all");
        }
        Ok(())
    }
}

/// An identifier and a secret, or what was neither. It is judged later: whoever refuses a flag prints it.
#[derive(Clone)]
pub(crate) struct Credentials(pub(crate) Option<(String, String)>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

fn credentials(text: &str) -> Result<Credentials, Infallible> {
    let parts = text.split_once(':');
    let parts = parts.filter(|(id, secret)| !id.is_empty() && !secret.is_empty());
    Ok(Credentials(
        parts.map(|(id, secret)| (id.to_owned(), secret.to_owned())),
    ))
}

fn upstream(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "not a URL")?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if !is_web || authority.is_empty() {
        return Err("not an http or https URL");
    }
    if url.query().is_some() || authority.contains('@') || text.contains('#') {
        return Err("an upstream has no query, fragment or user information");
    }
    Ok(url)
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
