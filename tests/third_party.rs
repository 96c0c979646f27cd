//! The resource server and a published authorization server, over real sockets and by the computer's clock.
//!
//! What an issuer does is here what `oidc-provider` does, and not what we think issuers do. Needs `node` and `npm`; where they are missing
//! it is skipped, and says so; in CI that is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/example.rs"]
mod example;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/provider.rs"]
mod provider;

use std::time::Duration;

use example::Example;
use provider::{API_SECRET, Api, NOTES, Provider, job_of_the_demo};
use serde_json::json;
use tower_oauth::resource::{ClientAuth, OpaqueIssuer, ResourceServer};
use tower_oauth::types::SigningKey;
use tower_oauth::{AccessToken, Issuer};

/// The issuer's tokens are asked about each time.
fn asked(provider: &Provider) -> OpaqueIssuer {
    Issuer::opaque(provider.url())
        .client("api basic", API_SECRET)
        .cached_for(Duration::ZERO)
}

async fn api(issuer: impl Into<Issuer>) -> Api {
    Api::serve(ResourceServer::builder(NOTES).issuer(issuer)).await
}

#[tokio::test]
async fn jwts_of_each_algorithm_are_taken_and_nothing_else_that_the_issuer_signs() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let api = api(Issuer::jwt(provider.url())).await;
    for resource in ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "list"] {
        let token = provider.token(resource).await;
        let answer = api.ask(&token).await;
        assert_eq!(answer.status, 200, "{resource}: {answer:?}");
        // RFC 9068 §2.2: a client that speaks for itself is the subject.
        let said =
            json!({"sub": "job", "client_id": "job", "scope": "notes:read", "iss": provider.url()});
        assert_eq!(answer.body, said, "{resource}");
    }
    let good = provider.token("ES256").await;
    let another = provider.token("ES256").await;
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = another.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{signature}");
    for refused in [tampered, provider.token("other").await] {
        api.refuses(&refused).await;
    }
    assert_eq!(api.ask(&good).await.status, 200);
    // P-521 is not built. Its key stands among those that are used.
    api.refuses(&provider.token("ES512").await).await;
}

#[tokio::test]
async fn a_person_s_access_token_is_taken_and_their_id_token_is_not() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let tokens = provider.tokens_of_ada("RS256").await;
    let [access_token, id_token] = ["access_token", "id_token"].map(|name| {
        let token = tokens[name].as_str();
        token.unwrap_or_else(|| panic!("no {name}: {tokens}"))
    });
    let strict = api(Issuer::jwt(provider.url())).await;
    let old = api(Issuer::jwt(provider.url()).accept_typ_jwt()).await;
    // Not even where its audience is one of ours: only its type tells it from an access token.
    let builder = ResourceServer::builder(NOTES).audience("app");
    let app = Api::serve(builder.issuer(Issuer::jwt(provider.url()))).await;
    for api in [strict, old, app] {
        let answer = api.ask(access_token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["sub"], "ada");
        assert_eq!(answer.body["client_id"], "app");
        api.refuses(id_token).await;
    }
}

#[tokio::test]
async fn a_new_key_is_taken_at_once_and_one_that_is_gone_ends_its_tokens() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let api = api(Issuer::jwt(provider.url())).await;
    let first = provider.token("EdDSA").await;
    assert_eq!(api.ask(&first).await.status, 200);
    provider.post("/rotate").await;
    let second = provider.token("EdDSA").await;
    for token in [&second, &first] {
        assert_eq!(api.ask(token).await.status, 200, "both keys are published");
    }
    provider.post("/rotate").await;
    let third = provider.token("EdDSA").await;
    for token in [&third, &second] {
        assert_eq!(api.ask(token).await.status, 200, "both keys are published");
    }
    api.refuses(&first).await;
}

#[tokio::test]
async fn opaque_tokens_are_taken_until_they_are_revoked() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let post = ClientAuth::client_secret_post("api-post", API_SECRET);
    let key = SigningKey::from_jwk(provider::API_KEY).unwrap();
    let key = ClientAuth::private_key_jwt("api-key", key);
    for issuer in [
        asked(&provider),
        asked(&provider).client_auth(post),
        asked(&provider).client_auth(key),
    ] {
        let api = api(issuer).await;
        let token = provider.token("opaque").await;
        let answer = api.ask(&token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // The provider says no `sub` of a client that speaks for itself.
        let said =
            json!({"sub": "job", "client_id": "job", "scope": "notes:read", "iss": provider.url()});
        assert_eq!(answer.body, said);
        for refused in ["nobody-s", &provider.token("opaque/other").await] {
            api.refuses(refused).await;
        }
        provider.revoke(&token).await;
        api.refuses(&token).await;
    }
    let tokens = provider.tokens_of_ada("opaque").await;
    let answer = api(asked(&provider)).await;
    let answer = answer.ask(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.body["sub"], "ada", "{answer:?}");
}

#[tokio::test]
async fn wrong_credentials_of_the_api_are_no_fault_of_the_token() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let token = provider.token("opaque").await;
    for (client, secret) in [("api basic", "wrong"), ("nobody", API_SECRET)] {
        api(asked(&provider).client(client, secret))
            .await
            .cannot_say(&token)
            .await;
    }
}

#[tokio::test]
async fn a_token_of_which_nobody_says_whom_it_is_for_is_taken_only_where_that_is_assumed() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let token = provider.token_for(None).await;
    api(asked(&provider)).await.refuses(&token).await;
    let trusting = asked(&provider).dangerous_assume_audience(NOTES);
    assert_eq!(api(trusting).await.ask(&token).await.status, 200);
}

#[tokio::test]
async fn a_provider_that_has_openid_s_metadata_alone_is_found_by_it() {
    let Some(provider) = Provider::start() else {
        return;
    };
    provider.post("/openid-alone").await;
    let jwts = api(Issuer::jwt(provider.url())).await;
    let answer = jwts.ask(&provider.token("RS256").await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let opaque = api(asked(&provider)).await;
    let answer = opaque.ask(&provider.token("opaque").await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_provider_and_this_crate_s_own_server_stand_behind_one_layer() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let demo = Example::start("demo", &["--listen", "127.0.0.1:0", "--store", "memory:"]);
    let own = Issuer::opaque(demo.base())
        .client("demo-api", "demo-api-secret")
        .token_prefix("toa_");
    let builder = ResourceServer::builder(NOTES).audience(demo.base());
    let issuers = builder.issuer(own).issuer(Issuer::jwt(provider.url()));
    let api = Api::serve(issuers).await;
    let theirs = api.ask(&provider.token("ES256").await).await;
    assert_eq!(theirs.body["iss"], provider.url(), "{theirs:?}");
    let ours = api.ask(&job_of_the_demo(&demo).await).await;
    assert_eq!(ours.body["iss"], demo.base(), "{ours:?}");
    assert_eq!(ours.body["sub"], "demo-job");
    api.refuses(&provider.token("opaque").await).await;
}

#[tokio::test]
async fn a_provider_that_is_down_costs_no_known_token_and_is_there_again_by_itself() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let jwts = api(Issuer::jwt(provider.url())).await;
    let cached = Issuer::opaque(provider.url()).client("api basic", API_SECRET);
    let opaque = api(cached).await;
    let (warm, cold) = (provider.token("ES256").await, provider.token("RS256").await);
    let (known, unknown) = (
        provider.token("opaque").await,
        provider.token("opaque").await,
    );
    assert_eq!(jwts.ask(&warm).await.status, 200);
    assert_eq!(opaque.ask(&known).await.status, 200);

    let stopped = provider.stop();
    for token in [&warm, &cold] {
        assert_eq!(jwts.ask(token).await.status, 200, "its key is there");
    }
    assert_eq!(opaque.ask(&known).await.status, 200);
    opaque.cannot_say(&unknown).await;
    // One that has never seen its issuer starts all the same.
    let late = api(Issuer::jwt(stopped.url())).await;
    late.cannot_say(&warm).await;

    // With other keys, and nothing of what it had given out.
    let provider = stopped.start();
    for api in [&jwts, &late] {
        let answer = api.ask(&provider.token("ES256").await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        api.refuses(&warm).await;
    }
    let answer = opaque.ask(&provider.token("opaque").await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    opaque.refuses(&unknown).await;
    assert_eq!(opaque.ask(&known).await.status, 200, "for a minute still");
}

/// What a handler is given.
async fn whoami(token: AccessToken) -> axum::Json<serde_json::Value> {
    axum::Json(json!({
        "sub": token.subject().as_str(),
        "client_id": token.client_id().map(|client_id| client_id.as_str()),
        "scope": token.scope().to_string(),
        "iss": token.issuer().as_str(),
    }))
}
