//! The program that the README shows, with the requests that it prints.

#[path = "support/example.rs"]
mod example;

use example::Example;
use serde_json::Value;

#[tokio::test]
async fn the_printed_lines_get_a_token_and_then_the_notes() {
    let quickstart = Example::start("quickstart", &["127.0.0.1:0"]);
    let (base, http) = (quickstart.base(), reqwest::Client::new());

    let stranger = http.get(format!("{base}/notes")).send().await.unwrap();
    assert_eq!(stranger.status(), 401);

    let request = http
        .post(format!("{base}/auth/token"))
        .basic_auth("nightly", Some("s3cr3t"))
        .form(&[("grant_type", "client_credentials")]);
    let answer = request.send().await.unwrap().text().await.unwrap();
    let token = answer.split('"').nth(3).unwrap(); // as `cut` does it
    let json: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(json["access_token"], token, "{answer}");

    let request = http.get(format!("{base}/notes")).bearer_auth(token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "the notes of nightly\n");
}

#[test]
fn the_readme_shows_the_program_that_is_run_here() {
    let readme = include_str!("../README.md");
    let program = include_str!("../examples/quickstart.rs").trim_end();
    assert!(readme.contains(program), "README.md shows another program");
}
