//! A node: this binary, started again as a server of its own, and what clients and people ask of it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tower_oauth::resource::{Issuer, ResourceServer};
use tower_oauth::store::{RedisStore, Store};
use tower_oauth::types::{Client, GrantType, Introspects, Secret, Subject};
use tower_oauth::{AuthorizationServer, PostgresStore, SqliteStore};

use crate::answer::Answer;
use crate::place::{CONNECTIONS, Place};
use crate::struck::{Point, Struck, When};

const ISSUER: &str = "https://auth.harbor.test";
const LEDGER: &str = "https://auth.harbor.test/ledger";
const CALLBACK: &str = "https://app.harbor.test/cb";
const VERIFIER: &str = "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";
const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Of the client `web`, which has tokens for itself and may introspect everything.
const SECRET: &str = "web-secret-0123456789-0123456789-0123456789";

/// Set for the process that is a node: where it keeps its records.
const PLACE: &str = "TOWER_OAUTH_TEST_PLACE";
/// The test that is a node when it is asked to be.
const NODE: &str = "node::a_node_serves_until_it_is_killed";

/// How long a node may take until it serves, and an answer until it comes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_serves_until_it_is_killed() {
    if let Ok(place) = std::env::var(PLACE) {
        return be_a_node(&serde_json::from_str(&place).unwrap()).await;
    }
    for place in Place::each() {
        let node = Node::start(&place).await;
        let token = node.for_itself().await.ok().member("access_token");
        assert_eq!(node.api(&token).await.status, 200);
        assert_eq!(node.api("toa_nobodys").await.status, 401);
        let base = node.base.clone();
        node.kill().await;
        reqwest::get(base).await.unwrap_err();
        // What was answered is there for the next.
        let next = Node::start(&place).await;
        assert_eq!(next.api(&token).await.status, 200, "{}", place.store);
    }
}

/// Serves until the process is killed, or the one that has started it is gone.
async fn be_a_node(place: &Value) {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("a node has panicked: {panic}");
        std::process::abort()
    }));
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        std::process::exit(0)
    });
    let text = |name: &str| place.get(name).and_then(Value::as_str).unwrap();
    let limit = place.get("limit").and_then(Value::as_u64).unwrap();
    let limit = Duration::from_millis(limit);
    let at = text("at");
    match text("store") {
        "postgres" => {
            let builder = PostgresStore::builder().schema(text("name").parse().unwrap());
            let builder = builder.max_connections(CONNECTIONS).timeout(limit);
            let store = builder.connect(at).await.unwrap();
            store.migrate().await.unwrap();
            serve(store).await
        }
        "redis" => {
            let builder = RedisStore::builder(at).prefix(text("name"));
            serve(builder.time_limit(limit).connect().await.unwrap()).await
        }
        _ => serve(SqliteStore::open(at).await.unwrap()).await,
    }
}

#[derive(Clone)]
struct Host {
    oauth: AuthorizationServer,
    point: Arc<Mutex<Option<Point>>>,
}

async fn serve(store: impl Store) {
    let store = Struck::over(store);
    let point = store.at();
    let oauth = AuthorizationServer::builder(ISSUER)
        .store(store)
        .resource(LEDGER, ["ledger.read"])
        .default_scope("ledger.read")
        .login("/login", |parts| {
            Subject::new(parts.headers.get("x-user")?.to_str().ok()?).ok()
        })
        .build()
        .unwrap();
    let api = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&oauth))
        .build()
        .unwrap();
    create_clients(&oauth).await;
    let host = Host {
        oauth: oauth.clone(),
        point,
    };
    let app = Router::new()
        .route("/api", get(|| async { "the ledger" }))
        .route_layer(api.layer())
        .route("/test/strike/{when}/{write}", post(strike))
        .route("/test/clients", post(clients))
        .route("/test/grants/{person}", get(grants))
        .layer(oauth.layer())
        .with_state(host);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    println!("node: serves http://{address}");
    axum::serve(listener, app).await.unwrap();
}

/// `app` (public; code and refresh), `tv` (public; device), `web`.
async fn create_clients(oauth: &AuthorizationServer) {
    let clients = [
        Client::public("app".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap()),
        Client::public("tv".parse().unwrap())
            .grant_types([GrantType::DeviceCode, GrantType::RefreshToken]),
        Client::confidential("web".parse().unwrap(), &Secret::new(SECRET))
            .grant_types([GrantType::ClientCredentials])
            .introspects(Introspects::Everything),
    ];
    for client in clients {
        // Where they are already, nothing is written.
        oauth.clients().create(client).await.unwrap();
    }
}

async fn strike(State(host): State<Host>, Path((when, write)): Path<(String, usize)>) {
    let when = match when.as_str() {
        "before" => When::Before,
        _ => When::After,
    };
    *host.point.lock().unwrap() = Some(Point { write, when });
}

async fn clients(State(host): State<Host>) {
    create_clients(&host.oauth).await;
}

async fn grants(State(host): State<Host>, Path(person): Path<String>) -> Json<Value> {
    let person = Subject::new(&person).unwrap();
    let grants = host.oauth.grants().by_subject(&person).await.unwrap();
    Json(json!({ "alive": grants.len() }))
}

/// A node that runs. Dropping it kills it.
pub(crate) struct Node {
    process: Child,
    says: tokio::sync::Mutex<Lines<BufReader<ChildStdout>>>,
    pub(crate) base: String,
    http: reqwest::Client,
}

impl Node {
    pub(crate) async fn start(place: &Place) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NODE, "--nocapture"])
            .env(PLACE, place.to_json().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let mut node = Self {
            process,
            says: says.into(),
            base: String::new(),
            http,
        };
        node.base = node.said("node: serves ").await;
        node
    }

    /// What follows these words, as soon as it says them.
    async fn said(&self, begin: &str) -> String {
        let mut says = self.says.lock().await;
        let said = async {
            loop {
                let line = says.next_line().await.unwrap();
                let line = line.expect("it lives until it has said so");
                // The test runner may have begun the line.
                if let Some((_, rest)) = line.split_once(begin) {
                    return rest.to_owned();
                }
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        said.unwrap_or_else(|_| panic!("a node did not say {begin:?}"))
    }

    /// Ends it by SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Lets it strike at a write from now on.
    pub(crate) async fn strike(&self, point: Point) {
        let when = match point.when {
            When::Before => "before",
            When::After => "after",
        };
        let path = format!("/test/strike/{when}/{}", point.write);
        self.post(&path, "").await.ok();
    }

    /// As soon as it has struck.
    pub(crate) async fn struck(&self) {
        self.said("node: struck ").await;
    }

    /// Makes its clients again, after the database has lost them.
    pub(crate) async fn create_clients(&self) {
        self.post("/test/clients", "").await.ok();
    }

    /// How many grants of a person are alive.
    pub(crate) async fn grants(&self, person: &str) -> u64 {
        let answer = self.get(&format!("/test/grants/{person}"), person).await;
        answer
            .ok()
            .json()
            .get("alive")
            .and_then(Value::as_u64)
            .unwrap()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.send().await.unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str, person: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request.header("x-user", person)).await
    }

    fn form(&self, path: &str, form: &str) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(self.form(path, form)).await
    }

    async fn web(&self, path: &str, form: &str) -> Answer {
        let request = self.form(path, form).basic_auth("web", Some(SECRET));
        self.send(request).await
    }

    /// A form, as a browser posts it from a page of ours.
    async fn submit(&self, path: &str, person: &str, form: &str) -> Answer {
        let request = self.form(path, form).header("x-user", person);
        self.send(request.header("sec-fetch-site", "same-origin"))
            .await
    }

    /// An authorization request of `app`, with a person at the browser.
    pub(crate) async fn authorize(&self, person: &str) -> Answer {
        let request = format!(
            "/auth/authorize?response_type=code&client_id=app&redirect_uri={CALLBACK}\
             &code_challenge={CHALLENGE}&code_challenge_method=S256&scope=ledger.read"
        );
        self.get(&request, person).await
    }

    /// Presses a button of the page that asks.
    pub(crate) async fn decide(&self, page: &Answer, person: &str, decision: &str) -> Answer {
        let form = format!(
            "interaction={}&csrf={}&decision={decision}",
            page.hidden("interaction"),
            page.hidden("csrf")
        );
        self.submit("/auth/authorize", person, &form).await
    }

    /// A code of a person for `app`.
    pub(crate) async fn code(&self, person: &str) -> String {
        let mut answer = self.authorize(person).await;
        if answer.status == 200 {
            answer = self.decide(&answer, person, "allow").await;
        }
        answer.parameter("code")
    }

    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        let form = format!(
            "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
        );
        self.post("/auth/token", &form).await
    }

    /// A new grant of a person to `app`.
    pub(crate) async fn tokens(&self, person: &str) -> Answer {
        self.redeem(&self.code(person).await).await.ok()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let form = format!("grant_type=refresh_token&client_id=app&refresh_token={token}");
        self.post("/auth/token", &form).await
    }

    /// A token of `web`.
    pub(crate) async fn for_itself(&self) -> Answer {
        self.web("/auth/token", "grant_type=client_credentials")
            .await
    }

    pub(crate) async fn introspect(&self, token: &str) -> Answer {
        self.web("/auth/introspect", &format!("token={token}"))
            .await
    }

    pub(crate) async fn is_active(&self, token: &str) -> bool {
        let said = self.introspect(token).await.ok().json();
        said.get("active").and_then(Value::as_bool).unwrap()
    }

    /// `web` takes back a token of its own.
    pub(crate) async fn revoke(&self, token: &str) -> Answer {
        self.web("/auth/revoke", &format!("token={token}")).await
    }

    /// The protected API.
    pub(crate) async fn api(&self, token: &str) -> Answer {
        let request = self.http.get(format!("{}/api", self.base));
        self.send(request.bearer_auth(token)).await
    }

    /// What `tv` is told when it wants a device code.
    pub(crate) async fn device(&self) -> Answer {
        self.post("/auth/device", "client_id=tv").await
    }

    /// The page that asks about a device, after a person has typed its code in.
    pub(crate) async fn enter(&self, user_code: &str, person: &str) -> Answer {
        let form = format!("user_code={user_code}");
        let answer = self.submit("/device", person, &form).await;
        self.get(answer.location(), person).await
    }

    /// A device code that a person has approved.
    pub(crate) async fn approved_device(&self, person: &str) -> String {
        let told = self.device().await.ok();
        let page = self.enter(&told.member("user_code"), person).await;
        self.decide(&page, person, "allow").await.ok();
        told.member("device_code")
    }

    pub(crate) async fn poll(&self, device_code: &str) -> Answer {
        let form = format!("grant_type={DEVICE_CODE}&client_id=tv&device_code={device_code}");
        self.post("/auth/token", &form).await
    }
}
