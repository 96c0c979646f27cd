//! JWT access tokens (RFC 9068): what they say, who can check them, and what ends them.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation};
use serde_json::{Value, json};
use tower_oauth::server::{AccessTokenFormat, AuthorizationServerBuilder};
use tower_oauth::types::{Claims, ManualClock, SigningAlgorithm, Subject};
use tower_oauth::{Issuance, Issuer, Policy, ResourceServer, Verdict};

use crate::hooked::{Hooked, Verb, When};
use crate::in_process::send;
use crate::support::{FILES, Harness, ISSUER, LEDGER, NOW, SECRET, alice, builder};
use crate::waits::until;

pub(crate) const JWKS: &str = "/auth/jwks.json";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const FOR_ITSELF: &str = "grant_type=client_credentials&scope=ledger.read";

pub(crate) fn jwts(algorithm: SigningAlgorithm) -> AuthorizationServerBuilder {
    builder().access_token_format(AccessTokenFormat::Jwt(algorithm))
}

pub(crate) async fn server() -> Harness {
    Harness::of(jwts(SigningAlgorithm::Es256)).await
}

/// What a token says, by a library of others that has the JWK set and nothing else.
pub(crate) async fn decoded(server: &Harness, token: &str, audience: &str) -> TokenData<Value> {
    let set = server.get(JWKS, None).await;
    assert_eq!(set.status, 200, "{set:?}");
    let set: JwkSet = serde_json::from_slice(&set.body).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let jwk = set.find(header.kid.as_ref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_exp = false; // it knows no clock but the computer's
    jsonwebtoken::decode(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap()
}

pub(crate) fn ledger(server: &Harness) -> ResourceServer {
    ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap()
}

// req: 9068-2.1-2, 9068-2.1-3, 9068-2.2-1, 9068-4-1
#[tokio::test]
async fn rfc9068_2_others_can_check_what_each_algorithm_signs() {
    for (algorithm, alg) in [
        (SigningAlgorithm::Es256, Algorithm::ES256),
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
        (SigningAlgorithm::Rs256, Algorithm::RS256),
    ] {
        let server = Harness::of(jwts(algorithm)).await;
        let answer = server.tokens("&scope=ledger.read+ledger.write").await;
        assert_eq!(answer.member("token_type"), "Bearer");
        assert_eq!(answer.json()["expires_in"], 300);
        let token = decoded(&server, &answer.access_token(), LEDGER).await;
        assert_eq!(token.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(token.header.alg, alg);
        let (jti, sealed) = (&token.claims["jti"], &token.claims["tower_oauth_ref"]);
        assert_eq!(jti.as_str().unwrap().len(), 22);
        assert_eq!(
            token.claims,
            json!({
                "iss": ISSUER, "sub": "alice", "aud": LEDGER, "client_id": "app", "scope": "ledger.read ledger.write",
                "iat": NOW.as_secs(), "exp": NOW.as_secs() + 300, "jti": jti, "tower_oauth_ref": sealed,
            })
        );
        assert_eq!(
            send(&ledger(&server), &answer.access_token()).await.status,
            200
        );
    }
}

// req: 9068-2.2-2, 9068-2.2-4, 9068-6-2
#[tokio::test]
async fn rfc9068_2_2_a_client_that_speaks_for_itself_is_its_own_subject() {
    let server = server().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let token = server.web(FOR_ITSELF).await.access_token();
        let claims = decoded(&server, &token, LEDGER).await.claims;
        assert_eq!(
            (&claims["sub"], &claims["client_id"]),
            (&json!("web"), &json!("web"))
        );
        let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "aud",
                "client_id",
                "exp",
                "iat",
                "iss",
                "jti",
                "scope",
                "sub",
                "tower_oauth_ref"
            ],
            "nothing of a person, and nothing more than is needed"
        );
        let facts = ledger(&server).authenticate(&token).await.unwrap();
        assert_eq!((facts.subject().as_str(), facts.owner()), ("web", None));
        ids.push(claims["jti"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

// req: 9068-2.2-3, 9068-3-1, 9068-3-3, 9068-2.2.3-2
#[tokio::test]
async fn rfc9068_3_the_audience_is_the_resource_that_was_asked_for_or_the_default() {
    let server = server().await;
    let both = format!("&resource={LEDGER}&resource={FILES}&scope=ledger.read+files.read");
    for (asked, audience, scope) in [
        (
            "&scope=ledger.read".to_owned(),
            json!(LEDGER),
            "ledger.read",
        ),
        (String::new(), json!(LEDGER), "ledger.read"),
        ("&scope=files.read".to_owned(), json!(FILES), "files.read"),
        (
            format!("&resource={FILES}&scope=ledger.read+files.read"),
            json!(FILES),
            "files.read",
        ),
        (both, json!([LEDGER, FILES]), "files.read ledger.read"),
    ] {
        let form = format!("grant_type=client_credentials{asked}");
        let token = server.web(&form).await.access_token();
        let (audience_of_one, claims) = match &audience {
            Value::Array(all) => (all[1].as_str().unwrap().to_owned(), &asked),
            one => (one.as_str().unwrap().to_owned(), &asked),
        };
        let claims_of = decoded(&server, &token, &audience_of_one).await.claims;
        assert_eq!(claims_of["aud"], audience, "{claims}");
        assert_eq!(claims_of["scope"], scope, "{claims}");
    }
}

struct Staff;

impl Policy for Staff {
    async fn issue(&self, issuance: Issuance<'_>) -> Verdict {
        // RFC 9068 §3: of two resources that mean different things by a scope, no token is for both.
        if issuance.audience.len() > 1 {
            return Verdict::Deny;
        }
        let claims = json!({"groups": ["cellar"], "email": "alice@harbor.test"});
        Verdict::Allow {
            scope: issuance.scope.clone(),
            claims: Claims::new(claims.as_object().unwrap().clone()).unwrap(),
        }
    }
}

// req: 9068-2.2.2-1, 9068-2.2.2-2, 9068-2.2.3.1-1
#[tokio::test]
async fn rfc9068_2_2_2_the_host_adds_claims_and_overrides_none() {
    let server = Harness::of(jwts(SigningAlgorithm::Es256).policy(Staff)).await;
    let token = server.tokens("").await.access_token();
    let claims = decoded(&server, &token, LEDGER).await.claims;
    assert_eq!(claims["groups"], json!(["cellar"]));
    assert_eq!(claims["email"], "alice@harbor.test");
    assert_eq!(claims["sub"], "alice");
    let facts = ledger(&server).authenticate(&token).await.unwrap();
    assert_eq!(facts.claims().get("groups"), Some(&json!(["cellar"])));
    for taken in [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "client_id",
        "scope",
        "cnf",
        "tower_oauth_ref",
    ] {
        let claims = json!({taken: "x"}).as_object().unwrap().clone();
        assert!(Claims::new(claims).is_err(), "{taken}");
    }
}

// req: 9068-3-2, 9068-5-3
#[tokio::test]
async fn rfc9068_5_a_host_that_cannot_tell_whose_a_scope_is_gives_no_token_for_both() {
    let server = Harness::of(jwts(SigningAlgorithm::Es256).policy(Staff)).await;
    let one = format!("{FOR_ITSELF}&resource={LEDGER}");
    assert_eq!(server.web(&one).await.status, 200);
    let both = format!("{one}&resource={FILES}");
    server.web(&both).await.error(400, "unauthorized_client");
}

#[tokio::test]
async fn each_resource_has_tokens_of_its_own_format() {
    let jwt = AccessTokenFormat::Jwt;
    let server = Harness::of(
        builder()
            .access_token_format_for(LEDGER, jwt(SigningAlgorithm::EdDsa))
            .access_token_format_for(FILES, AccessTokenFormat::Opaque),
    )
    .await;
    let [ledger, files] = [LEDGER, FILES].map(|uri| format!("&resource={uri}"));
    let scope = "grant_type=client_credentials&scope=ledger.read+files.read";
    for (asked, is_jwt) in [
        (ledger.clone(), true),
        (files.clone(), false),
        (format!("{files}{ledger}"), true),
    ] {
        let answer = server.web(&format!("{scope}{asked}")).await;
        let token = answer.access_token();
        assert_eq!(token.contains('.'), is_jwt, "{asked}");
        let lifetime = if is_jwt { 300 } else { 600 };
        assert_eq!(answer.json()["expires_in"], lifetime, "{asked}");
        assert!(server.is_active(&token).await);
    }
    // Where nothing is said, nobody can read what a token says (RFC 6750 §5.2).
    let server = Harness::new().await;
    let token = server.web(FOR_ITSELF).await.access_token();
    assert!(token.starts_with("toa_"));
    assert_eq!(server.get(JWKS, None).await.status, 404);
    let document = server.get(METADATA, None).await.json();
    assert!(document.get("jwks_uri").is_none());
}

// req: 9068-4-2, 8414-2-4
#[tokio::test]
async fn rfc9068_4_the_keys_and_the_issuer_are_found_by_the_metadata() {
    let server = server().await;
    let document = server.get(METADATA, None).await.json();
    assert_eq!(document["jwks_uri"], format!("{ISSUER}{JWKS}"));
    assert!(
        document["jwks_uri"]
            .as_str()
            .unwrap()
            .starts_with("https://")
    );
    assert_eq!(document["access_token_lifetime"], 300);
    let token = server.web(FOR_ITSELF).await.access_token();
    let claims = decoded(&server, &token, LEDGER).await.claims;
    assert_eq!(claims["iss"], document["issuer"]);
}

// req: 7662-4-4, 7662-2.2-9
#[tokio::test]
async fn rfc7662_4_a_jwt_is_introspected_like_any_other_token() {
    let server = server().await;
    let token = server.tokens("").await.access_token();
    let claims = decoded(&server, &token, LEDGER).await.claims;
    let mut told = server.introspect(&token).await;
    for name in ["sub", "client_id", "scope", "exp", "iat", "iss", "jti"] {
        assert_eq!(told[name], claims[name], "{name}");
    }
    assert_eq!(told["aud"].take(), json!([LEDGER]));
    assert!(told.get("tower_oauth_ref").is_none());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    for wrong in [
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{other}{}", &signature[1..]),
        format!("{token}A"),
        format!("{token}.AA.AA"),
    ] {
        assert_eq!(
            server.introspect(&wrong).await,
            json!({"active": false}),
            "{wrong}"
        );
    }
    server.advance(299);
    assert!(server.is_active(&token).await);
    server.advance(1);
    assert!(!server.is_active(&token).await);
}

// req: 7009-PROJ-1
#[tokio::test]
async fn rfc7009_2_a_jwt_is_revoked_by_its_id_for_introspection_and_in_process() {
    let server = server().await;
    let api = ledger(&server);
    let tokens = server.tokens("&scope=ledger.read").await;
    let (token, refresh) = tokens.pair();
    let sibling = server.refresh(&refresh, "").await.access_token();
    for _ in ["cold", "warm", "warm"] {
        assert_eq!(send(&api, &token).await.status, 200);
    }
    // Another client's word counts for nothing, nor does a token that was changed.
    let form = format!("token={token}");
    let by_web = server.post_as("/auth/revoke", ("web", SECRET), &form).await;
    assert_eq!(by_web.status, 200);
    let (signed, _) = token.rsplit_once('.').unwrap();
    for wrong in [format!("{signed}.AAAA"), format!("{token}.")] {
        let form = format!("client_id=app&token={wrong}");
        assert_eq!(server.post("/auth/revoke", &form).await.status, 200);
    }
    assert!(server.is_active(&token).await);
    for _ in ["once", "and again"] {
        let form = format!("client_id=app&token={token}");
        assert_eq!(server.post("/auth/revoke", &form).await.status, 200);
        assert!(!server.is_active(&token).await);
        send(&api, &token).await.error(401, "invalid_token");
        send(&ledger(&server), &token)
            .await
            .error(401, "invalid_token");
    }
    assert!(server.is_active(&sibling).await, "it alone was revoked");
    assert_eq!(send(&api, &sibling).await.status, 200);
}

#[tokio::test]
async fn s06_a_jwt_dies_with_its_grant_its_client_and_its_subject() {
    for death in ["grant", "reuse", "client", "disabled", "subject", "tokens"] {
        let server = server().await;
        let api = ledger(&server);
        let (token, refresh) = server.tokens("").await.pair();
        assert_eq!(send(&api, &token).await.status, 200);
        let (app, grants) = ("app".parse().unwrap(), server.oauth.grants());
        match death {
            "grant" => {
                let form = format!("client_id=app&token={refresh}");
                assert_eq!(server.post("/auth/revoke", &form).await.status, 200);
            }
            "reuse" => {
                server.refresh(&refresh, "").await;
                server.advance(31);
                server
                    .refresh(&refresh, "")
                    .await
                    .error(400, "invalid_grant");
            }
            "client" => grants.revoke_all_of_client(&app).await.map(drop).unwrap(),
            "disabled" => server
                .oauth
                .clients()
                .disable(&app, true)
                .await
                .map(drop)
                .unwrap(),
            "subject" => grants
                .revoke_all_of_subject(&alice())
                .await
                .map(drop)
                .unwrap(),
            _ => server
                .oauth
                .clients()
                .revoke_tokens(&app)
                .await
                .map(drop)
                .unwrap(),
        }
        assert!(!server.is_active(&token).await, "{death}");
        send(&api, &token).await.error(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_jwt_of_one_server_is_checked_and_revoked_by_another_over_the_same_store() {
    let store = Hooked::open().await;
    let clock = ManualClock::new(NOW);
    let format = |builder: AuthorizationServerBuilder| {
        builder.access_token_format(AccessTokenFormat::Jwt(SigningAlgorithm::Es256))
    };
    let one = Harness::on(store.clone(), &clock, format);
    one.create_clients().await;
    let other = Harness::on(store, &clock, format);
    let token = one.tokens("").await.access_token();
    let api = ledger(&other);
    assert_eq!(send(&api, &token).await.status, 200);
    let same = [
        one.get(JWKS, None).await.json(),
        other.get(JWKS, None).await.json(),
    ];
    assert_eq!(same[0], same[1]);
    let form = format!("client_id=app&token={token}");
    assert_eq!(one.post("/auth/revoke", &form).await.status, 200);
    assert!(!other.is_active(&token).await);
    // The feed tells whoever has cached it.
    until("the feed that tells of the token", async || {
        send(&api, &token).await.status != 200
    })
    .await;
}

// req: 9068-4-6, 9068-4-11, 9700-2.3-3
#[tokio::test]
async fn rfc9068_4_a_jwt_for_another_resource_or_out_of_time_is_an_invalid_token() {
    let server = server().await;
    let api = ledger(&server);
    let form = format!("grant_type=client_credentials&scope=files.read&resource={FILES}");
    let for_files = server.web(&form).await.access_token();
    let token = server.web(FOR_ITSELF).await.access_token();
    for _ in ["cold", "warm"] {
        assert_eq!(send(&api, &token).await.status, 200);
        send(&api, &for_files).await.error(401, "invalid_token");
    }
    server.advance(299);
    assert_eq!(send(&api, &token).await.status, 200);
    server.advance(1);
    for api in [&api, &ledger(&server)] {
        let answer = send(api, &token).await;
        answer.error(401, "invalid_token");
        assert!(
            answer
                .header("www-authenticate")
                .contains("error=\"invalid_token\"")
        );
    }
}

#[tokio::test]
async fn a_jwt_is_not_kept_and_a_revoked_one_until_it_expires() {
    let store = Hooked::open().await;
    let clock = ManualClock::new(NOW);
    let server = Harness::on(store.clone(), &clock, |builder| {
        builder.access_token_format(AccessTokenFormat::Jwt(SigningAlgorithm::Es256))
    });
    server.create_clients().await;
    let first = server.web(FOR_ITSELF).await.access_token(); // makes the keys
    store.on_step(|step| async move {
        assert!(!(step.is_write() && step.when == When::Before), "{step:?}");
        Ok(())
    });
    server.web(FOR_ITSELF).await.access_token();
    store.on_step(|step| async move {
        let written = step.is_write() && step.when == When::Before && step.verb != Verb::Purge;
        assert!(
            !written || step.kind == Some(tower_oauth::store::Kind::RevokedJwt),
            "{step:?}"
        );
        Ok(())
    });
    let form = format!("token={first}");
    let answer = server.post_as("/auth/revoke", ("web", SECRET), &form).await;
    assert_eq!(answer.status, 200);
    assert!(!server.is_active(&first).await);
    store.let_all_pass();
    let revoked = || store.revived();
    use tower_oauth::store::Store as _;
    let before = revoked().purge(NOW, 1000).await.unwrap();
    let at = |secs| NOW.saturating_add(Duration::from_secs(secs));
    // A node whose clock is ahead takes nothing away from one for which the token would still live.
    let ahead = revoked().purge(at(599), 1000).await.unwrap();
    server.advance(299);
    assert!(!server.is_active(&first).await);
    let after = revoked().purge(at(600), 1000).await.unwrap();
    assert_eq!(
        (before, ahead, after),
        (0, 0, u32::from(store.purge_forgets())),
        "its id is forgotten when it would have ended anyway, by every clock"
    );
}

#[tokio::test]
async fn s16_the_facts_of_a_jwt_reach_nobody_but_the_server() {
    let server = server().await;
    let subject = Subject::new("alice").unwrap();
    let token = server.tokens("").await.access_token();
    let grant = server.oauth.grants().by_subject(&subject).await.unwrap();
    let claims = decoded(&server, &token, LEDGER).await.claims.to_string();
    assert!(!claims.contains(&grant[0].id), "how to name its grant");
}

// req: 9068-4-12
#[tokio::test]
async fn rfc9068_4_the_scope_of_a_jwt_opens_what_it_names_and_nothing_else() {
    use tower::{Layer as _, ServiceExt as _, service_fn};
    let server = server().await;
    let api = ledger(&server);
    for (scope, status) in [("ledger.read", 403), ("ledger.read+ledger.write", 200)] {
        let form = format!("grant_type=client_credentials&scope={scope}");
        let token = server.web(&form).await.access_token();
        let handler = service_fn(async |_: http::Request<()>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        });
        let writes = api
            .layer()
            .layer(api.require("ledger.write").layer(handler));
        let request = http::Request::get("/").header("authorization", format!("Bearer {token}"));
        let answer = writes.oneshot(request.body(()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{scope}");
    }
}

// req: 9068-5-2
#[test]
fn rfc9068_5_two_resources_have_two_identifiers() {
    let on = || jwts(SigningAlgorithm::Es256);
    assert!(on().resource("https://third.test", ["x"]).build().is_ok());
    for same in [LEDGER, FILES, "HTTPS://AUTH.harbor.test/ledger"] {
        let error = on().resource(same, ["x"]).build().unwrap_err();
        assert!(error.to_string().starts_with("resource: "), "{error}");
    }
}
