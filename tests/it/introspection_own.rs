//! One half of the crate asks the other, through a socket.

use tokio::net::TcpListener;
use tower_oauth::resource::{OpaqueIssuer, Refusal, ResourceServer};
use tower_oauth::server::AccessTokenFormat;
use tower_oauth::types::SigningAlgorithm;
use tower_oauth::{AccessToken, Issuer};

use crate::support::{FOR_ITSELF, Harness, ISSUER, LEDGER};

const RS_SECRET: &str = "rs-secret-0123456789-0123456789-0123456789";

struct Both {
    server: Harness,
    endpoint: String,
}

impl Both {
    async fn start(server: Harness) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/auth/introspect", listener.local_addr().unwrap());
        let app = axum::Router::new().layer(server.oauth.layer());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { server, endpoint }
    }

    fn api(&self, more: impl FnOnce(OpaqueIssuer) -> OpaqueIssuer) -> ResourceServer {
        let issuer = Issuer::opaque(ISSUER)
            .client("rs", RS_SECRET)
            .endpoint(&self.endpoint)
            .token_prefix("toa_");
        ResourceServer::builder(LEDGER)
            .issuer(more(issuer))
            .clock(self.server.clock.clone())
            .build()
            .unwrap()
    }

    async fn check(&self, api: &ResourceServer, token: &str) -> Result<AccessToken, Refusal> {
        api.authenticate(token).await
    }
}

async fn takes_and_refuses(server: Harness) {
    let both = Both::start(server).await;
    let api = both.api(|issuer| issuer);
    let (token, _) = both.server.tokens("").await.pair();
    let checked = both.check(&api, &token).await.unwrap();
    assert_eq!(checked.subject().as_str(), "alice");
    assert_eq!(checked.client_id().unwrap().as_str(), "app");
    assert!(checked.has_scope("ledger.read"));
    assert_eq!(checked.issuer().as_str(), ISSUER);
    assert!(checked.jti().is_some() && checked.issued_at().is_some());

    let job = both.server.web(FOR_ITSELF).await.access_token();
    let checked = both.check(&api, &job).await.unwrap();
    assert_eq!(checked.subject().as_str(), "web");
    assert!(checked.owner().is_none());

    // For another resource, of which this resource server may not even know; unknown; revoked.
    let files = "grant_type=client_credentials&scope=files.read";
    let files = both.server.web(files).await.access_token();
    let unknown = format!("toa_{}", "A".repeat(51));
    for other in [&files, &unknown] {
        let refused = both.check(&api, other).await.unwrap_err();
        assert_eq!(refused, Refusal::InvalidToken);
    }
    let revoked = format!("token={job}&client_id=web");
    let web = ("web", crate::support::SECRET);
    let answer = both.server.post_as("/auth/revoke", web, &revoked).await;
    assert_eq!(answer.status, 200);
    assert!(
        both.check(&api, &job).await.is_ok(),
        "it is known for a minute"
    );
    both.server.advance(60);
    let refused = both.check(&api, &job).await.unwrap_err();
    assert_eq!(refused, Refusal::InvalidToken);
    assert!(both.check(&api, &token).await.is_ok());
    both.server.advance(600);
    let refused = both.check(&api, &token).await.unwrap_err();
    assert_eq!(refused, Refusal::InvalidToken);
}

#[tokio::test]
async fn rfc7662_tokens_of_our_own_server_are_taken_over_the_wire_until_they_are_revoked() {
    takes_and_refuses(Harness::new().await).await;
}

#[tokio::test]
async fn rfc7662_jwts_of_our_own_server_are_asked_about_too() {
    let format = AccessTokenFormat::Jwt(SigningAlgorithm::Es256);
    takes_and_refuses(Harness::with(|builder| builder.access_token_format(format)).await).await;
}

#[tokio::test]
async fn rfc6749_2_3_1_our_own_server_takes_both_ways_and_refuses_a_wrong_secret() {
    use tower_oauth::resource::ClientAuth;

    let both = Both::start(Harness::new().await).await;
    let token = both.server.web(FOR_ITSELF).await.access_token();
    let post =
        both.api(|issuer| issuer.client_auth(ClientAuth::client_secret_post("rs", RS_SECRET)));
    assert!(both.check(&post, &token).await.is_ok());
    // A client that may ask about its own tokens only, and one that is not who it says.
    let everything = "all-secret-0123456789-0123456789-0123456789";
    let all = both.api(|issuer| issuer.client("all", everything));
    assert!(both.check(&all, &token).await.is_ok());
    let wrong = both.api(|issuer| issuer.client("rs", everything));
    let refused = both.check(&wrong, &token).await.unwrap_err();
    assert_eq!(refused, Refusal::Unavailable);
}
