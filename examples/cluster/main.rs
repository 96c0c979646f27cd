//! cargo run --example cluster -- postgres://USER:PASSWORD@HOST/DATABASE (or redis://HOST:PORT)
//!
//! Three nodes over one store, each a process of its own: what one of them issues the others know, and what one revokes is dead at all.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it shows what happens, and how soon"
)]

mod node;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::Value;

use node::Node;

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "say where the store is that the nodes share: postgres://USER:PASSWORD@HOST/DATABASE or redis://HOST:PORT";

/// The pair of RFC 7636, appendix B. A real client makes a new one for each request.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// How long a revocation may take to be heard of everywhere.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
#[expect(clippy::print_stderr, reason = "says why it ends")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}"));
            eprintln!("cluster: {error}{}", cause.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [store] => show(store).await,
        // How it starts itself.
        ["node", store] => node::serve(store).await,
        _ => Err(USAGE.into()),
    }
}

async fn show(store: &str) -> Result<(), Failure> {
    let [one, two, three] = [
        Node::start(store)?,
        Node::start(store)?,
        Node::start(store)?,
    ];
    let http = Client::builder()
        .redirect(redirect::Policy::none())
        .build()?;
    println!(
        "three nodes: {}, {} and {}",
        one.base(),
        two.base(),
        three.base()
    );

    let code = authorize(&http, &one).await?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    let issued = post(&http, &one, "token", &form).await?;
    let (access, refresh) = (
        text(&issued, "access_token")?,
        text(&issued, "refresh_token")?,
    );
    println!("node 1 issues an access token and a refresh token");
    for (number, node) in [(1, &one), (2, &two), (3, &three)] {
        println!(
            "node {number} takes the access token: {}",
            ask(&http, node, access).await?
        );
    }

    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let refreshed = post(&http, &two, "token", &form).await?;
    let newer = text(&refreshed, "access_token")?;
    println!("node 2 refreshes");
    println!(
        "node 1 takes the new access token: {}",
        ask(&http, &one, newer).await?
    );

    let form = [("token", text(&refreshed, "refresh_token")?)];
    post(&http, &three, "revoke", &form).await?;
    println!("node 3 revokes");
    let revoked = Instant::now();
    while ask(&http, &one, newer).await? != StatusCode::UNAUTHORIZED {
        if revoked.elapsed() > PATIENCE {
            return Err("node 1 has not heard of the revocation".into());
        }
    }
    println!(
        "node 1 refuses both access tokens: {}, {} ms later",
        ask(&http, &one, access).await?,
        revoked.elapsed().as_millis()
    );
    Ok(())
}

/// A code from the owner, who says yes to everything here.
async fn authorize(http: &Client, node: &Node) -> Result<String, Failure> {
    let query = [
        ("response_type", "code"),
        ("client_id", node::CLIENT),
        ("scope", "notes:read"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let request = http.get(node.at("/auth/authorize")).query(&query);
    let mut answer = request.send().await?;
    // First to where the request is kept, and then to the client.
    loop {
        let location = answer.headers().get("location").ok_or("sent nowhere")?;
        let url = Url::parse(&node.at("/"))?.join(location.to_str()?)?;
        if let Some((_, code)) = url.query_pairs().find(|(name, _)| name == "code") {
            return Ok(code.into_owned());
        }
        answer = http.get(url).send().await?;
    }
}

async fn post(
    http: &Client,
    node: &Node,
    endpoint: &str,
    form: &[(&str, &str)],
) -> Result<Value, Failure> {
    let form: Vec<_> = form.iter().chain(&[("client_id", node::CLIENT)]).collect();
    let request = http.post(node.at(&format!("/auth/{endpoint}"))).form(&form);
    let answer = request.send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?).unwrap_or_default())
}

/// What the API of a node says to a token.
async fn ask(http: &Client, node: &Node, token: &str) -> Result<StatusCode, Failure> {
    let request = http.get(node.at("/notes")).bearer_auth(token);
    Ok(request.send().await?.status())
}

fn text<'a>(answer: &'a Value, member: &str) -> Result<&'a str, Failure> {
    let text = answer.get(member).and_then(Value::as_str);
    text.ok_or_else(|| format!("no {member} in {answer}").into())
}
