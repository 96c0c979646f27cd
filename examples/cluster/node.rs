//! A node: a server and an API over the store that all share. Nothing of it is about the others.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use axum::{Router, routing::get};
use http::request::Parts;
use tokio::io::AsyncReadExt as _;
use tower_oauth::types::{Client, Subject};
use tower_oauth::{
    AccessToken, Approval, AuthorizationServer, Decision, Interaction, Issuer, PendingRequest,
    PostgresStore, RedisStore, ResourceServer,
};

use crate::{Failure, USAGE};

/// What clients call the server, whichever node answers: the name of what stands in front of the nodes.
const ISSUER: &str = "http://localhost";

pub(crate) const CLIENT: &str = "app";

/// A process that is a node. It ends with this value, or with the process that has started it.
pub(crate) struct Node {
    process: Child,
    base: String,
}

impl Node {
    /// Starts this program again as a node, and waits until it listens.
    pub(crate) fn start(store: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command
            .args(["node", store])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut base = String::new();
        let says = process.stdout.take().ok_or("it has no output")?;
        BufReader::new(says).read_line(&mut base)?;
        if base.is_empty() {
            process.wait()?;
            return Err("a node did not start".into());
        }
        base.truncate(base.trim_end().len());
        Ok(Self { process, base })
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its input ends, and it does.
        drop(self.process.stdin.take());
        // There is nobody to be told if that fails.
        let _ = self.process.wait();
    }
}

/// What a node does. It says its address first.
pub(crate) async fn serve(store: &str) -> Result<(), Failure> {
    let builder = AuthorizationServer::builder(ISSUER)
        .resource(ISSUER, ["notes:read"])
        .interaction("/login", Yes);
    let builder = match store.split_once(':') {
        Some(("postgres" | "postgresql", _)) => {
            let settings = PostgresStore::builder().schema("tower_oauth_cluster".parse()?);
            let store = settings.connect(store).await?;
            store.migrate().await?; // by every node at each start
            builder.store(store)
        }
        Some(("redis" | "redis+unix", _)) => {
            let settings = RedisStore::builder(store).prefix("tower-oauth-cluster");
            builder.store(settings.connect().await?)
        }
        _ => return Err(USAGE.into()),
    };
    let oauth = builder.build()?;
    // The first node creates it, and the others find it there.
    let client = Client::public(CLIENT.parse()?).redirect_uri("https://app.example/cb".parse()?);
    oauth.clients().create(client).await?;
    let api = ResourceServer::builder(ISSUER)
        .issuer(Issuer::in_process(&oauth))
        .build()?;
    let app = Router::new()
        .route("/notes", get(notes).layer(api.require("notes:read")))
        .route_layer(api.layer())
        .layer(oauth.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let ended = async {
        let mut nothing = Vec::new();
        // An error is an end as well.
        let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
    };
    Ok(axum::serve(listener, app)
        .with_graceful_shutdown(ended)
        .await?)
}

async fn notes(token: AccessToken) -> String {
    format!("the notes of {}\n", token.subject())
}

/// Alice is always there, and says yes to everything. Bring your own login.
struct Yes;

impl Interaction for Yes {
    async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
        Subject::new("alice").map_or(Decision::Deny, |alice| {
            Decision::Approve(Approval::new(alice))
        })
    }
}
