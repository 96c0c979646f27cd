//! What the command line is told when it makes no sense, and how the program begins and ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::example::program;
use crate::support::{AUDIENCE, SECRET};

const NEEDED: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--upstream",
    "http://127.0.0.1:9",
    "--audience",
    AUDIENCE,
];

/// What the program says before it ends, with these flags besides those that are needed.
fn refused(flags: &[&str]) -> String {
    refused_as_it_is(&[&NEEDED, flags].concat())
}

fn refused_as_it_is(flags: &[&str]) -> String {
    let output = Command::new(program("gateway"))
        .args(flags)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{flags:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{flags:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence_that_holds_no_secret() {
    let client = format!("gateway:{SECRET}");
    let (jwt, asked) = ("https://jwt.example", "https://asked.example");
    let credentials = ["--introspect", asked, "--client"];
    for (flags, says) in [
        (vec![], "--jwt or --introspect"),
        (vec!["--introspect", asked], "--client ID:SECRET"),
        (
            vec!["--jwt", jwt, "--client", &client],
            "--client is for --introspect",
        ),
        (
            [&credentials[..], &[SECRET]].concat(),
            "--client is ID:SECRET",
        ),
        (
            [&credentials[..], &[":s3cr3t-of-the-gateway"]].concat(),
            "--client is ID:SECRET",
        ),
        (
            [&credentials[..], &["id:"]].concat(),
            "--client is ID:SECRET",
        ),
        (
            [&credentials[..], &[&client, "--jwt", asked]].concat(),
            "--jwt and --introspect name one issuer",
        ),
        (
            [&credentials[..], &[&client, "--accept-typ-jwt"]].concat(),
            "--accept-typ-jwt is for --jwt",
        ),
        (
            [&credentials[..], &[&client, "--client", &client]].concat(),
            "cannot be used multiple times",
        ),
        (
            [&credentials[..], &[&client, "--cache-ttl", "soon"]].concat(),
            "--cache-ttl",
        ),
        (
            [&credentials[..], &["g\u{e9}teway:s3cr3t-of-the-gateway"]].concat(),
            "client: an identifier",
        ),
        (
            vec!["--jwt", jwt, "--jwt", jwt],
            "the same one was named twice",
        ),
        (
            vec!["--jwt", "http://jwt.example"],
            "http only on 127.0.0.1",
        ),
        (
            vec!["--introspect", "http://10.0.0.1", "--client", &client],
            "http only on 127.0.0.1",
        ),
        (vec!["--jwt", jwt, "--scope", "a b"], "--scope"),
        (
            vec!["--jwt", jwt, "--public", "/"],
            "nothing would be protected",
        ),
        (vec!["--jwt", jwt, "--public", "pub"], "a public path is"),
        (
            vec!["--jwt", jwt, "--public", "/pub/../x"],
            "a public path is",
        ),
        (vec!["--jwt", jwt, "--public", "/a;b"], "a public path is"),
        (vec!["--jwt", jwt, "--timeout", "0"], "--timeout 0"),
    ] {
        let said = refused(&flags);
        assert!(said.contains(says), "{flags:?}: {said}");
        assert!(!said.contains(SECRET), "{flags:?}: {said}");
    }
    for (flag, value, says) in [
        ("--upstream", "ftp://127.0.0.1", "not an http or https URL"),
        ("--upstream", "127.0.0.1:9", "not an http or https URL"),
        ("--upstream", "http://127.0.0.1/?x", "no query"),
        (
            "--audience",
            "http://api.example",
            "--audience http://api.example will not do",
        ),
        (
            "--audience",
            "https://api.example/#x",
            "--audience https://api.example/#x will not do",
        ),
        ("--listen", "nowhere", "--listen"),
    ] {
        let flags = NEEDED
            .chunks(2)
            .filter(|pair| pair[0] != flag)
            .flatten()
            .copied();
        let flags: Vec<_> = flags.chain([flag, value, "--jwt", jwt]).collect();
        let said = refused_as_it_is(&flags);
        assert!(said.contains(says), "{flags:?}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn it_listens_at_once_says_what_to_type_and_ends_when_it_is_asked_to() {
    for signal in ["-INT", "-TERM"] {
        let client = format!("gateway:{SECRET}");
        let mut child = Command::new(program("gateway"))
            .args(NEEDED)
            .args([
                "--introspect",
                "https://nobody.invalid",
                "--client",
                &client,
            ])
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(
            first.starts_with("listening on http://127.0.0.1:"),
            "{first}"
        );
        let curl = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with("curl "));
        assert!(curl.unwrap().contains("http://127.0.0.1:"));
        let kill = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let rest: String = lines.map(Result::unwrap).collect();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        let said = String::from_utf8(output.stderr).unwrap() + &rest;
        assert!(said.contains("asked to end"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}
