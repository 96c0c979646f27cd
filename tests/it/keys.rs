//! The keys that sign tokens: made once, published before use, kept until their last token has expired, and shown to nobody.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower_oauth::server::{AccessTokenFormat, AuthorizationServerBuilder, ConfigError};
use tower_oauth::store::{Key, Kind, Store as _, StoreError};
use tower_oauth::types::{Clock, Digest, ManualClock, SigningAlgorithm, SigningKey, Timestamp};
use tower_oauth::{AuthorizationServer, MemoryStore};

use crate::hooked::{Hooked, Verb, When};
use crate::in_process::send;
use crate::jwt::{JWKS, decoded, jwts, ledger, server};
use crate::support::{Harness, ISSUER, LEDGER, NOW, builder};
use crate::waits::{soon, until};
use crate::watch;

const FOR_ITSELF: &str = "grant_type=client_credentials&scope=ledger.read";
const DAY: u64 = 86_400;

fn es256(builder: AuthorizationServerBuilder) -> AuthorizationServerBuilder {
    builder.access_token_format(AccessTokenFormat::Jwt(SigningAlgorithm::Es256))
}

async fn kids(server: &Harness) -> Vec<String> {
    let set = server.get(JWKS, None).await.json();
    let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
    set["keys"].as_array().unwrap().iter().map(kid).collect()
}

async fn kid_of(server: &Harness, token: &str) -> String {
    let header = decoded(server, token, LEDGER).await.header;
    header.kid.unwrap()
}

async fn token(server: &Harness) -> String {
    server.web(FOR_ITSELF).await.access_token()
}

/// The record of the keys, as it stands in the store.
async fn kept(store: &Hooked) -> Option<Value> {
    let key = Key::new(Kind::KeyRing, Digest::of("key_ring", b""));
    let (record, _) = store.get(key).await.unwrap()?;
    Some(serde_json::from_slice(&record.value).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_nodes_that_start_at_once_agree_on_one_key() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let nodes: Vec<_> = (0..10)
        .map(|_| Arc::new(Harness::on(store.clone(), &clock, es256)))
        .collect();
    nodes[0].create_clients().await;
    let mut asking = JoinSet::new();
    for node in nodes.iter().cycle().take(30).cloned() {
        asking.spawn(async move {
            let token = token(&node).await;
            (kid_of(&node, &token).await, kids(&node).await, token, node)
        });
    }
    let answers = soon("the answers of all nodes", asking.join_all()).await;
    let (first, set, ..) = &answers[0];
    assert_eq!(set, std::slice::from_ref(first));
    for (kid, kids, ..) in &answers {
        assert_eq!((kid, kids), (first, set));
    }
    let (.., token, _) = &answers[3];
    for (.., node) in &answers {
        assert!(node.is_active(token).await, "each takes the tokens of each");
    }
    assert_eq!(
        kept(&store).await.unwrap()["keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

// req: 8414-2-5, 7517-9-1, 7517-4.1-1, 7517-4.4-1
#[tokio::test]
async fn s16_the_set_holds_public_parts_and_nothing_else() {
    for (algorithm, members) in [
        (SigningAlgorithm::Es256, "alg crv kid kty use x y"),
        (SigningAlgorithm::EdDsa, "alg crv kid kty use x"),
        (SigningAlgorithm::Rs256, "alg e kid kty n use"),
    ] {
        let server = Harness::of(jwts(algorithm)).await;
        let answer = server.get(JWKS, None).await;
        assert_eq!(answer.header("content-type"), "application/jwk-set+json");
        assert_eq!(answer.header("cache-control"), "public, max-age=900");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let set = answer.json();
        assert_eq!(set.as_object().unwrap().len(), 1);
        for key in set["keys"].as_array().unwrap() {
            let mut names: Vec<_> = key
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), members);
            assert_eq!(key["use"], "sig");
            assert_eq!(key["alg"], algorithm.as_str());
        }
        let tag = answer.header("etag").to_owned();
        let again = Request::get(JWKS).header("if-none-match", &tag);
        let again = server.send(again.body(Full::default()).unwrap()).await;
        assert_eq!(again.status, 304);
        let post = server.post(JWKS, "").await;
        assert_eq!(
            (post.status.as_u16(), post.header("allow")),
            (405, "GET, HEAD, OPTIONS")
        );
    }
}

#[tokio::test]
async fn s16_private_keys_are_in_the_store_and_nowhere_else() {
    for seal in [None, Some([7; 32])] {
        let store = Hooked::open().await;
        let clock = ManualClock::new(NOW);
        let server = Harness::on(store.clone(), &clock, |builder| {
            let builder = es256(builder);
            match seal {
                Some(key) => builder.seal_keys_with(key),
                None => builder,
            }
        });
        server.create_clients().await;
        let token = token(&server).await;
        let kept = kept(&store).await.unwrap();
        let private = kept["keys"][0]["private"].as_object().unwrap();
        let (form, text) = private.iter().next().unwrap();
        assert_eq!(form, if seal.is_some() { "sealed" } else { "pkcs8" });
        let text = text.as_str().unwrap();
        watch::secret("signing_key", text);
        let set = server.get(JWKS, None).await.text();
        let uses = server.oauth.signing_keys().list().await.unwrap();
        let shown = format!(
            "{:?} {uses:?} {:?} {set} {token}",
            server.oauth,
            server.oauth.signing_keys()
        );
        assert!(!shown.contains(text));
    }
}

#[tokio::test]
async fn sealed_keys_are_of_no_use_without_the_key_that_they_are_sealed_with() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let sealed = |keys: &'static [[u8; 32]]| {
        Harness::on(store.clone(), &clock, |builder| {
            keys.iter()
                .fold(es256(builder), |builder, key| builder.seal_keys_with(*key))
        })
    };
    let one = sealed(&[[1; 32]]);
    one.create_clients().await;
    let first = token(&one).await;
    for wrong in [sealed(&[]), sealed(&[[2; 32]])] {
        let answer = wrong.web(FOR_ITSELF).await;
        answer.error(503, "temporarily_unavailable");
        assert_eq!(wrong.get(JWKS, None).await.status, 503);
        let form = format!("token={first}");
        let asked = wrong.post_as(
            "/auth/introspect",
            ("all", "all-secret-0123456789-0123456789-0123456789"),
            &form,
        );
        asked.await.error(503, "temporarily_unavailable");
        assert_eq!(
            send(&ledger(&wrong), &first).await.status,
            503,
            "no verdict"
        );
    }
    // The key can be changed: the first seals, any opens.
    let other = sealed(&[[2; 32], [1; 32]]);
    assert!(other.is_active(&first).await);
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_takes_no_other_down() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let sealed = |keys: &'static [[u8; 32]]| {
        Harness::on(store.clone(), &clock, |builder| {
            keys.iter()
                .fold(es256(builder), |builder, key| builder.seal_keys_with(*key))
        })
    };
    let both = sealed(&[[1; 32]]);
    both.create_clients().await;
    kids(&both).await;
    let both = sealed(&[[2; 32], [1; 32]]);
    both.oauth.signing_keys().rotate().await.unwrap();
    both.advance(DAY - 1);
    let old = token(&both).await;
    both.advance(1);
    // The old key no longer signs, and its seal was taken away too soon.
    let hasty = sealed(&[[2; 32]]);
    let new = token(&hasty).await;
    assert!(hasty.is_active(&new).await && both.is_active(&new).await);
    assert_eq!(kids(&hasty).await, [kid_of(&both, &new).await]);
    assert_eq!(kids(&both).await.len(), 2);
    assert!(both.is_active(&old).await);
    let form = format!("token={old}");
    let asked = hasty.post_as(
        "/auth/introspect",
        ("all", "all-secret-0123456789-0123456789-0123456789"),
        &form,
    );
    asked.await.error(503, "temporarily_unavailable");
}

// req: jwks-rotation-1
#[tokio::test]
async fn s26_keys_are_rotated_without_a_token_that_nobody_knows_the_key_of() {
    let server = server().await;
    let mut known: Vec<String> = kids(&server).await; // by who reads the set each day
    let (mut signed_by, mut last): (Vec<String>, Option<String>) = (Vec::new(), None);
    for _ in 0..95 {
        if let Some(last) = &last {
            assert!(!server.is_active(last).await, "a day old");
        }
        let new = token(&server).await;
        let kid = kid_of(&server, &new).await;
        assert!(known.contains(&kid), "published a day before it signs");
        server.advance(299);
        assert!(
            server.is_active(&new).await,
            "its key is kept as long as it lives"
        );
        assert!(kids(&server).await.contains(&kid));
        if signed_by.last() != Some(&kid) {
            signed_by.push(kid);
        }
        known = kids(&server).await;
        assert!(known.len() <= 2, "{known:?}");
        last = Some(new);
        server.advance(DAY - 299);
    }
    assert_eq!(signed_by.len(), 4, "one in thirty days");
    signed_by.dedup();
    assert_eq!(signed_by.len(), 4, "and none comes back");
}

#[tokio::test]
async fn s26_a_key_is_published_five_minutes_longer_than_the_longest_token_lives() {
    let server = server().await;
    let keys = server.oauth.signing_keys();
    let first = keys.list().await.unwrap().remove(0);
    // The next one is made a day before it signs.
    server.advance(first.signs_until.as_secs() - NOW.as_secs() - DAY);
    assert_eq!(keys.list().await.unwrap().len(), 2);
    // Ten minutes is the longest that a token of this server lives, though not one that this key has signed.
    server.advance(DAY + 600 + 299);
    assert!(
        kids(&server).await.contains(&first.kid),
        "for clocks that differ"
    );
    server.advance(1);
    assert!(!kids(&server).await.contains(&first.kid));
}

#[tokio::test]
async fn the_host_ends_the_use_of_a_key_early() {
    let server = server().await;
    let old = token(&server).await;
    let first = kid_of(&server, &old).await;
    let uses = server.oauth.signing_keys().rotate().await.unwrap();
    assert_eq!(uses.len(), 2);
    assert_eq!(uses[0].kid, first);
    assert_eq!(
        uses[0].signs_until,
        NOW.saturating_add(Duration::from_secs(DAY))
    );
    assert_eq!(uses[1].signs_from, uses[0].signs_until);
    let published = kids(&server).await;
    assert_eq!(published, [first.clone(), uses[1].kid.clone()]);
    assert!(server.is_active(&old).await);
    assert_eq!(kid_of(&server, &token(&server).await).await, first);
    server.advance(DAY);
    assert_eq!(kid_of(&server, &token(&server).await).await, uses[1].kid);
}

#[tokio::test]
async fn s26_what_a_key_has_signed_that_was_taken_away_is_dead_at_once() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let (one, other) = (
        Harness::on(store.clone(), &clock, es256),
        Harness::on(store.clone(), &clock, es256),
    );
    one.create_clients().await;
    let stolen = token(&one).await;
    let (here, there) = (ledger(&one), ledger(&other));
    for api in [&here, &there] {
        assert_eq!(send(api, &stolen).await.status, 200);
    }
    let first = kid_of(&one, &stolen).await;
    let uses = one.oauth.signing_keys().remove(&first).await.unwrap();
    assert_eq!(uses.len(), 1);
    assert_ne!(uses[0].kid, first);
    assert!(!one.is_active(&stolen).await);
    send(&here, &stolen).await.error(401, "invalid_token");
    until("the feed that tells of the key", async || {
        send(&there, &stolen).await.status != 200
    })
    .await;
    let new = token(&one).await;
    assert_eq!(kid_of(&one, &new).await, uses[0].kid);
    assert_eq!(send(&there, &new).await.status, 200);
    let again = one.oauth.signing_keys().remove(&first).await.unwrap();
    assert_eq!(again, uses, "nothing is left to be done");
}

#[tokio::test]
async fn s26_a_key_that_no_longer_signs_is_taken_away_for_good_as_well() {
    let server = Harness::with(es256).await;
    let first = kid_of(&server, &token(&server).await).await;
    let keys = server.oauth.signing_keys();
    let uses = keys.rotate().await.unwrap();
    let old = uses.iter().find(|key| key.kid == first).unwrap();
    server.advance(old.signs_until.as_secs() - NOW.as_secs() - 1);
    let last = token(&server).await;
    assert_eq!(kid_of(&server, &last).await, first);
    server.advance(1);
    let before = keys.list().await.unwrap();
    assert!(before.iter().any(|key| key.kid == first) && server.is_active(&last).await);
    let left = keys.remove(&first).await.unwrap();
    assert_eq!(left.len(), before.len() - 1);
    assert_eq!(keys.list().await.unwrap(), left, "it does not come back");
    assert!(!kids(&server).await.contains(&first) && !server.is_active(&last).await);
}

#[tokio::test]
async fn v06_keys_that_nobody_knows_cost_a_look_each_second() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = Harness::on(store.clone(), &clock, es256);
    server.create_clients().await;
    let good = token(&server).await;
    store.feed_has_begun().await;
    assert!(server.is_active(&good).await);
    let (_, rest) = good.split_once('.').unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    store.on_step({
        let looks = looks.clone();
        move |step| {
            let is_look = step.kind == Some(Kind::KeyRing) && step.when == When::Before;
            assert!(!is_look || step.verb == Verb::Get);
            looks.fetch_add(usize::from(is_look), Ordering::SeqCst);
            async { Ok(()) }
        }
    });
    use base64::Engine as _;
    for number in 0..100 {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("k{number}")});
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
        assert!(!server.is_active(&format!("{header}.{rest}")).await);
        if number % 10 == 9 {
            server.advance(1);
        }
    }
    let looks = looks.load(Ordering::SeqCst);
    assert!((1..=10).contains(&looks), "{looks} looks in ten seconds");
    assert!(server.is_active(&good).await);
}

#[tokio::test]
async fn keys_are_imported_from_pem_and_jwk_and_nothing_is_kept() {
    const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"vault-7","use":"sig","alg":"EdDSA",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let [pkcs8, sec1, ed, rsa, pkcs1] = [
        include_str!("keys/ec.pem"),
        include_str!("keys/ec.sec1.pem"),
        include_str!("keys/ed.pem"),
        include_str!("keys/rsa.pem"),
        include_str!("keys/rsa.pkcs1.pem"),
    ]
    .map(|pem| SigningKey::from_pem(pem).unwrap());
    assert_eq!(pkcs8.kid(), sec1.kid());
    assert_eq!(rsa.kid(), pkcs1.kid());
    // Without a name of its own, a key is called by its thumbprint, however it came.
    for (jwk, same) in [
        (include_str!("keys/ec.jwk.json"), &pkcs8),
        (include_str!("keys/rsa.jwk.json"), &rsa),
    ] {
        let jwk = SigningKey::from_jwk(jwk).unwrap();
        assert_eq!((jwk.kid(), jwk.algorithm()), (same.kid(), same.algorithm()));
    }
    let jwk = SigningKey::from_jwk(JWK).unwrap();
    assert_eq!(jwk.kid(), "vault-7");
    for key in [pkcs8, ed, rsa, jwk] {
        let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
        let algorithm = key.algorithm();
        let server = Harness::on(store.clone(), &clock, |builder| {
            builder
                .access_token_format(AccessTokenFormat::Jwt(algorithm))
                .signing_key(key.clone())
        });
        server.create_clients().await;
        let token = token(&server).await;
        assert_eq!(kid_of(&server, &token).await, key.kid());
        assert_eq!(send(&ledger(&server), &token).await.status, 200);
        assert!(
            server
                .oauth
                .signing_keys()
                .rotate()
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(kept(&store).await, None);
    }
}

#[tokio::test]
async fn of_several_imported_keys_the_first_signs_and_all_are_good() {
    let [old, new] = [include_str!("keys/ec.pem"), include_str!("keys/p256-2.pem")]
        .map(|pem| SigningKey::from_pem(pem).unwrap());
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let on = |keys: Vec<SigningKey>| {
        Harness::on(store.clone(), &clock, |builder| {
            keys.into_iter()
                .fold(es256(builder), |builder, key| builder.signing_key(key))
        })
    };
    let before = on(vec![old.clone(), new.clone()]);
    before.create_clients().await;
    let first = token(&before).await;
    assert_eq!(kid_of(&before, &first).await, old.kid());
    assert_eq!(kids(&before).await, [old.kid(), new.kid()]);
    let after = on(vec![new.clone(), old]);
    assert!(after.is_active(&first).await);
    assert_eq!(kid_of(&after, &token(&after).await).await, new.kid());
    let last = on(vec![new]);
    assert!(!last.is_active(&first).await, "its key was taken away");
}

#[test]
fn what_is_no_key_for_tokens_is_not_imported() {
    let pem = include_str!("keys/ec.pem");
    for wrong in [
        "",
        "x",
        include_str!("keys/p384.pem"),
        include_str!("keys/rsa1024.pem"),
        &pem.replace("PRIVATE", "PUBLIC"),
        &pem[..pem.len() / 2],
        &pem.replace("MIG", "MIH"),
    ] {
        let error = SigningKey::from_pem(wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("MI"));
    }
    let d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let good = json!({"kty": "OKP", "crv": "Ed25519", "d": d, "x": x});
    assert!(SigningKey::from_jwk(&good.to_string()).is_ok());
    for (name, value) in [
        ("kty", json!("oct")),
        ("kty", json!("EC")),
        ("crv", json!("X25519")),
        ("crv", json!("P-256")),
        ("d", json!(null)),
        ("d", json!(x)),
        ("d", json!("AAAA")),
        ("x", json!(d)),
        ("x", json!(format!("{x}="))),
        ("use", json!("enc")),
        ("alg", json!("ES256")),
        ("alg", json!("HS256")),
        ("key_ops", json!([])),
        ("key_ops", json!(["verify", "encrypt"])),
        ("kid", json!("")),
        ("kid", json!("k".repeat(256))),
    ] {
        let mut jwk = good.clone();
        jwk[name] = value.clone();
        let error = SigningKey::from_jwk(&jwk.to_string()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(d), "{name} {value}");
    }
    for (name, value) in [
        ("use", json!("sig")),
        ("key_ops", json!(["sign", "verify"])),
        ("kid", json!("k")),
        ("kid", json!("é".repeat(255))),
        ("kid", json!(null)),
    ] {
        let mut jwk = good.clone();
        jwk[name] = value.clone();
        let key = SigningKey::from_jwk(&jwk.to_string());
        assert!(key.is_ok(), "{name} {value}");
    }
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"});
    assert!(SigningKey::from_jwk(&symmetric.to_string()).is_err());
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let jwt = AccessTokenFormat::Jwt(SigningAlgorithm::Es256);
    let key = || SigningKey::from_pem(include_str!("keys/ec.pem")).unwrap();
    let rsa = || SigningKey::from_pem(include_str!("keys/rsa.pem")).unwrap();
    let day = Duration::from_secs(DAY);
    let on = || es256(builder());
    let bare = || AuthorizationServer::builder(ISSUER);
    for (setting, builder) in [
        ("access_token_format: ", bare().access_token_format(jwt)),
        (
            "access_token_format_for: ",
            on().access_token_format_for("https://other.test", jwt),
        ),
        (
            "access_token_format_for: ",
            on().access_token_format_for("ledger", jwt),
        ),
        ("signing_key: ", on().signing_key(rsa())),
        ("signing_key: ", on().signing_key(key()).signing_key(key())),
        (
            "signing_key, seal_keys_with: ",
            builder().signing_key(key()),
        ),
        (
            "signing_key, seal_keys_with: ",
            builder().seal_keys_with([1; 32]),
        ),
        (
            "seal_keys_with: ",
            on().signing_key(key()).seal_keys_with([1; 32]),
        ),
        ("rotate_keys_every: ", on().rotate_keys_every(day / 2)),
        ("publish_keys_ahead: ", on().publish_keys_ahead(day / 200)),
        (
            "publish_keys_ahead: ",
            on().rotate_keys_every(day).publish_keys_ahead(2 * day),
        ),
        ("rotate_keys_every: ", builder().rotate_keys_every(day)),
        ("publish_keys_ahead: ", builder().publish_keys_ahead(day)),
        (
            "rotate_keys_every: ",
            on().signing_key(key()).rotate_keys_every(day),
        ),
        (
            "publish_keys_ahead: ",
            on().signing_key(key()).publish_keys_ahead(day),
        ),
    ] {
        let error: ConfigError = builder.build().unwrap_err();
        assert!(error.to_string().starts_with(setting), "{setting}{error}");
    }
    assert!(on().signing_key(key()).signing_key(rsa()).build().is_ok());
    // What no resource takes needs no key.
    let rs256 = AccessTokenFormat::Jwt(SigningAlgorithm::Rs256);
    let own = on().signing_key(rsa());
    assert!(own.build().is_err());
    let own = bare().resource(LEDGER, ["ledger.read"]);
    let own = own.access_token_format(jwt).signing_key(rsa());
    assert!(own.access_token_format_for(LEDGER, rs256).build().is_ok());
    assert!(
        on().store(MemoryStore::new())
            .rotate_keys_every(day)
            .build()
            .is_ok()
    );
}

#[tokio::test]
async fn while_the_store_is_down_there_are_no_new_tokens_and_no_verdicts() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = Harness::on(store.clone(), &clock, es256);
    server.create_clients().await;
    let down = |store: &Hooked| {
        store.on_step(|step| async move {
            match step.when {
                When::Before => Err(StoreError::new("no route to host")),
                When::After => Ok(()),
            }
        });
    };
    down(&store);
    let answer = server.get(JWKS, None).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, "1")
    );
    store.let_all_pass();
    let token = token(&server).await;
    down(&store);
    assert_eq!(send(&ledger(&server), &token).await.status, 503);
    store.let_all_pass();
    assert_eq!(send(&ledger(&server), &token).await.status, 200);
}

/// Whatever is to be written fails, and reads go on.
fn writes_fail(store: &Hooked) {
    store.on_step(|step| async move {
        match step.is_write() && step.kind == Some(Kind::KeyRing) {
            true => Err(StoreError::new("the disk is full")),
            false => Ok(()),
        }
    });
}

#[tokio::test]
async fn a_change_of_keys_that_cannot_be_written_leaves_those_that_are_good_in_use() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = Harness::on(store.clone(), &clock, es256);
    server.create_clients().await;
    let first = kids(&server).await;
    server.advance(29 * DAY);
    writes_fail(&store);
    for _ in 0..2 {
        let token = token(&server).await;
        assert!(server.is_active(&token).await, "the next key is due");
        assert_eq!(kids(&server).await, first);
        server.advance(60);
    }
    store.let_all_pass();
    server.advance(60);
    assert_eq!(kids(&server).await.len(), 2, "it is tried again");
    // It is enough that one is to be forgotten.
    server.advance(DAY);
    let token = token(&server).await;
    assert_ne!(kid_of(&server, &token).await, first[0]);
    writes_fail(&store);
    server.advance(299);
    assert!(server.is_active(&token).await);
    server.advance(601);
    let token = self::token(&server).await;
    assert!(server.is_active(&token).await);
    let left = kids(&server).await;
    assert_eq!(left, [kid_of(&server, &token).await], "one is over");
}

#[tokio::test]
async fn a_change_of_keys_that_cannot_be_written_is_an_outage_where_no_key_signs() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = Harness::on(store.clone(), &clock, es256);
    server.create_clients().await;
    writes_fail(&store);
    assert_eq!(server.get(JWKS, None).await.status, 503, "there is none");
    store.let_all_pass();
    assert_eq!(kids(&server).await.len(), 1);
    server.advance(31 * DAY);
    writes_fail(&store);
    assert_eq!(server.get(JWKS, None).await.status, 503, "it is over");
}

#[tokio::test]
async fn of_two_formats_for_one_resource_the_last_holds() {
    let jwt = AccessTokenFormat::Jwt(SigningAlgorithm::EdDsa);
    for (first, last, dots) in [
        (AccessTokenFormat::Opaque, jwt, 2),
        (jwt, AccessTokenFormat::Opaque, 0),
    ] {
        let server = Harness::with(|builder| {
            builder
                .access_token_format_for(LEDGER, first)
                .access_token_format_for(LEDGER, last)
        })
        .await;
        assert_eq!(token(&server).await.matches('.').count(), dots);
        let set = server.get(JWKS, None).await;
        assert_eq!(set.status.as_u16(), if dots == 2 { 200 } else { 404 });
    }
}

/// A clock that can be set back, as those of real machines are.
#[derive(Debug, Clone)]
struct Adjusted(Arc<AtomicU64>);

impl Clock for Adjusted {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(pending())
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_leaves_no_time_in_which_no_key_signs() {
    let time = Arc::new(AtomicU64::new(NOW.as_secs()));
    let adjusted = Adjusted(time.clone());
    let server = Harness::on(MemoryStore::new(), &ManualClock::new(NOW), |builder| {
        es256(builder).clock(adjusted)
    });
    server.create_clients().await;
    let before = token(&server).await;
    for behind in [20, 15, 40 * DAY, 0] {
        time.store(NOW.as_secs() - behind, Ordering::SeqCst);
        let after = token(&server).await;
        assert!(server.is_active(&after).await, "{behind} seconds back");
    }
    assert!(server.is_active(&before).await);
    assert_eq!(kids(&server).await.len(), 1, "and no further key was made");
}
