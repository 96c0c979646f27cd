//! Two requests at once, in every order in which their steps in the store can meet: each order is run, one after the other.
//!
//! A step is one verb on a record that one of the two may write; reads of what nobody writes meanwhile have no order. Each demand is
//! also put to a store that replaces whatever stands there, and must be seen to fail.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tower::ServiceExt as _;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{Body, Client, GrantType, ManualClock, Prompt, Subject, Timestamp};
use tower_oauth::{
    Approval, AuthorizationServer, Decision, Interaction, MemoryStore, PendingRequest,
};

const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
const VERIFIER: &str = "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";

/// On which records two meet.
type Meet = fn(Kind) -> bool;

#[derive(Clone, Default)]
struct Stepped {
    data: Arc<MemoryStore>,
    /// On which records a step waits for the next poll.
    steps: Arc<Mutex<Option<Meet>>>,
    /// Whether `replace` takes any version for the one that was read.
    careless: bool,
}

impl Stepped {
    async fn step(&self, kind: Kind) {
        let mut waits = self.steps.lock().unwrap().is_some_and(|waits| waits(kind));
        std::future::poll_fn(|_| {
            if std::mem::take(&mut waits) {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Store for Stepped {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.step(key.kind).await;
        self.data.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.step(key.kind).await;
        self.data.get(key).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.step(key.kind).await;
        let version = match self.data.get(key).await? {
            Some((_, standing)) if self.careless => standing,
            _ => read,
        };
        self.data.replace(key, version, record).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.step(key.kind).await;
        self.data.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.step(listing.kind).await;
        self.data.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.data.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.data.changes(after).await
    }
}

/// A host that says yes at once, unless alice is to be asked.
struct Yes;

impl Interaction for Yes {
    async fn decide(&self, pending: &PendingRequest, _: &http::request::Parts) -> Decision {
        let alice = Subject::new("alice").unwrap();
        match pending.prompt() {
            [Prompt::Consent] => Decision::Ask(alice.into()),
            _ => Decision::Approve(Approval::new(alice)),
        }
    }
}

struct World {
    oauth: AuthorizationServer,
    store: Stepped,
}

type Told = (u16, Value);

impl World {
    async fn new(careless: bool) -> Self {
        let store = Stepped {
            careless,
            ..Stepped::default()
        };
        let oauth = AuthorizationServer::builder("https://auth.harbor.test")
            .store(store.clone())
            .clock(ManualClock::new(Timestamp::from_secs(1_795_348_800)))
            .resource("https://auth.harbor.test/ledger", ["ledger.read"])
            .default_scope("ledger.read")
            .interaction("/login", Yes)
            .build()
            .unwrap();
        let app = Client::public("app".parse().unwrap())
            .redirect_uri("https://app.harbor.test/cb".parse().unwrap())
            .grant_types([
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::DeviceCode,
            ]);
        oauth.clients().create(app).await.unwrap();
        Self { oauth, store }
    }

    async fn authorize(&self, more: &str) -> http::Response<Body<Body>> {
        let target = format!(
            "/auth/authorize?response_type=code&client_id=app&code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
        );
        let request = Request::get(target).body(Full::<Bytes>::default()).unwrap();
        self.oauth.service().oneshot(request).await.unwrap()
    }

    async fn code(&self) -> String {
        let answer = self.authorize("").await;
        code_in(answer.headers()["location"].to_str().unwrap()).unwrap()
    }

    /// The form of the consent page, without its button.
    async fn form(&self) -> String {
        let answer = self.authorize("&prompt=consent").await;
        let page = answer.into_body().collect().await.unwrap().to_bytes();
        let page = std::str::from_utf8(&page).unwrap();
        let value = |name: &str| {
            let field = format!("name=\"{name}\" value=\"");
            let (_, rest) = page.split_once(&field).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        format!(
            "interaction={}&csrf={}",
            value("interaction"),
            value("csrf")
        )
    }

    /// Presses a button; what is told is where the browser is sent, if it is.
    async fn press(&self, form: &str, button: &str) -> Told {
        let request = Request::post("/auth/authorize")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(Full::<Bytes>::from(format!("{form}&decision={button}")))
            .unwrap();
        let answer = self.oauth.service().oneshot(request).await.unwrap();
        let location = answer.headers().get("location");
        let location = location.map(|value| value.to_str().unwrap());
        (answer.status().as_u16(), location.into())
    }

    /// How many grants come of all that the browser was sent, each redeemed once.
    async fn redeemed(&self, told: &[&Told]) -> usize {
        let mut redeemed = 0;
        for told in told {
            if let Some(code) = told.1.as_str().and_then(code_in) {
                redeemed += usize::from(self.redeem(&code).await.0 == 200);
            }
        }
        redeemed
    }

    async fn post(&self, path: &str, form: String) -> Told {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::<Bytes>::from(form))
            .unwrap();
        let answer = self.oauth.service().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn redeem(&self, code: &str) -> Told {
        let form = format!(
            "grant_type=authorization_code&client_id=app&code={code}&code_verifier={VERIFIER}"
        );
        self.post("/auth/token", form).await
    }

    async fn refresh(&self, token: &str) -> Told {
        let form = format!("grant_type=refresh_token&client_id=app&refresh_token={token}");
        self.post("/auth/token", form).await
    }

    async fn revoke(&self, token: &str) -> Told {
        let form = format!("client_id=app&token={token}");
        self.post("/auth/revoke", form).await
    }

    async fn remove(&self) -> Told {
        let (alice, app) = (Subject::new("alice").unwrap(), "app".parse().unwrap());
        let removed = self.oauth.grants().revoke_client(&alice, &app).await;
        (200, removed.unwrap().into())
    }

    /// A device that its owner has approved.
    async fn device(&self) -> String {
        let told = self.post("/auth/device", "client_id=app".to_owned()).await;
        let form = format!("user_code={}", member(&told, "user_code"));
        let request = Request::post("/device")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(Full::<Bytes>::from(form));
        let entered = self.oauth.service().oneshot(request.unwrap()).await;
        let location = entered.unwrap().headers()["location"].clone();
        let request = Request::get(location.to_str().unwrap()).body(Full::<Bytes>::default());
        let approved = self.oauth.service().oneshot(request.unwrap()).await;
        assert_eq!(approved.unwrap().status(), 200);
        member(&told, "device_code")
    }

    async fn poll(&self, device_code: &str) -> Told {
        let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
        let form = format!("grant_type={grant_type}&client_id=app&device_code={device_code}");
        self.post("/auth/token", form).await
    }

    /// Whether nothing of what alice has given is alive, and what she gives from now on is.
    async fn begins_anew(&self, told: &Told) -> bool {
        let (alice, grants) = (Subject::new("alice").unwrap(), self.oauth.grants());
        let nothing = grants.by_subject(&alice).await.unwrap().is_empty();
        let token = member(told, "refresh_token");
        let dead = token.is_empty() || self.refresh(&token).await.0 == 400;
        let new = self.refresh_token().await;
        nothing && dead && self.refresh(&new).await.0 == 200
    }

    async fn refresh_token(&self) -> String {
        member(&self.redeem(&self.code().await).await, "refresh_token")
    }
}

fn code_in(location: &str) -> Option<String> {
    let (_, rest) = location.split_once("code=")?;
    rest.split('&').next().map(ToOwned::to_owned)
}

fn member(told: &Told, name: &str) -> String {
    told.1[name].as_str().unwrap_or_default().to_owned()
}

/// More steps than two flows have.
const MOST: usize = 1000;

/// Runs two to their end, one step at a time; whose turn it is when both can go on says `turns`, and the first afterwards. Adds to
/// `turns` what was chosen there.
fn interleave(
    one: impl Future<Output = Told>,
    other: impl Future<Output = Told>,
    turns: &mut Vec<bool>,
) -> [Told; 2] {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut told = [None, None];
    let mut taken = 0;
    for _ in 0..MOST {
        let second = match &told {
            [Some(_), Some(_)] => return told.map(Option::unwrap),
            [None, Some(_)] => false,
            [Some(_), None] => true,
            [None, None] => {
                if taken == turns.len() {
                    turns.push(false);
                }
                taken += 1;
                turns[taken - 1]
            }
        };
        let actor: Pin<&mut dyn Future<Output = Told>> =
            if second { other.as_mut() } else { one.as_mut() };
        if let Poll::Ready(answer) = actor.poll(&mut Context::from_waker(Waker::noop())) {
            told[usize::from(second)] = Some(answer);
        }
    }
    panic!("they wait for what no step brings: {told:?}");
}

/// Redeems or polls, and uses the refresh token at once.
async fn and_refresh(world: &World, redeem: impl Future<Output = Told>) -> Told {
    let told = redeem.await;
    if told.0 != 200 {
        return told;
    }
    world.refresh(&member(&told, "refresh_token")).await
}

/// Runs a scene in every order; how many there were, or the first order in which it does not hold.
fn explore(
    careless: bool,
    scene: &impl AsyncFn(&World, &mut Vec<bool>) -> bool,
) -> Result<usize, Vec<bool>> {
    let mut turns = Vec::new();
    for orders in 1.. {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let holds = runtime.block_on(async {
            let world = World::new(careless).await;
            scene(&world, &mut turns).await
        });
        if !holds {
            return Err(turns);
        }
        // The next order: the last turn that was the first actor's becomes the second's.
        while turns.pop_if(|turn| *turn).is_some() {}
        match turns.last_mut() {
            Some(turn) => *turn = true,
            None => return Ok(orders),
        }
    }
    unreachable!("orders are finite")
}

/// What those who redeem, refresh and revoke meet at.
fn tokens(kind: Kind) -> bool {
    kind != Kind::Client
}

/// What those who click on the page meet at.
const fn clicks(kind: Kind) -> bool {
    !matches!(kind, Kind::Client | Kind::SubjectEpoch | Kind::Consent)
}

/// What a removal and those whose approval it ends meet at.
const fn removals(kind: Kind) -> bool {
    matches!(kind, Kind::Grant | Kind::SubjectEpoch)
}

fn both(
    world: &World,
    (steps, turns): (Meet, &mut Vec<bool>),
    one: impl Future<Output = Told>,
    other: impl Future<Output = Told>,
) -> [Told; 2] {
    *world.store.steps.lock().unwrap() = Some(steps);
    let told = interleave(one, other, turns);
    *world.store.steps.lock().unwrap() = None;
    told
}

#[track_caller]
fn holds_in_every_order(scene: &impl AsyncFn(&World, &mut Vec<bool>) -> bool) {
    let orders = explore(false, scene).expect("it holds in every order");
    assert!(orders > 50, "only {orders} orders");
    assert!(
        explore(true, scene).is_err(),
        "a careless store is not seen"
    );
}

#[test]
fn s04_in_every_order_one_of_two_redeems_a_code_and_loses_it_to_the_replay() {
    holds_in_every_order(&async |world, turns| {
        let code = world.code().await;
        let told = both(
            world,
            (tokens, turns),
            world.redeem(&code),
            world.redeem(&code),
        );
        let won: Vec<_> = told.iter().filter(|told| told.0 == 200).collect();
        let [won] = won.as_slice() else { return false };
        world.refresh(&member(won, "refresh_token")).await.0 == 400
    });
}

#[test]
fn s05_in_every_order_two_who_refresh_at_once_get_one_successor() {
    holds_in_every_order(&async |world, turns| {
        let token = world.refresh_token().await;
        let told = both(
            world,
            (tokens, turns),
            world.refresh(&token),
            world.refresh(&token),
        );
        let [one, other] = told.each_ref().map(|told| member(told, "refresh_token"));
        !one.is_empty() && one == other && world.refresh(&one).await.0 == 200
    });
}

#[test]
fn s06_in_every_order_a_revocation_stands_whatever_a_refresh_does() {
    holds_in_every_order(&async |world, turns| {
        let token = world.refresh_token().await;
        let [told, revoked] = both(
            world,
            (tokens, turns),
            world.refresh(&token),
            world.revoke(&token),
        );
        let old = world.refresh(&token).await.0;
        let new = world.refresh(&member(&told, "refresh_token")).await.0;
        (revoked.0, old, new) == (200, 400, 400)
    });
}

#[test]
fn s06_in_every_order_a_removal_ends_what_comes_of_a_code() {
    holds_in_every_order(&async |world, turns| {
        let code = world.code().await;
        let redeem = and_refresh(world, world.redeem(&code));
        let [told, _] = both(world, (removals, turns), redeem, world.remove());
        world.begins_anew(&told).await
    });
}

#[test]
fn s06_in_every_order_a_removal_ends_what_comes_of_an_approved_device() {
    holds_in_every_order(&async |world, turns| {
        let device_code = world.device().await;
        let poll = and_refresh(world, world.poll(&device_code));
        let [told, _] = both(world, (removals, turns), poll, world.remove());
        world.begins_anew(&told).await
    });
}

#[test]
fn s04_in_every_order_two_clicks_on_allow_give_one_code_that_is_good() {
    holds_in_every_order(&async |world, turns| {
        let form = world.form().await;
        let (one, other) = (world.press(&form, "allow"), world.press(&form, "allow"));
        let told = both(world, (clicks, turns), one, other);
        world.redeemed(&told.each_ref()).await == 1
    });
}

#[test]
fn s04_in_every_order_a_third_click_beside_the_second_leaves_one_code_that_is_good() {
    holds_in_every_order(&async |world, turns| {
        let form = world.form().await;
        let first = world.press(&form, "allow").await;
        let (one, other) = (world.press(&form, "allow"), world.press(&form, "allow"));
        let [one, other] = both(world, (clicks, turns), one, other);
        world.redeemed(&[&first, &one, &other]).await == 1
    });
}

#[test]
fn s04_in_every_order_a_second_click_while_the_code_is_redeemed_leads_to_one_grant() {
    holds_in_every_order(&async |world, turns| {
        let form = world.form().await;
        let first = world.press(&form, "allow").await;
        let code = code_in(first.1.as_str().unwrap()).unwrap();
        let [redeemed, again] = both(
            world,
            (clicks, turns),
            world.redeem(&code),
            world.press(&form, "allow"),
        );
        let won = usize::from(redeemed.0 == 200);
        // The tokens of the first stand: nothing is taken for a replay.
        let stands = won == 0 || {
            let token = member(&redeemed, "refresh_token");
            world.refresh(&token).await.0 == 200
        };
        stands && won + world.redeemed(&[&again]).await == 1
    });
}

#[test]
fn s06_in_every_order_a_second_click_beside_a_removal_leads_to_no_grant() {
    let meet = |kind| clicks(kind) || removals(kind);
    let scene = async |world: &World, turns: &mut Vec<bool>| {
        let form = world.form().await;
        let first = world.press(&form, "allow").await;
        let second = world.press(&form, "allow");
        let [second, _] = both(world, (meet, turns), second, world.remove());
        world.redeemed(&[&first, &second]).await == 0 && world.begins_anew(&second).await
    };
    let orders = explore(false, &scene).expect("it holds in every order");
    assert!(orders > 50, "only {orders} orders");
}

#[test]
fn s07_in_every_order_of_a_yes_and_a_no_one_stands() {
    holds_in_every_order(&async |world, turns| {
        let form = world.form().await;
        let [yes, no] = both(
            world,
            (clicks, turns),
            world.press(&form, "allow"),
            world.press(&form, "deny"),
        );
        (yes.0 == 303) != (no.0 == 303)
    });
}
