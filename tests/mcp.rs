//! The way of an MCP client: the published MCP software against the demo, from a 401 to a call and a refresh.
//!
//! Needs `node` and `npm`. Where they are missing it is skipped, and says so; in CI that is a failure.

#[path = "support/example.rs"]
mod example;
#[path = "support/npm.rs"]
mod npm;

use std::process::Command;

use example::Example;
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
