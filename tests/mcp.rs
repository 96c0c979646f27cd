//! The way of an MCP client: the published MCP software, from a 401 to a call and a refresh. That of JavaScript against the demo, that of
//! Rust against the example `mcp_server`.
//!
//! The first needs `node` and `npm`. Where they are missing it is skipped, and says so; in CI that is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/example.rs"]
mod example;
#[path = "support/npm.rs"]
mod npm;

use std::process::Command;

use browser::Browser;
use example::Example;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{Peer, RoleClient};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ServiceExt as _, object};
use serde_json::Value;

#[test]
fn an_mcp_client_gets_from_a_401_to_a_call_by_itself() {
    let Some(client) = npm::install("mcp", &["client.mjs"]) else {
        return;
    };
    let demo = Example::start("demo", &["--listen", "127.0.0.1:0", "--store", "memory:"]);
    let output = Command::new("node")
        .arg("client.mjs")
        .arg(demo.base())
        .current_dir(&client)
        .output()
        .expect("npm was there, so node is");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: Value = serde_json::from_str(printed.trim()).expect("one line of JSON");
    for call in ["before", "after"] {
        let whoami = &answer[call];
        assert!(whoami["sub"].is_string(), "{answer}");
        assert_eq!(whoami["client_id"], answer["client_id"], "{answer}");
        // The challenge names this scope: the client asks for it and no other.
        assert_eq!(whoami["scope"], "notes:read", "{answer}");
    }
    assert_eq!(
        answer["before"], answer["after"],
        "a refresh changes nothing"
    );
}

/// Nobody listens there: the browser is stopped before it goes.
const REDIRECT_URI: &str = "http://127.0.0.1:47813/callback";

#[tokio::test]
async fn the_mcp_server_is_found_asked_for_and_called_by_the_sdk_of_rust() {
    let server = Example::start("mcp_server", &["127.0.0.1:0"]);
    let mcp = format!("{}/mcp", server.base());
    let (ada, challenge) = connect(
        &mcp,
        "ada",
        AuthorizationRequest::with_initial_scope_selection,
    )
    .await;
    assert!(challenge.contains("resource_metadata=\""), "{challenge}");
    // What the challenge names is asked for first, and is enough to read.
    assert_eq!(call(&ada, "list_notes", None).await.unwrap(), "ada: ");
    let refused = call(&ada, "add_note", Some("Buy milk")).await.unwrap_err();
    assert!(refused.contains("notes:write"), "{refused}");

    // By default the SDK asks for all that the metadata names.
    let (bob, _) = connect(&mcp, "bob", |request| request).await;
    let written = call(&bob, "add_note", Some("Buy milk")).await;
    assert_eq!(written.unwrap(), "written down");
    let bobs = call(&bob, "list_notes", None).await;
    assert_eq!(bobs.unwrap(), "bob: Buy milk");
    assert_eq!(call(&ada, "list_notes", None).await.unwrap(), "ada: ");
}

/// A client that begins with nothing but the server's address, and the challenge that it met there.
async fn connect(
    mcp: &str,
    name: &str,
    choose: impl FnOnce(AuthorizationRequest) -> AuthorizationRequest,
) -> (Peer<RoleClient>, String) {
    let stranger = reqwest::Client::new().post(mcp).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let challenge = stranger.headers()["www-authenticate"].to_str().unwrap();
    let request = AuthorizationRequest::new(REDIRECT_URI)
        .with_client_name("An assistant")
        .with_challenge(challenge);
    let mut oauth = OAuthState::new(mcp, None).await.unwrap();
    oauth.start_authorization(choose(request)).await.unwrap();
    let there = asked(&oauth.get_authorization_url().await.unwrap(), name).await;
    oauth.handle_callback_url(&there).await.unwrap();

    let manager = oauth.into_authorization_manager().unwrap();
    let client = AuthClient::new(reqwest::Client::new(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(mcp);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let running = ().serve(transport).await.unwrap();
    let peer = running.peer().clone();
    tokio::spawn(running.waiting());
    (peer, challenge.to_owned())
}

/// What the person does at the browser. Gives the address that it is sent to in the end.
async fn asked(url: &str, name: &str) -> String {
    let browser = Browser::new();
    let login = browser.open(url).await;
    let consent = browser.submit(&login, &[("Name", name)], "Sign in").await;
    assert_eq!(consent.status, 200);
    assert!(consent.html.contains("An assistant"), "{consent:?}");
    let there = browser.submit(&consent, &[], "Allow").await;
    assert!(there.parameter("code").is_some(), "{there:?}");
    there.url.into()
}

/// The text of the answer, or of the error.
async fn call(
    peer: &Peer<RoleClient>,
    tool: &'static str,
    text: Option<&str>,
) -> Result<String, String> {
    let mut request = CallToolRequestParams::new(tool);
    if let Some(text) = text {
        request = request.with_arguments(object!({ "text": text }));
    }
    let answer = peer.call_tool(request).await.map_err(|e| e.to_string())?;
    let text = answer.content[0].as_text().unwrap();
    Ok(text.text.clone())
}
