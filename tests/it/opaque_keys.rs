//! Names are opaque keys: whatever stands in one, it is that one and no other, and lists hold what is theirs.

use tower_oauth::store::{Insert, Key, Kind, Listing, Owner, Record, Store};
use tower_oauth::types::{Client, ClientId, Digest, GrantType, ManualClock, Secret, Subject};
use tower_oauth::{MemoryStore, SqliteStore};

use crate::support::{FOR_ITSELF, Harness, NOW, SECRET, authorization_request, redemption};

/// Names that mean something to a path, a query, a pattern or a shell, and that only differ in what one of these would drop.
const NAMES: [&str; 20] = [
    "a",
    "A",
    "a/",
    "/a",
    "a/../a",
    "../a",
    "..",
    ".",
    "a//a",
    "a%2Fa",
    "a%00",
    "%",
    "_",
    "*",
    "a' OR '1'='1",
    "a\"; DROP TABLE records; --",
    "a\\",
    "a?x=1#y",
    "a:b",
    "${a}",
];

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn of_each_store() -> Vec<(Harness, Option<tempfile::TempDir>)> {
    let clock = ManualClock::new(NOW);
    let files = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(files.path().join("oauth.db")).await;
    vec![
        (Harness::on(MemoryStore::new(), &clock, |b| b), None),
        (Harness::on(sqlite.unwrap(), &clock, |b| b), Some(files)),
    ]
}

#[tokio::test]
async fn s15_client_ids_are_opaque_whatever_stands_in_them() {
    for (server, _files) in of_each_store().await {
        // Not of the name: that may stand in the log.
        let secret = |number: usize| format!("{SECRET}-{number:02}");
        for (number, name) in NAMES.into_iter().enumerate() {
            let secret = Secret::new(secret(number));
            let client = Client::confidential(name.parse().unwrap(), &secret);
            server
                .create(client.grant_types([GrantType::ClientCredentials]))
                .await;
        }
        assert_eq!(
            server.oauth.clients().list().await.unwrap().len(),
            NAMES.len()
        );
        for (number, name) in NAMES.into_iter().enumerate() {
            let id: ClientId = name.parse().unwrap();
            let found = server.oauth.clients().get(&id).await.unwrap();
            assert_eq!(found.unwrap().client_id().as_str(), name);
            let (id, secret) = (encoded(name), secret(number));
            let credentials = (id.as_str(), secret.as_str());
            let answer = server.post_as("/auth/token", credentials, FOR_ITSELF).await;
            let form = format!("token={}", answer.access_token());
            let told = server.post_as("/auth/introspect", credentials, &form).await;
            assert_eq!(told.member("client_id"), name);
        }
        // What one can be taken for is not it: nobody else ends with the one that is switched off.
        for name in NAMES {
            let id = name.parse().unwrap();
            assert!(server.oauth.clients().disable(&id, true).await.unwrap());
            let on = server.oauth.clients().list().await.unwrap();
            let off: Vec<_> = on.iter().filter(|client| client.is_disabled()).collect();
            assert_eq!(off.len(), 1, "{name}");
            assert_eq!(off[0].client_id().as_str(), name);
            assert!(server.oauth.clients().disable(&id, false).await.unwrap());
        }
        // A name with a control character is none, and is told like one that nobody has; a NUL is not even read.
        for nobody in [
            "a%00",
            "a%0A",
            "a%0D%0A",
            "%00a",
            "a%C2%85",
            "a%2F..%00",
            "nobody",
            "a%7F",
        ] {
            let form = format!("{FOR_ITSELF}&client_id={nobody}&client_secret={SECRET}-00");
            let answer = server.post("/auth/token", &form).await;
            if nobody.contains("%00") {
                answer.error(400, "invalid_request");
            } else {
                answer.error(401, "invalid_client");
            }
            let request = authorization_request(nobody, "");
            server.get(&request, Some("alice")).await.page(400);
        }
    }
}

#[tokio::test]
async fn s15_what_people_grant_is_listed_and_revoked_under_their_own_names_alone() {
    for (server, _files) in of_each_store().await {
        server.create_clients().await;
        let mut granted = Vec::new();
        for name in NAMES {
            let request = authorization_request("app", "");
            let page = server.get(&request, Some(name)).await;
            let answer = server.decide(&page, name, "allow").await;
            let code = answer.parameter("code").unwrap();
            let tokens = server.post("/auth/token", &redemption("app", &code)).await;
            granted.push((Subject::new(name).unwrap(), tokens.access_token()));
        }
        for (subject, token) in &granted {
            let mine = server.oauth.grants().by_subject(subject).await.unwrap();
            assert_eq!(mine.len(), 1, "{subject}");
            assert_eq!(&mine[0].subject, subject);
            assert_eq!(server.introspect(token).await["sub"], subject.as_str());
        }
        let all = server.oauth.grants();
        let all = all.by_client(&"app".parse().unwrap()).await.unwrap();
        assert_eq!(all.len(), NAMES.len());
        for (place, (subject, _)) in granted.iter().enumerate() {
            let grants = server.oauth.grants();
            grants.revoke_all_of_subject(subject).await.unwrap();
            for (later, (other, token)) in granted.iter().enumerate() {
                assert_eq!(server.is_active(token).await, later > place, "{other}");
            }
        }
    }
    for none in ["", "a\0", "a\nb", "\u{85}"] {
        assert!(Subject::new(none).is_err(), "{none:?}");
        assert!(none.parse::<ClientId>().is_err(), "{none:?}");
    }
}

/// All that a list gives, in pages that begin behind this.
async fn listed(store: &impl Store, owner: Owner, mut after: Option<Digest>) -> Vec<Digest> {
    let mut all = Vec::new();
    loop {
        let listing = Listing {
            kind: Kind::Grant,
            owner,
            after,
            limit: 3,
        };
        let page = store.list(listing).await.unwrap();
        all.extend(page.digests);
        assert!(all.len() < 100, "the pages do not end");
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// No cursor leaves the process, so none has to be authenticated: and whatever one says, a list holds its owner's records only.
async fn keeps_apart(store: &impl Store) {
    let owner = |name: &str| Digest::of("subject", name.as_bytes());
    let grant = |name: &str, number: u8| Digest::of(name, &[number]);
    for number in 0..8 {
        for name in ["alice", "bob"] {
            let value = bytes::Bytes::from_static(br#"{"v":1}"#);
            let mut record =
                Record::new(value, NOW.saturating_add(std::time::Duration::from_secs(9)));
            record.owners = vec![owner(name)];
            let key = Key::new(Kind::Grant, grant(name, number));
            let inserted = store.insert(key, record, NOW).await.unwrap();
            assert!(matches!(inserted, Insert::Inserted(_)));
        }
    }
    let all = listed(store, owner("alice"), None).await;
    let of_alice: Vec<_> = (0..8).map(|number| grant("alice", number)).collect();
    assert_eq!(all.len(), 8);
    assert!(of_alice.iter().all(|digest| all.contains(digest)));
    let of_bob = (0..8).map(|number| grant("bob", number));
    let made_up =
        [[0; 32], [0xFF; 32], *b"' OR 1=1; --\0/../\n\r%%__**AAAAAAA"].map(Digest::from_bytes);
    for cursor in of_bob.chain(made_up).chain(of_alice.clone()) {
        let rest = listed(store, owner("alice"), Some(cursor)).await;
        let behind = all.iter().filter(|digest| **digest > cursor);
        assert!(rest.iter().eq(behind), "{rest:?}");
    }
}

#[tokio::test]
async fn s15_a_cursor_that_somebody_made_up_shows_nothing_of_others() {
    keeps_apart(&MemoryStore::new()).await;
    let files = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(files.path().join("oauth.db")).await;
    keeps_apart(&sqlite.unwrap()).await;
}

#[tokio::test]
async fn s15_an_artefact_with_more_in_it_is_another_one() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    for more in ["%00", "%2F..", "%0A", "%25", "*", "'", "/", "%20"] {
        for other in [format!("{code}{more}"), format!("{more}{code}")] {
            let answer = server.redeem(&other).await;
            let nul = more == "%00";
            answer.error(
                400,
                if nul {
                    "invalid_request"
                } else {
                    "invalid_grant"
                },
            );
        }
    }
    server.redeem(&code).await.pair();
}
