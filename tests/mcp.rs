//! The way of an MCP client: the published MCP software against the demo, from a 401 to a call and a refresh.
//!
//! Needs `node` and `npm`. Where they are missing it is skipped, and says so; in CI that is a failure.

#[path = "support/example.rs"]
mod example;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use example::Example;
use serde_json::Value;

#[test]
fn an_mcp_client_gets_from_a_401_to_a_call_by_itself() {
    let Some(client) = install() else {
        return;
    };
    let demo = Example::start("demo", &["--listen", "127.0.0.1:0", "--store", "memory:"]);
    let output = run(
        Command::new("node").arg("client.mjs").arg(demo.base()),
        &client,
    )
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

/// Copies `tests/mcp` into the target folder and installs the SDK there, once for each lock file. `None` if this is to be skipped.
fn install() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("mcp-client");
    fs::create_dir_all(&target).expect("the target folder can be written");
    for file in ["package.json", "package-lock.json", "client.mjs"] {
        fs::copy(source.join(file), target.join(file)).expect("the target folder can be written");
    }
    let lock = fs::read(source.join("package-lock.json")).expect("it was copied");
    let installed = target.join("installed");
    let is_installed = fs::read(&installed).is_ok_and(|stands| stands == lock);
    if !is_installed {
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let output = match run(Command::new("npm").args(npm), &target) {
            Err(e) if env::var_os("CI").is_none() => {
                // Past the capture of the test runner: whoever asked for it is to see it.
                writeln!(io::stderr(), "\nSKIPPED: no MCP client was tried: npm: {e}\n").ok();
                return None;
            }
            other => other.expect(
                "npm is needed for the MCP client: install Node.js with npm (Debian: `apt-get install nodejs npm`)",
            ),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm ci failed:\n{said}");
        fs::write(&installed, lock).expect("the target folder can be written");
    }
    Some(target)
}

fn run(command: &mut Command, folder: &Path) -> io::Result<Output> {
    command.current_dir(folder).output()
}
