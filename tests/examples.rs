//! The examples that no other test starts: each serves, protects, and says what it is.

#[path = "support/example.rs"]
mod example;

use example::Example;
use serde_json::Value;

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
