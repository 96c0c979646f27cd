//! The host's hand on clients and on what owners have granted.

use tower_oauth::server::{CreateClient, Granted};
use tower_oauth::types::{Client, ClientId, GrantType, RegisteredBy, Secret, Subject};

use crate::support::{
    Answer, CALLBACK, DEVICE_CODE, FOR_ITSELF, Harness, LEDGER, NOW, SECRET, alice,
    authorization_request, redemption,
};

fn id(text: &str) -> ClientId {
    text.parse().unwrap()
}

/// Everything of `web` that can be alive.
struct Alive {
    code: String,
    access: String,
    refresh: String,
    device_code: String,
    of_itself: String,
}

impl Alive {
    async fn new(server: &Harness) -> Self {
        let used = redemption("web", &server.code_for("web", "").await);
        let (access, refresh) = server.web(&used).await.pair();
        let device = server
            .post_as("/auth/device", ("web", SECRET), "scope=ledger.read")
            .await;
        let page = server.enter(&device.member("user_code"), "alice").await;
        server.decide(&page, "alice", "allow").await;
        Self {
            code: server.code_for("web", "").await,
            access,
            refresh,
            device_code: device.member("device_code"),
            of_itself: server.web(FOR_ITSELF).await.access_token(),
        }
    }

    /// What the token endpoint says to the code, the refresh token and the device code.
    async fn redeem(&self, server: &Harness) -> [Answer; 3] {
        let refresh = format!("grant_type=refresh_token&refresh_token={}", self.refresh);
        let poll = format!("grant_type={DEVICE_CODE}&device_code={}", self.device_code);
        [
            server.web(&redemption("web", &self.code)).await,
            server.web(&refresh).await,
            server.web(&poll).await,
        ]
    }
}

async fn grants(server: &Harness) -> Vec<Granted> {
    server.oauth.grants().by_subject(&alice()).await.unwrap()
}

#[tokio::test]
async fn a_client_is_created_once_read_and_listed() {
    let server = Harness::new().await;
    let clients = server.oauth.clients();
    let new = || Client::public(id("new")).redirect_uri(CALLBACK.parse().unwrap());
    let named = new().name("New").scope("ledger.read".parse().unwrap());
    let created = clients.create(named).await.unwrap();
    assert_eq!(created, CreateClient::Created);
    let again = clients.create(new().name("Other")).await.unwrap();
    assert_eq!(again, CreateClient::Exists);
    let secret = Secret::new("x");
    let again = clients
        .create(Client::confidential(id("web"), &secret))
        .await;
    assert_eq!(again.unwrap(), CreateClient::Exists);
    server.web(FOR_ITSELF).await.access_token(); // its secret is still the old one

    let read = clients.get(&id("new")).await.unwrap().unwrap();
    assert_eq!(read.client_name(), Some("New"));
    assert_eq!(read.client_id_issued_at(), NOW);
    assert_eq!(read.registered_by(), RegisteredBy::Host);
    assert_eq!(read.redirect_uris().len(), 1);
    assert_eq!(
        read.allowed_grant_types(),
        [GrantType::AuthorizationCode, GrantType::RefreshToken]
    );
    assert_eq!(read.allowed_scope().unwrap().to_string(), "ledger.read");
    assert!(!read.is_confidential() && !read.is_disabled());
    assert!(clients.get(&id("nobody")).await.unwrap().is_none());

    let mut ids: Vec<_> = clients.list().await.unwrap();
    ids.sort_by_key(|client| client.client_id().to_string());
    let ids: Vec<_> = ids
        .iter()
        .map(|client| client.client_id().as_str())
        .collect();
    assert_eq!(ids, ["all", "app", "new", "rs", "tv", "web"]);
}

#[tokio::test]
async fn more_clients_than_a_page_holds_are_all_listed() {
    let server = Harness::new().await;
    for number in 0..250 {
        server
            .create(Client::public(id(&format!("c{number}"))))
            .await;
    }
    let listed = server.oauth.clients().list().await.unwrap();
    let ids: std::collections::HashSet<_> = listed
        .iter()
        .map(|client| client.client_id().to_string())
        .collect();
    assert_eq!((listed.len(), ids.len()), (255, 255));
}

#[tokio::test]
async fn what_there_is_not_is_not_changed() {
    let server = Harness::new().await;
    let (clients, nobody) = (server.oauth.clients(), id("nobody"));
    assert!(!clients.disable(&nobody, true).await.unwrap());
    assert!(!clients.revoke_tokens(&nobody).await.unwrap());
    assert!(clients.rotate_secret(&nobody).await.unwrap().is_none());
    let public = clients.rotate_secret(&id("app")).await.unwrap();
    assert!(public.is_none(), "it would become confidential");
    let grants = server.oauth.grants();
    assert!(!grants.revoke_all_of_client(&nobody).await.unwrap());
    assert!(!grants.revoke(&alice(), "nothing").await.unwrap());
    assert!(grants.by_subject(&alice()).await.unwrap().is_empty());
    server.code_for("app", "").await;
    assert!(clients.get(&nobody).await.unwrap().is_none());
}

// req: 6749-5.2-5
#[tokio::test]
async fn s06_a_client_that_is_switched_off_is_dead_at_once_with_all_that_is_its() {
    let server = Harness::new().await;
    let alive = Alive::new(&server).await;
    let (others, _) = server.tokens("").await.pair();
    let clients = server.oauth.clients();
    assert!(clients.disable(&id("web"), true).await.unwrap());
    assert!(
        clients
            .get(&id("web"))
            .await
            .unwrap()
            .unwrap()
            .is_disabled()
    );
    for token in [&alive.access, &alive.of_itself] {
        assert!(!server.is_active(token).await);
    }
    assert_eq!(grants(&server).await.len(), 1, "that of app");
    for answer in alive.redeem(&server).await {
        answer.error(401, "invalid_client");
    }
    server.web(FOR_ITSELF).await.error(401, "invalid_client");
    for path in ["/auth/introspect", "/auth/revoke", "/auth/device"] {
        let answer = server.post_as(path, ("web", SECRET), "token=x").await;
        answer.error(401, "invalid_client");
    }
    let request = authorization_request("web", "");
    server.get(&request, Some("alice")).await.page(400);
    assert!(server.is_active(&others).await);

    // Switched on again it may start anew; what it had stays dead.
    assert!(clients.disable(&id("web"), false).await.unwrap());
    for answer in alive.redeem(&server).await {
        answer.error(400, "invalid_grant");
    }
    for token in [&alive.access, &alive.of_itself] {
        assert!(!server.is_active(token).await);
    }
    assert_eq!(grants(&server).await.len(), 1);
    Alive::new(&server).await;
}

#[tokio::test]
async fn s06_all_that_was_issued_to_a_client_dies_at_once_and_it_goes_on() {
    let server = Harness::new().await;
    for by_grants in [false, true] {
        let alive = Alive::new(&server).await;
        let (others, _) = server.tokens("").await.pair();
        let web = id("web");
        let done = if by_grants {
            server.oauth.grants().revoke_all_of_client(&web).await
        } else {
            server.oauth.clients().revoke_tokens(&web).await
        };
        assert!(done.unwrap());
        for token in [&alive.access, &alive.of_itself] {
            assert!(!server.is_active(token).await);
        }
        for answer in alive.redeem(&server).await {
            answer.error(400, "invalid_grant");
        }
        assert!(server.is_active(&others).await);
    }
}

#[tokio::test]
async fn s26_an_old_secret_is_worth_nothing_once_there_is_a_new_one() {
    let server = Harness::new().await;
    let alive = Alive::new(&server).await;
    let clients = server.oauth.clients();
    let secret = clients.rotate_secret(&id("web")).await.unwrap().unwrap();
    for old in [SECRET, ""] {
        let answer = server
            .post_as("/auth/token", ("web", old), FOR_ITSELF)
            .await;
        answer.error(401, "invalid_client");
    }
    let answer = server
        .post_as("/auth/token", ("web", secret.expose()), FOR_ITSELF)
        .await;
    answer.access_token();
    assert!(server.is_active(&alive.access).await, "tokens live on");
    let kept = clients.get(&id("web")).await.unwrap().unwrap();
    let shown = format!("{kept:?}{secret:?}");
    assert!(!shown.contains(secret.expose()), "{shown}");
}

#[tokio::test]
async fn what_an_owner_has_granted_is_listed_while_it_lives() {
    let server = Harness::new().await;
    server.advance(5);
    let (_, refresh) = server
        .tokens("&scope=ledger.read+ledger.write")
        .await
        .pair();
    server
        .web(&redemption("web", &server.code_for("web", "").await))
        .await
        .pair();
    server.web(FOR_ITSELF).await.access_token(); // nobody has granted that
    server.code_for("app", "").await; // not redeemed
    let mut all = grants(&server).await;
    all.sort_by_key(|grant| grant.client_id.to_string());
    let [app, web] = &*all else { panic!("{all:?}") };
    assert_eq!(
        (app.client_id.as_str(), web.client_id.as_str()),
        ("app", "web")
    );
    assert_eq!(
        (app.subject.as_str(), &*app.scope.to_string()),
        ("alice", "ledger.read ledger.write")
    );
    assert_eq!(app.resources, [LEDGER.parse().unwrap()]);
    let life = app.ends_at.since(app.granted_at).as_secs();
    assert_eq!(
        (app.granted_at.since(NOW).as_secs(), life),
        (5, 90 * 24 * 3600)
    );
    let bob = Subject::new("bob").unwrap();
    assert!(
        server
            .oauth
            .grants()
            .by_subject(&bob)
            .await
            .unwrap()
            .is_empty()
    );

    // Refreshing keeps one grant one grant; idle for long, it is none.
    server.advance(13 * 24 * 3600);
    server.refresh(&refresh, "").await.pair();
    assert_eq!(grants(&server).await.len(), 2);
    server.advance(24 * 3600);
    assert_eq!(grants(&server).await.len(), 1);
}

// req: 9700-4.14.2-5
#[tokio::test]
async fn s06_a_grant_that_is_revoked_is_dead_at_once_and_no_other() {
    let server = Harness::new().await;
    let (access, refresh) = server.tokens("").await.pair();
    let first = grants(&server).await;
    let (other_access, other_refresh) = server.tokens("").await.pair();
    let oauth = server.oauth.grants();
    let bob = Subject::new("bob").unwrap();
    assert!(
        !oauth.revoke(&bob, &first[0].id).await.unwrap(),
        "not bob's"
    );
    assert!(server.is_active(&access).await);
    assert!(oauth.revoke(&alice(), &first[0].id).await.unwrap());
    assert!(!server.is_active(&access).await);
    server
        .refresh(&refresh, "")
        .await
        .error(400, "invalid_grant");
    assert!(server.is_active(&other_access).await);
    server.refresh(&other_refresh, "").await.pair();
    let left = grants(&server).await;
    assert!(left.len() == 1 && left[0].id != first[0].id);
}

#[tokio::test]
async fn a_grant_that_is_revoked_is_asked_for_again() {
    let server = Harness::new().await;
    let request = authorization_request("web", "");
    server
        .web(&redemption("web", &server.code_for("web", "").await))
        .await
        .pair();
    let remembered = server.get(&request, Some("alice")).await;
    assert_eq!(remembered.status, 303);
    let grant = grants(&server).await.remove(0);
    server
        .oauth
        .grants()
        .revoke(&alice(), &grant.id)
        .await
        .unwrap();
    assert_eq!(server.get(&request, Some("alice")).await.status, 200);
}

// req: 9700-4.14.2-5
#[tokio::test]
async fn s06_all_of_an_owner_is_dead_at_once_what_is_not_redeemed_yet_included() {
    let server = Harness::new().await;
    let alive = Alive::new(&server).await;
    let (access, refresh) = server.tokens("").await.pair();
    let target = authorization_request("app", "");
    let page = server.get(&target, Some("bob")).await;
    let code_of_bob = server
        .decide(&page, "bob", "allow")
        .await
        .parameter("code")
        .unwrap();
    for times in 1..3 {
        let oauth = server.oauth.grants();
        oauth.revoke_all_of_subject(&alice()).await.unwrap();
        for token in [&alive.access, &access] {
            assert!(!server.is_active(token).await, "{times}");
        }
        for answer in alive.redeem(&server).await {
            answer.error(400, "invalid_grant");
        }
        server
            .refresh(&refresh, "")
            .await
            .error(400, "invalid_grant");
        assert!(grants(&server).await.is_empty());
        let asked_again = server
            .get(&authorization_request("web", ""), Some("alice"))
            .await;
        assert_eq!(asked_again.status, 200, "nothing is remembered");
    }
    assert!(server.is_active(&alive.of_itself).await, "the client's own");
    server.redeem(&code_of_bob).await.pair();
    let (access, refresh) = server.tokens("").await.pair();
    assert!(server.is_active(&access).await);
    server.refresh(&refresh, "").await.pair();
}
