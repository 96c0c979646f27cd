//! Where records are kept, and a server over it. A place is a URL, so that another process can be told of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt as _, service_fn};
use tower_oauth::server::Limit;
use tower_oauth::store::Store;
use tower_oauth::types::{Client, GrantType, Introspects, Secret, Subject};
use tower_oauth::{
    Approval, AuthorizationServer, Decision, Interaction, MemoryStore, PendingRequest,
    PostgresStore, RedisStore, SqliteStore,
};

use crate::flows::{Ask, Caller, Flow};
use crate::{postgres, redis_server};

pub(crate) const SECRET: &str = "dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXkAB";
pub(crate) const CALLBACK: &str = "https://app.example/cb";

pub(crate) type Endpoint =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// Servers and files that go with this value.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    /// Where another process keeps the same kind of records: a SQLite file is one process's.
    pub(crate) elsewhere: String,
    _postgres: Option<postgres::Server>,
    _redis: Option<redis_server::Server>,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn open(name: &'static str) -> Self {
        let mut place = Self {
            name,
            url: name.to_owned(),
            elsewhere: name.to_owned(),
            _postgres: None,
            _redis: None,
            _folder: None,
        };
        match name {
            "sqlite" => {
                let folder = tempfile::tempdir().unwrap();
                let file = |name| format!("sqlite:{}", folder.path().join(name).display());
                (place.url, place.elsewhere) = (file("here.db"), file("there.db"));
                place._folder = Some(folder);
            }
            "postgres" => place.postgres(&["shared_buffers=1GB", "max_wal_size=4GB"]),
            "redis" => place.redis("everysec"),
            "redis_always" => place.redis("always"),
            _ => {}
        }
        place
    }

    /// A PostgreSQL for figures that have nothing to do with what a commit survives.
    pub(crate) fn postgres_without_sync() -> Self {
        let mut place = Self::open("memory");
        place.name = "postgres";
        // A minute of the clock passes in seconds: the server is to look for dead rows as often in that time as it does in a minute.
        place.postgres(&[
            "fsync=off",
            "synchronous_commit=off",
            "shared_buffers=1GB",
            "autovacuum_naptime=5s",
        ]);
        place
    }

    fn postgres(&mut self, settings: &[&str]) {
        let server = postgres::Server::start(settings).expect("there is a PostgreSQL");
        self.url = server.url();
        self.elsewhere = server.url();
        self._postgres = Some(server);
    }

    fn redis(&mut self, sync: &str) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock");
        let [path, directory] =
            [&socket, folder.path()].map(|path: &std::path::Path| path.to_str().unwrap());
        let arguments = [
            ["--port", "0"],
            ["--unixsocket", path],
            ["--dir", directory],
            ["--save", ""],
            ["--appendonly", "yes"],
            ["--appendfsync", sync],
        ];
        self._redis = Some(redis_server::Server::start("", arguments.as_flattened()));
        self.url = format!("unix://{path}");
        self.elsewhere = self.url.clone();
        redis_server::await_answer(move || UnixStream::connect(&socket));
        self._folder = Some(folder);
    }
}

/// An owner who says yes to everything.
struct Yes;

impl Interaction for Yes {
    async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
        Decision::Approve(Approval::new(Subject::new("ada").unwrap()))
    }
}

/// A server over the records at this URL.
pub(crate) async fn server(url: &str) -> AuthorizationServer {
    match url.split_once(':') {
        None => over(MemoryStore::new()).await,
        Some(("sqlite", path)) => over(SqliteStore::open(path).await.unwrap()).await,
        Some(("postgres", _)) => {
            let store = PostgresStore::connect(url).await.unwrap();
            store.migrate().await.unwrap();
            over(store).await
        }
        Some(_) => over(RedisStore::connect(url).await.unwrap()).await,
    }
}

async fn over(store: impl Store) -> AuthorizationServer {
    let oauth = AuthorizationServer::builder("https://as.example")
        .resource("https://api.example", ["notes:read", "notes:write"])
        .scopes(["offline_access"])
        .interaction("/login", Yes)
        // More than anybody asks for in earnest, and as much as a benchmark does.
        .authorization_requests(Limit::per_minute(u32::MAX, u32::MAX))
        .store(store)
        .build()
        .unwrap();
    let confidential = |id: &str| Client::confidential(id.parse().unwrap(), &Secret::new(SECRET));
    let service = confidential("service").grant_types([GrantType::ClientCredentials]);
    let api = confidential("api")
        .grant_types([])
        .introspects(Introspects::Everything);
    let app = Client::public("app".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap());
    for client in [service, api, app] {
        // They may be there from before.
        oauth.clients().create(client).await.unwrap();
    }
    oauth
}

pub(crate) fn endpoint(oauth: &AuthorizationServer) -> Endpoint {
    let service = oauth.service();
    BoxCloneSyncService::new(service_fn(move |request| {
        let service = service.clone();
        async move {
            let (parts, body) = service.oneshot(request).await?.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Ok(Response::from_parts(parts, Full::from(body)))
        }
    }))
}

/// What a server says, for a handler that only reads the form.
#[derive(Clone)]
pub(crate) struct Bare(Arc<Answers>);

struct Answers {
    posts: HashMap<&'static str, Bytes>,
    code: String,
}

impl Bare {
    pub(crate) async fn new() -> Self {
        let endpoint = endpoint(&server("memory").await);
        let mut posts = HashMap::new();
        let mut ask = Ask::InProcess(endpoint.clone());
        let code = ask.code().await;
        for flow in Flow::ALL {
            let ask = Ask::InProcess(endpoint.clone());
            let mut caller = Caller::prepared(ask, flow, std::time::Instant::now()).await;
            posts.insert(flow.marker(), caller.step().await.unwrap());
        }
        Self(Arc::new(Answers { posts, code }))
    }

    pub(crate) async fn answer<B>(
        self,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Infallible>
    where
        B: http_body::Body,
        B::Error: std::fmt::Debug,
    {
        let response = Response::builder()
            .header("cache-control", "no-store")
            .header("pragma", "no-cache")
            .header("x-content-type-options", "nosniff");
        if request.method() == Method::GET {
            let to = format!("{CALLBACK}?code={}", self.0.code);
            let response = response.status(303).header(LOCATION, to);
            return Ok(response.body(Full::default()).unwrap());
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let form: HashMap<_, _> = url::form_urlencoded::parse(&body).collect();
        let marker = form.get("grant_type").map_or("token", |kind| kind);
        let answer = self.0.posts[marker].clone();
        let response = response.header(CONTENT_TYPE, "application/json");
        Ok(response.body(Full::from(answer)).unwrap())
    }

    pub(crate) fn endpoint(self) -> Endpoint {
        BoxCloneSyncService::new(service_fn(move |request| self.clone().answer(request)))
    }
}
