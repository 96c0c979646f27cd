//! How often somebody may try, how much may be sent, and how long what nobody uses is kept.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use tower_oauth::server::{
    Attempt, AuthorizationServerBuilder, Limit, Registration, Taken, Throttle,
};
use tower_oauth::store::{Key, Kind, Store as _};
use tower_oauth::types::{Client, Digest, GrantType, ManualClock, Secret, Timestamp};

use crate::hooked::{Hooked, When};
use crate::support::{Answer, CALLBACK, Harness, NOW, SECRET, authorization_request, basic};

const FOR_ITSELF: &str = "grant_type=client_credentials&scope=ledger.read";
const DAY: u64 = 86_400;
/// Too long to be one that a person chose: it costs no slow digest.
const GUESS: &str = "guess-0123456789-0123456789-0123456789-0123";

/// Who calls is said by a header.
fn addressed(builder: AuthorizationServerBuilder) -> AuthorizationServerBuilder {
    builder.client_address(|parts| parts.headers.get("x-address")?.to_str().ok()?.parse().ok())
}

async fn from(
    server: &Harness,
    address: &str,
    (id, secret): (&str, &str),
    (path, form): (&str, &str),
) -> Answer {
    let authorization = basic(id, secret);
    let headers = [("authorization", &*authorization), ("x-address", address)];
    server.post_with(path, &headers, form).await
}

#[track_caller]
fn is_held_back(answer: &Answer) {
    answer.error(429, "temporarily_unavailable");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

/// Every endpoint that takes a client secret, and a request to it that is right but for that.
const WITH_SECRETS: [(&str, &str); 4] = [
    ("/auth/token", FOR_ITSELF),
    ("/auth/introspect", "token=toa_x"),
    ("/auth/revoke", "token=toa_x"),
    ("/auth/device", "scope=ledger.read"),
];

// req: 6749-2.3.1-8
#[tokio::test]
async fn rfc6749_2_3_1_guesses_at_a_secret_are_counted_at_every_endpoint() {
    for (path, form) in WITH_SECRETS {
        let server = Harness::with(addressed).await;
        for client in ["web", "unknown"] {
            for _ in 0..10 {
                let answer = from(&server, "192.0.2.1", (client, GUESS), (path, form)).await;
                answer.error(401, "invalid_client");
            }
            let answer = from(&server, "192.0.2.1", (client, GUESS), (path, form)).await;
            is_held_back(&answer);
        }
        // Its holder is not held back, from wherever: nobody guesses 256 bits, and nobody is to lock it out.
        for address in ["192.0.2.1", "192.0.2.2"] {
            let right = from(&server, address, ("web", SECRET), (path, form)).await;
            assert_eq!(right.status, 200, "{path} {right:?}");
        }
        let elsewhere = from(&server, "192.0.2.2", ("web", GUESS), (path, form)).await;
        elsewhere.error(401, "invalid_client");
        server.advance(60);
        let later = from(&server, "192.0.2.1", ("web", GUESS), (path, form)).await;
        later.error(401, "invalid_client");
    }
}

#[tokio::test]
async fn one_address_that_guesses_for_many_clients_and_all_together_are_held_back() {
    let server = Harness::with(addressed).await;
    let guess = async |address: u32, client: u32| {
        let address = IpAddr::from((0xC000_0200 + address).to_be_bytes()).to_string();
        let client = format!("client-{client}");
        from(
            &server,
            &address,
            (&client, GUESS),
            ("/auth/token", FOR_ITSELF),
        )
        .await
    };
    for client in 0..30 {
        guess(0, client).await.error(401, "invalid_client");
    }
    is_held_back(&guess(0, 30).await);
    for number in 30..1000 {
        guess(number / 30, number)
            .await
            .error(401, "invalid_client");
    }
    is_held_back(&guess(99, 99).await);
    let right = from(
        &server,
        "192.0.2.1",
        ("web", SECRET),
        ("/auth/token", FOR_ITSELF),
    )
    .await;
    assert_eq!(
        right.status, 200,
        "the throttle is no way to shut others out"
    );
}

// A secret that a person chose can be guessed, so even the right one waits; and it costs a slow digest each time it is new.
#[tokio::test]
async fn rfc6749_2_3_1_a_chosen_secret_is_held_back_while_somebody_guesses() {
    let server = Harness::with(addressed).await;
    let chosen = Client::confidential("chosen".parse().unwrap(), &Secret::new("wonderland"))
        .grant_types([GrantType::ClientCredentials]);
    server.create(chosen).await;
    let present = async |address: &str, secret: &str| {
        from(
            &server,
            address,
            ("chosen", secret),
            ("/auth/token", FOR_ITSELF),
        )
        .await
    };
    for _ in 0..10 {
        present("192.0.2.1", "rabbit-hole")
            .await
            .error(401, "invalid_client");
    }
    is_held_back(&present("192.0.2.1", "wonderland").await);
    assert_eq!(present("192.0.2.2", "wonderland").await.status, 200);
    server.advance(60);
    for _ in 0..50 {
        assert_eq!(
            present("192.0.2.1", "wonderland").await.status,
            200,
            "the right one is not counted"
        );
    }
}

#[tokio::test]
async fn rfc6749_2_3_1_a_chosen_secret_that_is_in_use_is_no_easier_to_guess() {
    let server = Harness::with(addressed).await;
    let chosen = Client::confidential("chosen".parse().unwrap(), &Secret::new("wonderland"))
        .grant_types([GrantType::ClientCredentials]);
    server.create(chosen).await;
    let present = async |address: &str, secret: &str| {
        let of = ("chosen", secret);
        from(&server, address, of, ("/auth/token", FOR_ITSELF)).await
    };
    // Its digest is remembered from now on: at the first time perhaps not, when the server has just begun to listen to its store.
    for _ in 0..3 {
        assert_eq!(present("192.0.2.2", "wonderland").await.status, 200);
    }
    for _ in 0..10 {
        present("192.0.2.1", "rabbit-hole")
            .await
            .error(401, "invalid_client");
    }
    is_held_back(&present("192.0.2.1", "rabbit-hole").await);
    is_held_back(&present("192.0.2.1", "wonderland").await);
    assert_eq!(present("192.0.2.2", "wonderland").await.status, 200);
}

#[tokio::test]
async fn s20_authorization_requests_beyond_the_limit_are_a_page_and_nothing_is_kept() {
    let limit = Limit::per_minute(2, 5).per_client(3);
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = Harness::on(store.clone(), &clock, |builder| {
        addressed(builder).authorization_requests(limit)
    });
    server.create_clients().await;
    let ask = async |address: &str, client: &str| {
        let request = Request::get(authorization_request(client, "&state=x"))
            .header("x-address", address)
            .header("x-user", "alice");
        server.send(request.body(Full::default()).unwrap()).await
    };
    for _ in 0..2 {
        assert_eq!(ask("192.0.2.1", "app").await.status, 200);
    }
    store.on_step(|step| async move {
        assert!(!step.is_write() || step.when == When::After, "{step:?}");
        Ok(())
    });
    let refused = ask("192.0.2.1", "app").await;
    refused.page(429);
    assert_eq!(refused.header("retry-after"), "60");
    assert!(!refused.headers.contains_key("location"));
    store.let_all_pass();
    assert_eq!(ask("192.0.2.2", "app").await.status, 200);
    ask("192.0.2.3", "app").await.page(429); // three of one client
    assert_eq!(ask("192.0.2.4", "web").await.status, 200);
    assert_eq!(ask("192.0.2.5", "web").await.status, 200);
    ask("192.0.2.6", "web").await.page(429); // five of all
    server.advance(60);
    assert_eq!(ask("192.0.2.1", "app").await.status, 200);
}

#[tokio::test]
async fn s20_device_requests_beyond_the_limit_are_429_and_nothing_is_kept() {
    let limit = Limit::per_minute(2, 4).per_client(3);
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = Harness::on(store.clone(), &clock, |builder| {
        addressed(builder).device_requests(limit)
    });
    server.create_clients().await;
    let ask = async |address: &str, client: &str| {
        let form = format!("client_id={client}&scope=ledger.read");
        let headers = [("x-address", address)];
        server.post_with("/auth/device", &headers, &form).await
    };
    for _ in 0..2 {
        assert_eq!(ask("192.0.2.1", "tv").await.status, 200);
    }
    store.on_step(|step| async move {
        assert!(!step.is_write() || step.when == When::After, "{step:?}");
        Ok(())
    });
    is_held_back(&ask("192.0.2.1", "tv").await);
    store.let_all_pass();
    assert_eq!(ask("192.0.2.2", "tv").await.status, 200);
    is_held_back(&ask("192.0.2.3", "tv").await);
    server.advance(60);
    assert_eq!(ask("192.0.2.1", "tv").await.status, 200);
}

/// Says no to whatever it is told to, and writes down what it was asked.
#[derive(Clone, Default)]
struct Gate {
    asked: Arc<Mutex<Vec<String>>>,
    closed: Arc<Mutex<&'static str>>,
}

impl Throttle for Gate {
    async fn take(&self, attempt: Attempt<'_>, address: Option<IpAddr>, now: Timestamp) -> Taken {
        let asked = format!("{attempt:?}");
        let closed = *self.closed.lock().unwrap();
        let is_closed = !closed.is_empty() && asked.starts_with(closed);
        assert_eq!((address, now), (Some([192, 0, 2, 1].into()), NOW));
        self.asked.lock().unwrap().push(asked);
        if is_closed {
            Taken::TooMany {
                retry_after: Duration::from_secs(17),
            }
        } else {
            Taken::Taken
        }
    }

    async fn give_back(&self, attempt: Attempt<'_>, _: Option<IpAddr>, _: Timestamp) {
        self.asked
            .lock()
            .unwrap()
            .push(format!("back: {attempt:?}"));
    }
}

#[tokio::test]
async fn the_host_may_count_in_its_own_way() {
    let gate = Gate::default();
    let server = Harness::with(|builder| {
        builder
            .registration(Registration::open())
            .throttle(gate.clone())
            .client_address(|_| Some([192, 0, 2, 1].into()))
    })
    .await;
    let (_, user_code) = server.device().await;
    let registration = r#"{"redirect_uris":["https://a.test/cb"]}"#;
    let wrong = || server.post_as("/auth/token", ("web", "guess"), FOR_ITSELF);
    let device = || server.post("/auth/device", "client_id=tv&scope=ledger.read");
    let form = format!("user_code={user_code}");
    let enter = || server.submit("/device", "alice", &form);
    server.authorize("").await.page(200);
    assert_eq!(server.register(registration).await.status, 201);
    wrong().await.error(401, "invalid_client");
    assert_eq!(enter().await.status, 303);
    let asked = gate.asked.lock().unwrap().clone();
    let names: Vec<_> = asked.iter().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "DeviceRequest(ClientId(tv))",
            "AuthorizationRequest(ClientId(app))",
            "Registration",
            "ClientSecret(ClientId(web))",
            "UserCode",
            "back: UserCode",
            "AuthorizationRequest(ClientId(tv))",
        ]
    );
    for closed in [
        "DeviceRequest",
        "AuthorizationRequest",
        "Registration",
        "ClientSecret",
        "UserCode",
    ] {
        *gate.closed.lock().unwrap() = closed;
        let answer = match closed {
            "DeviceRequest" => device().await,
            "AuthorizationRequest" => server.authorize("").await,
            "Registration" => server.register(registration).await,
            "ClientSecret" => wrong().await,
            _ => enter().await,
        };
        assert_eq!(answer.status, 429, "{closed}");
        assert_eq!(answer.header("retry-after"), "17", "{closed}");
    }
}

#[tokio::test]
async fn s20_a_long_target_or_header_is_refused_before_it_is_decoded() {
    let server = Harness::new().await;
    let padded = |length: usize| {
        let request = authorization_request("app", "&more=");
        format!("{request}{}", "a".repeat(length))
    };
    server.get(&padded(12_000), Some("alice")).await.page(200);
    let refused = server.get(&padded(16_384), Some("alice")).await;
    refused.page(414);
    assert!(!refused.headers.contains_key("location"));
    let code = format!("/device?user_code={}", "B".repeat(16_384));
    server.get(&code, Some("alice")).await.page(414);

    let secret = "s".repeat(2_900);
    let long = Client::confidential("long".parse().unwrap(), &Secret::new(&*secret))
        .grant_types([GrantType::ClientCredentials]);
    server.create(long).await;
    let answer = server
        .post_as("/auth/token", ("long", &secret), FOR_ITSELF)
        .await;
    assert_eq!(answer.status, 200);
    let answer = server
        .post_as("/auth/token", ("long", &"s".repeat(3_100)), FOR_ITSELF)
        .await;
    answer.error(401, "invalid_client");
    let longest = "A".repeat(1 << 20);
    let headers = [("authorization", &*format!("Basic {longest}"))];
    let answer = server.post_with("/auth/token", &headers, FOR_ITSELF).await;
    answer.error(401, "invalid_client");
}

#[tokio::test]
async fn s20_json_that_is_too_deep_is_refused() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"redirect_uris":["{CALLBACK}"],"x":{open}{close}}}"#)
    };
    assert_eq!(server.register(&deep(20)).await.status, 201);
    for json in [
        deep(1_000),
        deep(20_000),
        "[".repeat(60_000),
        r#"{"a":"#.repeat(10_000),
    ] {
        let answer = server.register(&json).await;
        answer.error(400, "invalid_client_metadata");
    }
}

/// Whether the client's record stands in the store. One that has expired there may stand for a while where a purge forgets nothing.
async fn is_kept(store: &Hooked, client_id: &str, now: Timestamp) -> bool {
    let key = Key::new(Kind::Client, Digest::of("client", client_id.as_bytes()));
    let found = store.get(key).await.unwrap();
    found.is_some_and(|(record, _)| store.purge_forgets() || record.expires_at > now)
}

#[tokio::test]
async fn clients_that_nobody_uses_are_forgotten_and_others_are_not() {
    let days = |days: u64| Duration::from_secs(days * DAY);
    for (set, unused, idle) in [(None, 1, 90), (Some((3, 20)), 3, 20)] {
        let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
        let server = Harness::on(store.clone(), &clock, |builder| {
            let registration = Registration::open();
            builder.registration(match set {
                None => registration,
                Some((unused, idle)) => registration
                    .unused_client_lifetime(days(unused))
                    .idle_client_lifetime(days(idle)),
            })
        });
        server.create_clients().await;
        let mut ids = Vec::new();
        for name in ["unused", "idle", "used"] {
            let json = format!(
                r#"{{"client_name":"{name}","redirect_uris":["{CALLBACK}"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"scope":"ledger.read offline_access"}}"#
            );
            ids.push(server.register(&json).await.member("client_id"));
        }
        let use_it = async |id: &str| {
            let code = server.code_for(id, "&scope=ledger.read").await;
            let form = crate::support::redemption(id, &code);
            assert_eq!(server.post("/auth/token", &form).await.status, 200);
        };
        use_it(&ids[1]).await;
        let purge = async || {
            while store.purge(server.clock_now(), 1000).await.unwrap() == 1000 {}
        };
        let kept = async || {
            purge().await;
            let now = server.clock_now();
            [
                is_kept(&store, &ids[0], now).await,
                is_kept(&store, &ids[1], now).await,
                is_kept(&store, &ids[2], now).await,
            ]
        };
        use_it(&ids[2]).await;
        server.advance(unused * DAY - 1);
        assert_eq!(kept().await, [true; 3]);
        server.advance(1);
        assert_eq!(kept().await, [false, true, true], "{set:?}");
        let begun = unused;
        for day in begun..idle {
            assert_eq!(kept().await, [false, true, true], "{set:?} {day}");
            if day % 5 == 0 {
                use_it(&ids[2]).await;
            }
            server.advance(DAY);
        }
        server.advance(DAY);
        assert_eq!(kept().await, [false, false, true], "{set:?}");
        let gone = server
            .get(&authorization_request(&ids[1], ""), Some("alice"))
            .await;
        gone.page(400);
    }
}

#[tokio::test]
async fn no_refresh_token_outlives_its_client() {
    let two_weeks = Registration::open().idle_client_lifetime(Duration::from_secs(14 * DAY));
    let server = Harness::with(|builder| builder.registration(two_weeks)).await;
    let json = format!(
        r#"{{"redirect_uris":["{CALLBACK}"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"]}}"#
    );
    let id = server.register(&json).await.member("client_id");
    let code = server.code_for(&id, "").await;
    let form = crate::support::redemption(&id, &code);
    let mut tokens = server.post("/auth/token", &form).await;
    // The second use comes so soon after the first that it need not be noted; the last token lives its two weeks all the same.
    for idle in [DAY - 1, 14 * DAY - 1] {
        server.forget(&id).await;
        server.advance(idle);
        let refresh = tokens.member("refresh_token");
        let form = format!("grant_type=refresh_token&client_id={id}&refresh_token={refresh}");
        tokens = server.post("/auth/token", &form).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
    }
}

#[test]
fn lifetimes_of_clients_have_bounds() {
    let build =
        |registration: Registration| crate::support::builder().registration(registration).build();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert!(build(Registration::open().unused_client_lifetime(hours(1))).is_ok());
    assert!(build(Registration::open().idle_client_lifetime(hours(14 * 24))).is_ok());
    for (setting, registration) in [
        (
            "unused_client_lifetime",
            Registration::open().unused_client_lifetime(hours(1) / 2),
        ),
        (
            "idle_client_lifetime",
            Registration::open().idle_client_lifetime(hours(14 * 24 - 1)),
        ),
        (
            "client_secret_lifetime",
            Registration::open().client_secret_lifetime(hours(0)),
        ),
    ] {
        let error = build(registration).unwrap_err().to_string();
        assert!(error.starts_with(setting), "{error}");
    }
    let long = crate::support::builder().registration(Registration::open());
    let long = long.refresh_token_lifetime(hours(365 * 24));
    assert!(
        long.build().is_ok(),
        "by default a client is kept as long as its tokens"
    );
}

// req: 6749-10.10-3
#[tokio::test]
async fn what_a_generated_secret_guards_needs_no_throttle() {
    let server = Harness::new().await;
    let made = server
        .oauth
        .clients()
        .rotate_secret(&"web".parse().unwrap())
        .await;
    let secret = made.unwrap().unwrap();
    assert_eq!(secret.expose().len(), 43);
    for _ in 0..200 {
        let answer = server
            .post_as("/auth/token", ("web", secret.expose()), FOR_ITSELF)
            .await;
        assert_eq!(answer.status, 200, "however often it is used");
    }
}
