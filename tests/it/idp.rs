//! The issuer for tests of others: its good tokens are taken, each of its bad ones is refused for what is bad about it, and it can be down.

use std::time::Duration;

use serde_json::{Value, json};
use tower_oauth::resource::{Refusal, ResourceServerBuilder};
use tower_oauth::testing::{Idp, IdpToken};
use tower_oauth::types::ResourceUri;
use tower_oauth::{AccessToken, Issuer, ResourceServer};

const ISSUER: &str = "https://as.harbor.test/realms/acme";
const LEDGER: &str = "https://api.harbor.test/ledger";

fn idp() -> Idp {
    Idp::new(ISSUER, LEDGER)
}

fn with(idp: &Idp, issuer: impl Into<Issuer>) -> ResourceServer {
    let builder = ResourceServer::builder(LEDGER).issuer(issuer);
    builder.clock(idp.clock()).build().unwrap()
}

/// A resource server that checks its JWTs, and one that asks about its tokens.
fn both(idp: &Idp) -> (ResourceServer, ResourceServer) {
    (with(idp, idp.issuer()), with(idp, idp.opaque_issuer()))
}

fn later(idp: &Idp, secs: u64) {
    idp.clock().advance(Duration::from_secs(secs));
}

async fn is_good(api: &ResourceServer, token: &str) -> AccessToken {
    let explanation = api.explain(token).await;
    assert!(explanation.is_accepted(), "{explanation}");
    api.authenticate(token).await.unwrap()
}

/// The step that the token does not get past, and what is found there. To the caller it is an invalid token and nothing more.
async fn refused(api: &ResourceServer, token: &str) -> (&'static str, String) {
    let refusal = api.authenticate(token).await.unwrap_err();
    assert_eq!(refusal, Refusal::InvalidToken);
    let explanation = api.explain(token).await;
    let step = explanation.steps().last().unwrap().clone();
    assert!(!step.passed, "{explanation}");
    let found = step.finding.trim_start_matches("not an active token: ");
    (step.name, found.to_owned())
}

async fn is_unavailable(api: &ResourceServer, token: &str) {
    let refusal = api.authenticate(token).await.unwrap_err();
    assert_eq!(refusal, Refusal::Unavailable);
}

type Bad = fn(IdpToken) -> IdpToken;

#[tokio::test]
async fn each_bad_jwt_is_refused_for_what_is_bad_about_it() {
    let idp = idp();
    let api = with(&idp, idp.issuer());
    let bad: [(Bad, &str, &str); 9] = [
        (IdpToken::expired, "facts", "expired"),
        (IdpToken::not_yet, "facts", "not good yet"),
        (
            IdpToken::wrong_audience,
            "policy",
            "meant for another resource",
        ),
        (IdpToken::wrong_issuer, "facts", "issued by another issuer"),
        (IdpToken::wrong_signature, "facts", "the signature is wrong"),
        (
            IdpToken::unknown_key,
            "facts",
            "signed by no key of the issuer",
        ),
        (
            IdpToken::id_token,
            "facts",
            "typ is JWT or missing: only accept_typ_jwt lets that in",
        ),
        (
            IdpToken::unsigned,
            "facts",
            "alg is not one of those accepted",
        ),
        (|token| token.typ("dpop+jwt"), "facts", "of another typ"),
    ];
    for round in 0..5 {
        for (spoil, step, reason) in bad {
            let token = spoil(idp.token("ada").scope("ledger.read")).mint();
            let found = refused(&api, &token).await;
            assert_eq!(found, (step, reason.to_owned()), "round {round}");
        }
    }
    // Nothing of them is bad but that.
    is_good(&api, &idp.token("ada").scope("ledger.read").mint()).await;
}

#[tokio::test]
async fn an_id_token_and_one_without_a_signature_are_refused_where_little_is_asked_of_tokens() {
    let idp = idp();
    let lenient = with(&idp, idp.issuer().accept_typ_jwt());
    is_good(&lenient, &idp.token("ada").typ("JWT").mint()).await;
    let id_token = refused(&lenient, &idp.token("ada").id_token().mint()).await;
    assert_eq!(
        id_token.1,
        "an ID token, or another that is no access token"
    );
    // As long as a signature that is there, it comes further, and no further than its header.
    let unsigned = format!("{}{}", idp.token("ada").unsigned().mint(), "A".repeat(86));
    let found = refused(&lenient, &unsigned).await;
    assert_eq!(found.1, "alg is not one of those accepted");
}

#[tokio::test]
async fn each_bad_opaque_token_is_refused_for_what_is_bad_about_it() {
    let idp = idp();
    let api = with(&idp, idp.opaque_issuer());
    let (unknown, other) = ("the issuer says so", "issued by another issuer");
    let bad: [(Bad, &str, &str); 8] = [
        (IdpToken::expired, "facts", unknown),
        (IdpToken::not_yet, "facts", unknown),
        (
            IdpToken::wrong_audience,
            "policy",
            "meant for another resource",
        ),
        (IdpToken::wrong_issuer, "facts", other),
        (IdpToken::wrong_signature, "facts", unknown),
        (IdpToken::unknown_key, "facts", unknown),
        (IdpToken::id_token, "facts", unknown),
        (IdpToken::unsigned, "facts", unknown),
    ];
    for (spoil, step, reason) in bad {
        let token = spoil(idp.token("ada")).mint_opaque();
        assert_eq!(refused(&api, &token).await, (step, reason.to_owned()));
    }
    is_good(&api, &idp.token("ada").mint_opaque()).await;
    let nobodys = refused(&api, "idp_made_up").await;
    assert_eq!(nobodys.1, unknown);
}

#[tokio::test]
async fn a_good_token_says_what_it_was_told_to_say() {
    let idp = idp();
    let (jwts, opaque) = both(&idp);
    let files: ResourceUri = "https://api.harbor.test/files".parse().unwrap();
    let token = || {
        idp.token("ada")
            .client_id("cl_7Qm2v9Tz")
            .scope("ledger.read ledger.write")
            .audience([LEDGER, files.as_str()])
            .claim("acr", "mfa")
            .claim("roles", json!(["clerk"]))
            .expires_in(Duration::from_secs(90))
    };
    for (api, text) in [
        (&jwts, token().mint()),
        (&opaque, token().mint_opaque()),
        (&opaque, token().mint()),
    ] {
        let token = is_good(api, &text).await;
        assert_eq!(token.subject().as_str(), "ada");
        assert_eq!(token.client_id().unwrap().as_str(), "cl_7Qm2v9Tz");
        assert_eq!(token.scope().to_string(), "ledger.read ledger.write");
        assert!(token.audience().contains(&files.clone().into()));
        assert_eq!(token.claims().get("acr"), Some(&json!("mfa")));
        assert_eq!(token.claims().get("roles"), Some(&json!(["clerk"])));
        assert_eq!(token.issued_at().unwrap().as_secs(), 1_795_348_800);
        assert_eq!(token.expires_at().as_secs(), 1_795_348_890);
        assert_eq!(token.jti().unwrap().len(), 43);
    }
    assert_ne!(token().mint(), token().mint());
    assert_ne!(token().mint_opaque(), token().mint_opaque());
    // A claim takes the place of the one that was there, or takes it away.
    let bob = idp.token("ada").claim("sub", "bob").mint();
    assert_eq!(is_good(&jwts, &bob).await.subject().as_str(), "bob");
    let nobody = idp.token("ada").claim("client_id", Value::Null).mint();
    let found = refused(&jwts, &nobody).await;
    assert_eq!(found.1, "client_id, iat or jti is missing");
}

#[tokio::test]
async fn tokens_die_when_their_time_has_come() {
    let idp = idp();
    let (jwts, opaque) = both(&idp);
    let (jwt, text) = (idp.token("ada").mint(), idp.token("ada").mint_opaque());
    is_good(&jwts, &jwt).await;
    is_good(&opaque, &text).await;
    later(&idp, 15 * 60 - 1);
    is_good(&opaque, &text).await;
    later(&idp, 1);
    assert_eq!(refused(&opaque, &text).await.0, "facts");
    later(&idp, 29);
    is_good(&jwts, &jwt).await;
    later(&idp, 1);
    assert_eq!(refused(&jwts, &jwt).await.1, "expired");
    // And one whose time is yet to come.
    let early = idp.token("ada").not_yet().mint();
    assert_eq!(refused(&jwts, &early).await.1, "not good yet");
    later(&idp, 10 * 60);
    is_good(&jwts, &early).await;
}

#[tokio::test]
async fn new_keys_are_found_and_old_ones_end_when_they_are_withdrawn() {
    let idp = idp();
    let api = with(&idp, idp.issuer());
    let old = idp.token("ada").mint();
    is_good(&api, &old).await;
    idp.rotate();
    is_good(&api, &idp.token("ada").mint()).await;
    is_good(&api, &old).await;
    idp.withdraw_old_keys();
    is_good(&api, &old).await; // nobody has looked since
    idp.rotate();
    is_good(&api, &idp.token("ada").mint()).await;
    later(&idp, 60); // or it might be by a key that is newer than what was fetched
    assert_eq!(
        refused(&api, &old).await.1,
        "signed by no key of the issuer"
    );
}

#[tokio::test]
async fn an_outage_is_503_and_over_a_minute_after_its_end() {
    let idp = idp();
    let (jwts, opaque) = both(&idp);
    idp.down(true);
    let (jwt, text) = (idp.token("ada").mint(), idp.token("ada").mint_opaque());
    for _ in 0..20 {
        is_unavailable(&jwts, &jwt).await;
        is_unavailable(&opaque, &text).await;
    }
    let explanation = jwts.explain(&jwt).await.to_string();
    assert!(explanation.contains("there are no keys of the issuer"));
    // What can be told without it is told.
    assert_eq!(
        refused(&jwts, &idp.token("ada").expired().mint()).await.1,
        "expired"
    );
    idp.down(false);
    later(&idp, 60);
    is_good(&jwts, &jwt).await;
    is_good(&opaque, &text).await;
    // Who has the keys goes on with them; who has to ask cannot.
    idp.down(true);
    is_good(&jwts, &idp.token("bob").mint()).await;
    let unknown = idp.token("bob").mint_opaque();
    is_unavailable(&opaque, &unknown).await;
}

#[tokio::test]
async fn what_is_revoked_is_dead_for_those_who_ask_as_soon_as_they_ask_again() {
    let idp = idp();
    let (jwts, opaque) = both(&idp);
    let (jwt, text) = (idp.token("ada").mint(), idp.token("ada").mint_opaque());
    for token in [&jwt, &text] {
        is_good(&opaque, token).await;
        idp.revoke(token);
        assert!(opaque.authenticate(token).await.is_ok(), "it is known");
    }
    later(&idp, 60);
    for token in [&jwt, &text] {
        assert_eq!(refused(&opaque, token).await.1, "the issuer says so");
    }
    is_good(&jwts, &jwt).await;
    let always = with(&idp, idp.opaque_issuer().cached_for(Duration::ZERO));
    let text = idp.token("ada").mint_opaque();
    is_good(&always, &text).await;
    idp.revoke(&text);
    assert_eq!(refused(&always, &text).await.1, "the issuer says so");
}

#[tokio::test]
async fn a_service_with_settings_of_its_own_needs_no_more_than_its_client() {
    let idp = idp();
    let of = |settings: fn(ResourceServerBuilder) -> ResourceServerBuilder| {
        let builder = ResourceServer::builder(LEDGER).http_client(idp.clone());
        settings(builder).clock(idp.clock()).build().unwrap()
    };
    let jwts = of(|builder| builder.issuer(Issuer::jwt(ISSUER)));
    is_good(&jwts, &idp.token("ada").mint()).await;
    let opaque = of(|builder| builder.issuer(Issuer::opaque(ISSUER).client("ledger", "s3cr3t")));
    is_good(&opaque, &idp.token("ada").mint_opaque()).await;
    // It answers for itself and for nobody else.
    let other = Idp::new("https://other.harbor.test", LEDGER);
    let api = of(|builder| builder.issuer(Issuer::jwt("https://other.harbor.test")));
    is_unavailable(&api, &other.token("ada").mint()).await;
    let stranger = with(&idp, other.issuer());
    is_good(&stranger, &other.token("ada").mint()).await;
}

/// A runtime without sockets and timers: whoever opens one panics in it.
#[test]
fn nothing_opens_a_socket_or_waits_for_the_time_to_pass() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::spawn(tokio::net::TcpListener::bind("127.0.0.1:0")).await;
        assert!(
            socket.is_err_and(|error| error.is_panic()),
            "there are none"
        );
        let idp = Idp::new("http://127.0.0.1:9", LEDGER);
        let (jwts, opaque) = both(&idp);
        is_good(&jwts, &idp.token("ada").mint()).await;
        is_good(&opaque, &idp.token("ada").mint_opaque()).await;
        idp.rotate();
        is_good(&jwts, &idp.token("ada").mint()).await;
        idp.down(true);
        is_unavailable(&opaque, &idp.token("ada").mint_opaque()).await;
    });
}

#[test]
#[should_panic(expected = "is no issuer")]
fn what_is_no_issuer_identifier_is_told_at_once() {
    let _ = Idp::new("http://as.harbor.test", LEDGER);
}
