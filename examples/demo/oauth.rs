//! Both halves of `tower-oauth` with all that is switched on, and the clients that are there from the start.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use tower_oauth::pages::Pages;
use tower_oauth::server::{AuthorizationServerBuilder, Limit};
use tower_oauth::types::{Client, GrantType, Introspects, IssuerUrl, Secret};
use tower_oauth::{
    AuthorizationServer, Issuer, Registration, ResourceServer, SqliteStore, resource,
};

use crate::Failure;
use crate::clock::OffBy;
use crate::flags::{Flags, Store};
use crate::{app, login, stores};

/// The scopes that mean something to the API.
const NOTES: [&str; 2] = ["notes:read", "notes:write"];

/// The server, and the file it is kept in, if it is.
pub(crate) async fn server(
    flags: &Flags,
    issuer: &str,
) -> Result<(AuthorizationServer, Option<SqliteStore>), Failure> {
    let issuer: IssuerUrl = issuer
        .parse()
        .map_err(|e| format!("{issuer} will not do, {e}: name another one with --issuer"))?;
    // The API is found at the origin of the issuer, which may have a path of its own.
    let mut builder = lifetimes(AuthorizationServer::builder(issuer.as_str()), flags)
        .resource(issuer.origin(), NOTES)
        .scopes(["openid", "profile", "email", "offline_access"])
        .default_scope("notes:read")
        .describe_scope("openid", "Know that it is you")
        .describe_scope("profile", "See your name")
        .describe_scope("email", "See your e-mail address")
        .describe_scope("offline_access", "Do this while you are away")
        .describe_scope("notes:read", "Read your notes")
        .describe_scope("notes:write", "Write notes for you")
        .login("/login", login::signed_in)
        .connected_apps()
        .pages(pages())
        .browser_clients(["*"])
        // Test tools are in a hurry; a real host keeps the limits that it finds.
        .registration(Registration::open().limited_to(Limit::per_minute(1_000, 10_000)))
        .wrong_user_codes(Limit::per_minute(1_000, 10_000))
        .wrong_client_secrets(Limit::per_minute(1_000, 10_000))
        .authorization_requests(Limit::per_minute(1_000, 10_000))
        .device_requests(Limit::per_minute(1_000, 10_000))
        .access_token_format(flags.access_token)
        .clock(OffBy(flags.clock_offset))
        .client_address(|parts| {
            let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            info.map(|info| info.0.ip())
        });
    let mut file = None;
    builder = match &flags.store {
        Store::Memory => builder,
        Store::Sqlite(path) => {
            let store = stores::sqlite(path).await?;
            file = Some(store.clone());
            builder.store(store)
        }
        Store::Postgres(url) => builder.store(stores::postgres(url).await?),
        Store::Redis(url) => builder.store(stores::redis(url).await?),
    };
    let oauth = builder.build()?;
    create_clients(&oauth).await?;
    Ok((oauth, file))
}

/// The words of the host on the pages of the server, whose own are in German already.
fn pages() -> Pages {
    Pages::new()
        .name("Notes")
        .describe_scope("de", "openid", "Wissen, dass Sie es sind")
        .describe_scope("de", "profile", "Ihren Namen sehen")
        .describe_scope("de", "email", "Ihre E-Mail-Adresse sehen")
        .describe_scope("de", "offline_access", "Das tun, während Sie weg sind")
        .describe_scope("de", "notes:read", "Ihre Notizen lesen")
        .describe_scope("de", "notes:write", "Notizen für Sie schreiben")
}

/// What asks for its tokens. A client without one is told to ask for `notes:read` alone, and for more when it needs that.
pub(crate) fn api(
    flags: &Flags,
    oauth: &AuthorizationServer,
) -> Result<ResourceServer, resource::ConfigError> {
    ResourceServer::builder(oauth.issuer().origin())
        .clock(OffBy(flags.clock_offset))
        .issuer(Issuer::in_process(oauth))
        .scopes_supported(NOTES)
        .challenge_scope(["notes:read"])
        .build()
}

fn lifetimes(mut builder: AuthorizationServerBuilder, flags: &Flags) -> AuthorizationServerBuilder {
    if let Some(time) = flags.access_token_lifetime {
        builder = builder.access_token_lifetime(time);
    }
    if let Some(time) = flags.refresh_token_lifetime {
        builder = builder.refresh_token_lifetime(time);
    }
    if let Some(time) = flags.code_lifetime {
        builder = builder.authorization_code_lifetime(time);
    }
    if let Some(time) = flags.device_code_lifetime {
        builder = builder.device_code_lifetime(time);
    }
    if let Some(time) = flags.refresh_retry_window {
        builder = builder.refresh_retry_window(time);
    }
    builder
}

/// Those that the store has already are left as they are.
async fn create_clients(oauth: &AuthorizationServer) -> Result<(), Failure> {
    let confidential = |id: &str, secret: &str| {
        Ok::<_, Failure>(Client::confidential(id.parse()?, &Secret::new(secret)))
    };
    let api = confidential("demo-api", "demo-api-secret")?
        .name("The notes API, elsewhere")
        .grant_types([])
        .introspects(Introspects::Everything);
    let job = confidential("demo-job", "demo-job-secret")?
        .name("A job at night")
        .grant_types([GrantType::ClientCredentials]);
    let app = app::client(oauth.issuer())?;
    for client in [api, job, app] {
        oauth.clients().create(client).await?;
    }
    Ok(())
}
