//! What goes wrong at the authorization endpoint, and who is told: the person, or the client at a proven address.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_oauth::MemoryStore;
use tower_oauth::server::Registration;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{Client, Timestamp};

use crate::register::{PUBLIC, with};
use crate::support::{CALLBACK, Harness, authorization_request, changed};

/// A memory store that lets others run before each answer, and has nothing to say about some kinds of records.
#[derive(Clone, Default)]
pub(crate) struct Faulty {
    store: Arc<MemoryStore>,
    down: Arc<Mutex<Vec<Kind>>>,
}

impl Faulty {
    pub(crate) fn break_down(&self, kinds: &[Kind]) {
        *self.down.lock().unwrap() = kinds.to_vec();
    }

    async fn answers(&self, kind: Kind) -> Result<&MemoryStore, StoreError> {
        tokio::task::yield_now().await;
        match self.down.lock().unwrap().contains(&kind) {
            true => Err(StoreError::new("down for the test")),
            false => Ok(&self.store),
        }
    }
}

impl Store for Faulty {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.answers(key.kind).await?.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.answers(key.kind).await?.get(key).await
    }

    async fn replace(&self, key: Key, read: Version, new: Record) -> Result<Replace, StoreError> {
        self.answers(key.kind).await?.replace(key, read, new).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.answers(key.kind).await?.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.answers(listing.kind).await?.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.store.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.store.changes(after).await
    }
}

// req: 6749-4.1.2.1-1, 6749-4.1.1-2, 9700-4.11.2-1, 9207-PROJ-2
#[tokio::test]
async fn s01_nobody_is_sent_to_an_address_that_is_not_proven() {
    let server = Harness::new().await;
    let bare = Client::public("bare".parse().unwrap());
    server.oauth.clients().create(bare).await.unwrap();
    let two = Client::public("two".parse().unwrap())
        .redirect_uri(CALLBACK.parse().unwrap())
        .redirect_uri("https://app.harbor.test/2".parse().unwrap());
    server.oauth.clients().create(two).await.unwrap();
    let off = Client::public("off".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap());
    server.oauth.clients().create(off).await.unwrap();
    let disabled = server
        .oauth
        .clients()
        .disable(&"off".parse().unwrap(), true)
        .await;
    assert!(disabled.unwrap());
    let cases: [&[(&str, Option<&str>)]; 17] = [
        &[("client_id", None)],
        &[("client_id", Some(""))],
        &[("client_id", Some("nobody"))],
        &[("client_id", Some("APP"))],
        &[("client_id", Some("app%00"))],
        &[("client_id", Some("%C3%A9"))],
        &[("client_id", Some("app&client_id=app"))],
        &[("client_id", Some("off"))],
        &[("redirect_uri", Some("https://evil.test/cb"))],
        &[(
            "redirect_uri",
            Some("https%3A%2F%2Fapp.harbor.test%2Fcb%23"),
        )],
        &[("redirect_uri", Some("javascript:alert(1)"))],
        &[(
            "redirect_uri",
            Some("https://app.harbor.test/cb&redirect_uri=https://app.harbor.test/cb"),
        )],
        &[(
            "redirect_uri",
            Some("https://app.harbor.test/cb&redirect_uri="),
        )],
        &[("client_id", Some("bare")), ("redirect_uri", None)],
        &[("client_id", Some("bare"))],
        &[("client_id", Some("two")), ("redirect_uri", None)],
        // Whatever else is wrong: the address comes first.
        &[
            ("redirect_uri", Some("https://evil.test")),
            ("response_type", Some("token")),
        ],
    ];
    for case in cases {
        for user in [None, Some("alice")] {
            let answer = server.get(&changed(case), user).await;
            answer.page(400);
            let text = answer.text();
            for told in ["evil.test", "iss=", "alert(1)", "<a "] {
                assert!(!text.contains(told), "{told} for {case:?}");
            }
        }
    }
    assert_eq!(server.get(&changed(&[]), Some("alice")).await.status, 200);
}

// req: 6749-3.1.2.4-1, 6749-3.1.2.4-2
#[tokio::test]
async fn rfc6749_3_1_2_4_the_person_is_told_what_is_wrong_and_goes_nowhere() {
    let server = Harness::new().await;
    for (case, told) in [
        (("client_id", None), "client_id is missing"),
        (
            ("client_id", Some("x")),
            "The application is not known here",
        ),
        (
            ("redirect_uri", Some("https://evil.test")),
            "The address to return to is not registered for this application",
        ),
        (
            ("interaction", Some("x")),
            "This request has expired or is not known",
        ),
    ] {
        let answer = server.get(&changed(&[case]), Some("alice")).await;
        answer.page(400);
        assert!(answer.text().contains(told), "{}", answer.text());
    }
}

// req: 6749-3.1.1-1, 6749-3.1.1-2, 6749-4.1.2.1-2, 6749-4.1.2.1-7
#[tokio::test]
async fn rfc6749_4_1_2_1_every_other_error_goes_to_the_client_with_state_and_iss() {
    let server = Harness::new().await;
    for (name, value, code) in [
        ("response_type", None, "invalid_request"),
        ("response_type", Some(""), "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", Some("banana"), "unsupported_response_type"),
        ("response_type", Some("CODE"), "unsupported_response_type"),
        (
            "response_type",
            Some("code+id_token"),
            "unsupported_response_type",
        ),
        (
            "response_type",
            Some("id_token+code"),
            "unsupported_response_type",
        ),
        ("response_mode", Some("fragment"), "invalid_request"),
        ("response_mode", Some("form_post"), "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("scope", Some("nope"), "invalid_scope"),
        ("resource", Some("nope"), "invalid_target"),
    ] {
        for client in ["app", "web"] {
            let case = [(name, value), ("client_id", Some(client))];
            let answer = server.get(&changed(&case), Some("alice")).await;
            answer.redirected_error(code);
            assert!(answer.location().starts_with(&format!("{CALLBACK}?error=")));
            assert!(!answer.location().contains('#'));
            assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
        }
    }
    let page = server.get(&changed(&[]), Some("alice")).await;
    let denied = server.decide(&page, "alice", "deny").await;
    denied.redirected_error("access_denied");
    assert_eq!(denied.parameter("state").as_deref(), Some("s1"));
}

// req: 6749-4.1.2.1-3, 6749-4.1.2.1-11, 6749-3.1.1-3, 6749-4.2-1
#[tokio::test]
async fn s25_an_error_is_one_code_and_one_fixed_sentence_that_echoes_nothing() {
    let server = Harness::new().await;
    let hostile = "%22%3E%3Cscript%3E%5C%0D%0Ax%C3%A9";
    for name in [
        "response_type",
        "response_mode",
        "scope",
        "resource",
        "code_challenge",
        "code_challenge_method",
    ] {
        let case = [(name, Some(hostile))];
        let answer = server.get(&changed(&case), Some("alice")).await;
        let description = answer.parameter("error_description").unwrap();
        let fits = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        assert!(description.bytes().all(fits), "{description}");
        assert!(!answer.location().contains("%3C"), "{answer:?}");
        assert_eq!(answer.location().matches("error=").count(), 1);
    }
    // The order of the names in a response type has no meaning: neither way is offered.
    for implicit in ["token", "code+token", "token+code"] {
        let case = [("response_type", Some(implicit))];
        let answer = server.get(&changed(&case), Some("alice")).await;
        answer.redirected_error("unsupported_response_type");
    }
}

/// A client that registered itself, with this address to return to.
async fn registered(server: &Harness, redirect_uri: &str) -> String {
    let body = format!(
        r#"{{"redirect_uris":["{redirect_uri}"],"token_endpoint_auth_method":"none","client_name":"Nice App"}}"#
    );
    let answer = server.register(&body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.member("client_id")
}

// req: 9700-4.11.2-3, 9700-4.11.2-4, mcp-sec-7
#[tokio::test]
async fn s02_a_bad_request_of_a_client_that_registered_itself_names_the_host_before_anybody_goes_there()
 {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    for (uri, host) in [
        ("https://phish.test/cb?x=1", "phish.test"),
        ("http://127.0.0.1:9/cb", "127.0.0.1:9"),
        ("com.phish.app:/cb", "com.phish.app"),
    ] {
        let client = registered(&server, uri).await;
        let uri: String = url::form_urlencoded::byte_serialize(uri.as_bytes()).collect();
        for wrong in [
            ("scope", Some("nope")),
            ("code_challenge", None),
            ("response_type", Some("token")),
            ("state", Some("%0D%0A")),
        ] {
            let case = [
                ("client_id", Some(client.as_str())),
                ("redirect_uri", Some(&uri)),
                ("state", Some("%22%3E%3Cb%3E")),
            ];
            let case: Vec<_> = case
                .into_iter()
                .filter(|(name, _)| *name != wrong.0)
                .collect();
            let case = [&case[..], &[wrong]].concat();
            for user in [None, Some("alice")] {
                let answer = server.get(&changed(&case), user).await;
                answer.page(400);
                let text = answer.text();
                assert!(text.contains(&format!("<bdi>{host}</bdi>")), "{text}");
                assert!(text.contains("Nobody has vouched"), "{text}");
                assert_eq!(text.matches("<a ").count(), 1);
                assert!(text.contains("error=") && text.contains("iss="), "{text}");
                assert!(!text.contains("\"><b>") && !text.contains("Nice App"));
            }
        }
        // What the person decides goes there without a page in between: they saw the host on the consent page.
        let case = [
            ("client_id", Some(client.as_str())),
            ("redirect_uri", Some(&uri)),
        ];
        let page = server.get(&changed(&case), Some("alice")).await;
        assert!(page.text().contains(&format!("<bdi>{host}</bdi>")));
        server
            .decide(&page, "alice", "deny")
            .await
            .redirected_error("access_denied");
    }
}

// req: 6749-4.1.2.1-10
#[tokio::test]
async fn rfc6749_4_1_2_1_a_store_that_is_down_is_a_503_page_or_told_to_the_proven_client() {
    let store = Faulty::default();
    let server = Harness::with(|builder| builder.store(store.clone())).await;
    server.forget("app").await;
    store.break_down(&[Kind::Client]);
    let answer = server.get(&changed(&[]), Some("alice")).await;
    answer.page(503);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.text().contains("down for the test"));

    store.break_down(&[Kind::Interaction]);
    let answer = server.get(&changed(&[]), Some("alice")).await;
    answer.redirected_error("temporarily_unavailable");
    assert_eq!(answer.parameter("state").as_deref(), Some("s1"));

    store.break_down(&[]);
    let page = server.get(&changed(&[]), Some("alice")).await;
    for (down, then) in [
        (Kind::SubjectEpoch, "temporarily_unavailable"),
        (Kind::Interaction, "page"),
        (Kind::Client, "page"),
    ] {
        store.break_down(&[]);
        server.forget("app").await;
        store.break_down(&[down]);
        let answer = server.decide(&page, "alice", "allow").await;
        match then {
            "page" => answer.page(503),
            code => answer.redirected_error(code),
        }
    }
    // Nothing was decided by any of this.
    store.break_down(&[]);
    let answer = server.decide(&page, "alice", "allow").await;
    assert!(answer.parameter("code").is_some());
    // A code that could not be kept was never sent.
    let page = server
        .get(&changed(&[("scope", Some("ledger.write"))]), Some("alice"))
        .await;
    store.break_down(&[Kind::Code]);
    let answer = server.decide(&page, "alice", "allow").await;
    answer.redirected_error("temporarily_unavailable");
}

// req: http-form-2, http-form-5, http-form-8, 6749-B-1
#[tokio::test]
async fn s20_what_cannot_be_read_is_a_page_and_never_a_redirect() {
    let server = Harness::new().await;
    let good = authorization_request("app", "");
    for bad in ["&x=%zz", "&state=%C3", "&state=%FF", "&x=%00", "&%=1"] {
        server.get(&format!("{good}{bad}"), None).await.page(400);
    }
    let (path, query) = good.split_once('?').unwrap();
    let fits = "&x=1".repeat(64 - 5);
    assert_eq!(server.get(&format!("{good}{fits}"), None).await.status, 303);
    server.get(&format!("{good}{fits}&x"), None).await.page(400);
    let of_type = async |media_type| {
        let request = Request::post(path).header("content-type", media_type);
        let body = Full::from(query.to_owned());
        server.send(request.body(body).unwrap()).await
    };
    for media_type in ["application/xml", "multipart/form-data", "text/plain", ""] {
        of_type(media_type).await.page(400);
    }
    // JSON is an owner's answer, and never an authorization request.
    of_type("application/json")
        .await
        .error(400, "invalid_request");
    let request = Request::post(path).body(Full::from(query.to_owned()));
    server.send(request.unwrap()).await.page(400);
    let request = Request::post(path)
        .header(
            "content-type",
            "Application/X-WWW-Form-Urlencoded; charset=utf-8",
        )
        .body(Full::from(Bytes::from(query.to_owned())));
    assert_eq!(server.send(request.unwrap()).await.status, 303);
    let huge = format!("{query}&x={}", "x".repeat(16 * 1024));
    assert_eq!(server.post(path, &huge).await.status, 413);
}

#[tokio::test]
async fn an_outage_is_503_with_retry_after_for_a_client_that_registered_itself_too() {
    let store = Faulty::default();
    let server = Harness::with(|builder| {
        builder
            .store(store.clone())
            .registration(Registration::open())
    })
    .await;
    let id = with(&server, PUBLIC).await.member("client_id");
    store.break_down(&[Kind::Interaction]);
    let answer = server
        .get(&authorization_request(&id, ""), Some("alice"))
        .await;
    answer.page(503);
    assert_eq!(answer.header("retry-after"), "1");
}
