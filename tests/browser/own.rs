//! Servers of the tests' own, for what the demo cannot show: a clock that moves, a limit that is reached, a store that is gone.

use std::net::Ipv4Addr;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;
use tower_oauth::server::{AuthorizationServerBuilder, Limit};
use tower_oauth::types::Subject;
use tower_oauth::{AuthorizationServer, Registration, SqliteStore};

/// A login that signs nobody in.
const LOGIN: &str = "<!DOCTYPE html><html lang=en><title>Sign in</title><link rel=icon href=data:,><h1>Sign in</h1>";

/// Serves until the test ends, and says where. Everybody who comes is alice.
pub(crate) async fn serve(
    more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
) -> (String, AuthorizationServer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let builder = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read", "notes:write"])
        .registration(Registration::open())
        .login("/login", |_| Subject::new("alice").ok())
        .client_address(|_| Some(Ipv4Addr::LOCALHOST.into()));
    let oauth = more(builder).build().unwrap();
    let login = get(|| async { Html(LOGIN) });
    let app = Router::new().route("/login", login).layer(oauth.layer());
    tokio::spawn(async { axum::serve(listener, app).await });
    (here, oauth)
}

/// One that takes a single wrong user code, and a single request of an app.
pub(crate) async fn impatient() -> String {
    let once = Limit::per_minute(1, 100);
    let (here, _) = serve(|builder| {
        builder
            .wrong_user_codes(once)
            .authorization_requests(once.per_client(100))
    })
    .await;
    here
}

/// One whose store is gone.
pub(crate) async fn broken() -> String {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("oauth.db"));
    let store = store.await.unwrap();
    let (here, _) = serve(|builder| builder.store(store.clone())).await;
    store.close().await;
    here
}

/// One with forty scopes, and all of them.
pub(crate) async fn generous() -> (String, String) {
    let number = 1..=40;
    let scopes: Vec<_> = number
        .map(|number| format!("notes:folder-{number}:read"))
        .collect();
    let (here, _) = serve(|mut builder| {
        for scope in &scopes {
            let words = format!("Read what stands in a folder of your notes: {scope}");
            builder = builder
                .scopes([scope.as_str()])
                .describe_scope(scope, words);
        }
        builder
    })
    .await;
    (here, scopes.join(" "))
}
