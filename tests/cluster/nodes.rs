//! Nodes over one store, and what is asked of them.

use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde_json::Value;

use crate::app::App;
use crate::example::Example;

/// What clients call all of them.
pub(crate) const ISSUER: &str = "http://localhost";

/// How long anything may take that is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A demo, as a process of its own.
pub(crate) struct Node {
    process: Example,
    pub(crate) http: Client,
}

impl Node {
    pub(crate) fn start(store: &str, arguments: &[&str]) -> Self {
        let fixed = [
            ["--listen", "127.0.0.1:0"],
            ["--issuer", ISSUER],
            ["--store", store],
        ];
        let arguments: Vec<_> = fixed
            .as_flattened()
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        Self {
            process: Example::start("demo", &arguments),
            http: Client::builder().timeout(PATIENCE).build().unwrap(),
        }
    }

    /// So many, all at once.
    pub(crate) fn start_all(count: usize, store: &str, arguments: &[&str]) -> Vec<Self> {
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count)
                .map(|_| scope.spawn(|| Self::start(store, arguments)))
                .collect();
            starting
                .into_iter()
                .map(|node| node.join().unwrap())
                .collect()
        })
    }

    pub(crate) fn base(&self) -> &str {
        self.process.base()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    /// The app with this id, at this node.
    pub(crate) fn app(&self, client_id: &str) -> App {
        App::new(self.base(), client_id)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(self.at(path)).send().await.unwrap()
    }

    /// The status of the protected API for a token.
    pub(crate) async fn status(&self, token: &str) -> u16 {
        let request = self.http.get(self.at("/api/whoami")).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }

    /// Whether the API takes the token.
    pub(crate) async fn takes(&self, token: &str) -> bool {
        let status = self.status(token).await;
        assert!(matches!(status, 200 | 401), "{status}");
        status == 200
    }

    /// How long it takes until the token is refused.
    pub(crate) async fn refuses_within(&self, limit: Duration, token: &str) -> Duration {
        let begun = Instant::now();
        while self.takes(token).await {
            let waited = begun.elapsed();
            assert!(waited < limit, "taken after {waited:?} at {}", self.base());
        }
        begun.elapsed()
    }

    /// What the token endpoint answers.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(self.at("/auth/token")).form(form);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A token of the job, for itself.
    pub(crate) async fn job(&self) -> String {
        let request = self.http.post(self.at("/auth/token"));
        let request = request.basic_auth("demo-job", Some("demo-job-secret"));
        let request = request.form(&[("grant_type", "client_credentials")]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Revokes a token of the job.
    pub(crate) async fn revoke_of_job(&self, token: &str) {
        let request = self.http.post(self.at("/auth/revoke"));
        let request = request.basic_auth("demo-job", Some("demo-job-secret"));
        let answer = request.form(&[("token", token)]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let request = self.http.post(self.at("/auth/introspect"));
        let request = request.basic_auth("demo-api", Some("demo-api-secret"));
        let answer = request.form(&[("token", token)]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }
}
