//! The example `cluster`, as it is.

use std::process::{Command, Output};

use crate::example::program;
use crate::shared_stores;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("cluster"));
    command.args(arguments).output().unwrap()
}

#[tokio::test]
async fn the_example_shows_a_token_that_three_nodes_know_and_one_revokes() {
    for store in shared_stores::each().await {
        // Again on what the first run has left.
        for _ in 0..2 {
            let ended = run(&[&store]);
            let said = String::from_utf8(ended.stdout).unwrap();
            let errors = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "{said}{errors}");
            let lines: Vec<_> = said.lines().collect();
            let expected = [
                "three nodes: http://127.0.0.1:",
                "node 1 issues an access token and a refresh token",
                "node 1 takes the access token: 200",
                "node 2 takes the access token: 200",
                "node 3 takes the access token: 200",
                "node 2 refreshes",
                "node 1 takes the new access token: 200",
                "node 3 revokes",
                "node 1 refuses both access tokens: 401",
            ];
            assert_eq!(lines.len(), expected.len(), "{said}");
            for (line, begins) in lines.iter().zip(expected) {
                assert!(line.starts_with(begins), "{said}");
            }
        }
    }
}

#[test]
fn the_example_says_what_it_wants_and_what_was_wrong_with_it() {
    for arguments in [&[][..], &["memory:"], &["redis://127.0.0.1:9"]] {
        let ended = run(arguments);
        assert_eq!(ended.status.code(), Some(1));
        let said = String::from_utf8(ended.stderr).unwrap();
        let expected = match arguments {
            [store] if store.starts_with("redis") => "Redis cannot be reached",
            _ => "say where the store is that the nodes share",
        };
        assert!(said.contains(expected), "{said}");
    }
}
