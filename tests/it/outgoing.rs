//! Whatever a client registers or sends, the server calls nobody.

use std::io::ErrorKind;
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::in_process::send;
use crate::jwt::ledger;
use crate::register::{body, open};
use crate::support::{FOR_ITSELF, Harness, SECRET, authorization_request, changed};

/// A port of this computer that nobody is meant to call.
struct Trap {
    listener: TcpListener,
    address: String,
}

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, address }
    }

    /// How many have called: a call waits in the queue until it is taken.
    fn calls(&self) -> usize {
        let calls = std::iter::from_fn(|| match self.listener.accept() {
            Ok(call) => Some(call),
            Err(none) if none.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        calls.count()
    }
}

/// A signed text whose header says that its key is to be fetched.
fn jwt(address: &str, claims: &serde_json::Value) -> String {
    let header = json!({
        "alg": "ES256", "typ": "at+jwt", "kid": format!("{address}/kid"), "jku": format!("{address}/jku"), "x5u": format!("{address}/x5u"),
    });
    let parts = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{}.{}", parts.join("."), URL_SAFE_NO_PAD.encode([7; 64]))
}

/// Registers a client that names the address wherever it can, and brings it to a person, to the token endpoint and to a resource.
async fn name_everywhere(server: &Harness, address: &str) {
    let at = |name: &str| format!("{address}/{name}");
    let claims = json!({"iss": address, "sub": address, "aud": address, "jwks_uri": at("jwks")});
    let token = jwt(address, &claims);
    let members = json!({
        "client_name": "Caller", "client_uri": address, "logo_uri": at("logo"), "tos_uri": at("tos"), "policy_uri": at("policy"),
        "jwks_uri": at("jwks"), "sector_identifier_uri": at("sector"), "request_uris": [at("request")], "initiate_login_uri": at("login"),
        "backchannel_logout_uri": at("logout"), "backchannel_client_notification_endpoint": at("notify"),
        "software_statement": jwt(address, &claims), "client_id": at("client.json"),
        "application_type": "web",
    });
    let members = members.to_string();
    let inner = members.trim_start_matches('{').trim_end_matches('}');
    let answer = server.register(&body(inner)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let client = answer.member("client_id");

    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let (request_uri, statement): (String, String) = (encode(&at("request")), encode(&token));
    let client_as_url: String = encode(&at("client.json"));
    for request in [
        authorization_request(&client, ""),
        authorization_request(&client, &format!("&request_uri={request_uri}")),
        authorization_request(&client, &format!("&request={statement}")),
        authorization_request("app", &format!("&request_uri={request_uri}")),
        authorization_request("app", &format!("&id_token_hint={statement}")),
        authorization_request(&client_as_url, ""),
        changed(&[("redirect_uri", Some(&request_uri))]),
        changed(&[("resource", Some(&request_uri))]),
    ] {
        server.allow(&request).await;
    }
    let asserts = format!(
        "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={statement}"
    );
    for form in [
        format!("{FOR_ITSELF}&{asserts}&client_id={client}"),
        format!("{FOR_ITSELF}&client_id={client_as_url}"),
        format!("{FOR_ITSELF}&client_id=web&client_secret={SECRET}&resource={request_uri}"),
        format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={statement}"),
    ] {
        server.post("/auth/token", &form).await;
    }
    assert!(!server.is_active(&token).await);
    send(&ledger(server), &token)
        .await
        .error(401, "invalid_token");
}

#[tokio::test]
async fn s12_nothing_that_a_client_registers_or_sends_makes_the_server_open_a_socket() {
    let trap = Trap::new();
    let port = trap.listener.local_addr().unwrap().port();
    let server = open().await;
    for address in [
        trap.address.clone(),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://2130706433:{port}"),
        format!("http://0x7f.1:{port}"),
        format!("http://0:{port}"),
    ] {
        name_everywhere(&server, &address).await;
    }
    // Were it done behind the answers, it would be under way by now.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(trap.calls(), 0);
    // The trap itself works.
    drop(std::net::TcpStream::connect(trap.listener.local_addr().unwrap()).unwrap());
    assert_eq!(trap.calls(), 1);
}
