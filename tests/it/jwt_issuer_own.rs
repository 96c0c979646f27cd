//! One half of the crate takes the JWTs of the other, whose keys it finds through a socket.

use std::time::Duration;

use tokio::net::TcpListener;
use tower_oauth::server::AccessTokenFormat;
use tower_oauth::types::SigningAlgorithm;
use tower_oauth::{AuthorizationServer, Issuer};

use crate::publisher::Api;
use crate::support::{FILES, FOR_ITSELF, Harness, LEDGER, NOW, SECRET};
use crate::waits::until;

/// A server that listens where its name says, and a resource server that knows its name alone. Both have the same clock.
async fn both(path: &str, algorithm: SigningAlgorithm) -> (Harness, Api) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}{path}", listener.local_addr().unwrap());
    let builder = AuthorizationServer::builder(&issuer)
        .access_token_format(AccessTokenFormat::Jwt(algorithm))
        .access_token_lifetime(Duration::from_secs(600))
        .publish_keys_ahead(Duration::from_secs(1800))
        .resource(LEDGER, ["ledger.read", "ledger.write"])
        .resource(FILES, ["files.read"]);
    let server = Harness::of(builder).await;
    let app = axum::Router::new().layer(server.oauth.layer());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let api = Api::of(|builder| {
        builder
            .clock(server.clock.clone())
            .issuer(Issuer::jwt(&issuer))
    });
    let api = Api {
        clock: server.clock.clone(),
        ..api
    };
    (server, api)
}

async fn job(server: &Harness) -> String {
    job_at("", server, FOR_ITSELF).await
}

async fn job_at(path: &str, server: &Harness, form: &str) -> String {
    let path = format!("{path}/auth/token");
    let answer = server.post_as(&path, ("web", SECRET), form).await;
    answer.access_token()
}

// req: 9068-4-2
#[tokio::test]
async fn rfc9068_4_jwts_of_our_own_server_are_taken_by_who_knows_its_name_alone() {
    for (path, algorithm) in [
        ("", SigningAlgorithm::Es256),
        ("/t/acme", SigningAlgorithm::EdDsa),
        ("", SigningAlgorithm::Rs256),
    ] {
        let (server, api) = both(path, algorithm).await;
        let token = job_at(path, &server, FOR_ITSELF).await;
        let facts = api.check(&token).await.unwrap();
        assert_eq!(facts.subject().as_str(), "web");
        assert_eq!(facts.issued_at(), Some(NOW));
        assert!(facts.owner().is_none() && facts.has_scope("ledger.read"));
        let files = "grant_type=client_credentials&scope=files.read";
        let files = job_at(path, &server, files).await;
        api.is_invalid(&files).await;
        server.advance(630);
        api.is_invalid(&token).await;
    }
}

// req: jwks-rotation-2
#[tokio::test]
async fn a_rotation_is_noticed_before_the_new_key_signs_and_a_removed_key_ends_its_tokens() {
    let (server, api) = both("", SigningAlgorithm::Es256).await;
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let first = job(&server).await;
    assert!(api.is_good(&first).await);
    server.oauth.signing_keys().rotate().await.unwrap();
    // Its keys are fetched every quarter of an hour; it signs with the new one after half an hour.
    for _ in 0..4 {
        server.advance(450);
        assert!(api.is_good(&job(&server).await).await);
    }
    let second = job(&server).await;
    assert_ne!(kid(&first), kid(&second), "it has begun");
    assert!(api.is_good(&second).await);
    // A key that its owner takes back at once: whoever is sent a token by its successor asks for that, and the old one ends.
    server
        .oauth
        .signing_keys()
        .remove(&kid(&second))
        .await
        .unwrap();
    let third = job(&server).await;
    assert_ne!(kid(&second), kid(&third));
    until("the end of the old key", async || {
        server.advance(10);
        let token = job(&server).await;
        api.is_good(&token).await && !api.is_good(&second).await
    })
    .await;
    api.is_invalid(&second).await;
}
