//! The examples that no other test starts: each serves, protects, and says what it is.

#[path = "../examples/custom_store.rs"]
#[expect(dead_code, reason = "its server is started as a process")]
mod custom_store;
#[path = "support/example.rs"]
mod example;
#[path = "support/raw_grpc.rs"]
mod raw_grpc;

use std::io::Write as _;

use example::Example;
use serde_json::Value;
use tonic::Code;
use tower_oauth::store::conformance;

#[tokio::test]
async fn each_example_serves_its_metadata_and_protects_its_notes() {
    for name in ["hyper", "all_in_one"] {
        let program = Example::start(name, &["127.0.0.1:0"]);
        let (base, http) = (program.base(), reqwest::Client::new());
        let metadata = format!("{base}/.well-known/oauth-authorization-server");
        let metadata: Value = http
            .get(metadata)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(metadata["issuer"], base, "{name}");
        let stranger = http.get(format!("{base}/notes")).send().await.unwrap();
        assert_eq!(stranger.status(), 401, "{name}");
        let challenge = stranger.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer "), "{name}: {challenge}");
    }
}

// req: 6749-10.12-1, http-csrf-1
#[tokio::test]
async fn no_other_site_signs_anybody_in_at_an_example() {
    let redirect = reqwest::redirect::Policy::none();
    let http = reqwest::Client::builder()
        .redirect(redirect)
        .build()
        .unwrap();
    for (name, path) in [
        ("axum_login", "/login"),
        ("forward", "/login"),
        ("spa", "/session"),
        ("mcp_server", "/login"),
        ("all_in_one", "/login"),
    ] {
        let program = Example::start(name, &["127.0.0.1:0"]);
        let enter = async |from: Option<&str>| {
            let form = [
                ("name", "mallory"),
                ("username", "alice"),
                ("password", "wonderland"),
            ];
            let request = http.post(format!("{}{path}?interaction=x", program.base()));
            let request = request.form(&form);
            let request = match from {
                Some(site) => request.header("sec-fetch-site", site),
                None => request,
            };
            let answer = request.send().await.unwrap();
            let has_session = answer.headers().contains_key("set-cookie");
            (answer.status().as_u16(), has_session)
        };
        assert_eq!(enter(Some("same-origin")).await, (303, true), "{name}");
        for from in [Some("cross-site"), Some("same-site"), Some("none"), None] {
            assert_eq!(enter(from).await, (403, false), "{name} {from:?}");
        }
    }
}

#[tokio::test]
async fn plain_hyper_gives_a_token_and_takes_it() {
    let program = Example::start("hyper", &["127.0.0.1:0"]);
    let (base, http) = (program.base(), reqwest::Client::new());
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "notes:read"),
    ];
    let request = http.post(format!("{base}/auth/token")).form(&form);
    let request = request.basic_auth("service", Some("service-secret"));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let answer = http
        .get(format!("{base}/notes"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), "the notes of service\n");
}

#[tokio::test]
async fn the_example_that_checks_jwts_takes_those_of_the_demo_and_of_nobody_else() {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--store",
        "memory:",
        "--access-token",
        "jwt",
    ];
    let (demo, other) = (
        Example::start("demo", &arguments),
        Example::start("demo", &arguments),
    );
    let program = Example::start("resource_jwt", &["127.0.0.1:0", demo.base()]);
    let (base, http) = (program.base(), reqwest::Client::new());
    let token = async |demo: &Example| {
        let form = [("grant_type", "client_credentials")];
        let request = http.post(format!("{}/auth/token", demo.base())).form(&form);
        let request = request.basic_auth("demo-job", Some("demo-job-secret"));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let get = async |token: &str| {
        let request = http.get(format!("{base}/notes")).bearer_auth(token);
        request.send().await.unwrap()
    };
    let good = token(&demo).await;
    assert_eq!(good.split('.').count(), 3);
    let taken = get(&good).await;
    assert_eq!(taken.status(), 200);
    let text = taken.text().await.unwrap();
    assert!(text.starts_with("the notes of demo-job"), "{text}");
    for bad in [token(&other).await, format!("{good}A"), "x".to_owned()] {
        assert_eq!(get(&bad).await.status(), 401);
    }
    drop(demo);
    assert_eq!(get(&good).await.status(), 200, "its keys are known");
    let lonely = Example::start("resource_jwt", &["127.0.0.1:0", other.base()]);
    let token = token(&other).await;
    drop(other);
    let request = http.get(format!("{}/notes", lonely.base()));
    let unavailable = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(unavailable.status(), 503);
    assert!(unavailable.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn the_introspecting_example_takes_the_tokens_of_the_demo_and_outlives_it() {
    let demo = Example::start("demo", &["--listen", "127.0.0.1:0", "--store", "memory:"]);
    let program = Example::start("resource_introspection", &["127.0.0.1:0", demo.base()]);
    let (base, http) = (program.base(), reqwest::Client::new());
    let form = [("grant_type", "client_credentials")];
    let request = http
        .post(format!("{}/auth/token", demo.base()))
        .form(&form)
        .basic_auth("demo-job", Some("demo-job-secret"));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let get = async |token: &str| {
        let request = http.get(format!("{base}/notes")).bearer_auth(token);
        request.send().await.unwrap()
    };
    let taken = get(token).await;
    assert_eq!(taken.status(), 200);
    let text = taken.text().await.unwrap();
    assert!(text.starts_with("the notes of demo-job"), "{text}");
    assert_eq!(
        http.get(format!("{base}/notes"))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let unknown = format!("toa_{}", "A".repeat(51));
    assert_eq!(get(&unknown).await.status(), 401);
    drop(demo);
    let other = format!("toa_{}", "B".repeat(51));
    let unavailable = get(&other).await;
    assert_eq!(unavailable.status(), 503);
    assert!(unavailable.headers().contains_key("retry-after"));
    assert_eq!(get("x").await.status(), 401, "that was never one of theirs");
}

#[tokio::test]
async fn the_service_of_grpc_takes_the_tokens_of_the_demo_and_refuses_in_its_own_words() {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--store",
        "memory:",
        "--access-token",
        "jwt",
    ];
    let demo = Example::start("demo", &arguments);
    let program = Example::start("tonic_service", &["127.0.0.1:0", demo.base()]);
    let http = reqwest::Client::new();
    let token = async |scope: &str| {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = http.post(format!("{}/auth/token", demo.base())).form(&form);
        let request = request.basic_auth("demo-job", Some("demo-job-secret"));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let run = async |command: &'static str, token: Option<&str>| {
        let client = raw_grpc::connect(program.base()).await;
        raw_grpc::unary(client, "/notes.Notes/Run", command, token).await
    };
    let good = token("notes:read").await;
    let text = run("list", Some(&good)).await.unwrap();
    assert_eq!(text, "the notes of demo-job");
    for (command, token, code, message) in [
        (
            "list",
            None,
            Code::Unauthenticated,
            "no bearer token was sent",
        ),
        (
            "list",
            Some("x"),
            Code::Unauthenticated,
            "the access token is expired, revoked, unknown or not meant for this resource",
        ),
        (
            "delete",
            Some(good.as_str()),
            Code::PermissionDenied,
            "the request needs a wider scope than the access token has",
        ),
    ] {
        let status = run(command, token).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
        assert!(status.metadata().contains_key("www-authenticate"));
    }
    let lonely = Example::start("tonic_service", &["127.0.0.1:0", demo.base()]);
    drop(demo);
    let client = raw_grpc::connect(lonely.base()).await;
    let status = raw_grpc::unary(client, "/notes.Notes/Run", "list", Some(&good)).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "the access token cannot be checked at the moment"
    );
}

struct Journals(tempfile::TempDir);

impl Journals {
    fn open(&self) -> custom_store::JournalStore {
        let journal = self.0.path().join("journal");
        custom_store::JournalStore::open(&journal).expect("nobody else has it open")
    }
}

impl conformance::Stores for Journals {
    type Store = custom_store::JournalStore;

    async fn fresh(&self) -> Self::Store {
        // There is none before the first.
        let _ = std::fs::remove_file(self.0.path().join("journal"));
        self.open()
    }

    async fn reopen(&self, store: Self::Store) -> Option<Self::Store> {
        drop(store);
        Some(self.open())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_custom_store_passes_the_suite() {
    conformance::run(&Journals(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn the_custom_store_serves_and_keeps_its_tokens_when_it_is_killed() {
    let journals = Journals(tempfile::tempdir().unwrap());
    let journal = journals.0.path().join("journal");
    let journal = journal.to_str().unwrap();
    let program = Example::start("custom_store", &["127.0.0.1:0", journal]);
    let (base, http) = (program.base().to_owned(), reqwest::Client::new());
    let form = [("grant_type", "client_credentials")];
    let request = http.post(format!("{base}/auth/token")).form(&form);
    let request = request.basic_auth("nightly", Some("s3cr3t"));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    drop(program);
    // A write that was cut off.
    let mut torn = std::fs::File::options().append(true).open(journal).unwrap();
    torn.write_all(b"[\"access_token\",[1,2").unwrap();

    let address = base.trim_start_matches("http://");
    let _program = Example::start("custom_store", &[address, journal]);
    let http = reqwest::Client::new(); // the connections of the other have ended
    let request = http.get(format!("{base}/notes")).bearer_auth(token);
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "the notes of nightly\n");
}

#[test]
fn the_custom_store_is_a_page_or_two() {
    let text = include_str!("../examples/custom_store.rs");
    let store = text.split("#[tokio::main]").next().unwrap();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = store.lines().filter(is_code).count();
    assert!((100..150).contains(&lines), "{lines} lines of code");
}

#[test]
fn the_program_for_the_command_line_says_what_is_wrong_with_an_issuer_and_why() {
    let said = |issuer: &str| {
        let mut program = std::process::Command::new(example::program("device_cli"));
        let ended = program.arg(issuer).output().unwrap();
        assert!(!ended.status.success(), "{issuer}");
        String::from_utf8(ended.stderr).unwrap()
    };
    let text = said("nonsense");
    assert!(text.contains("nonsense is no issuer"), "{text}");
    // Nobody listens where somebody has just stopped to.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let text = said(&gone);
    assert!(text.contains("refused"), "{text}");
    // With a slash behind it its metadata are found; they say that nobody may register there.
    let program = Example::start("hyper", &["127.0.0.1:0"]);
    let text = said(&format!("{}/", program.base()));
    assert!(text.contains("missing field"), "{text}");
}
