//! People and clients: none of them is taken for the other (RFC 9700 §4.15).

use std::future::pending;

use http::Request;
use http_body_util::Full;
use tower::ServiceExt as _;
use tower_oauth::server::{CreateClient, Registration};
use tower_oauth::store::Kind;
use tower_oauth::types::{Client, GrantType, ManualClock, Secret, Subject};
use tower_oauth::{Approval, AuthorizationServer, Decision};

use crate::hooked::{Hooked, Verb, When};
use crate::register::{PUBLIC, with};
use crate::support::{
    Answer, CALLBACK, FOR_ITSELF, Harness, NOW, SECRET, authorization_request, basic, changed,
};

/// An identifier of the form that the server makes.
fn generated() -> String {
    format!("toc_{}", "a".repeat(43))
}

// req: 9700-4.15.1-2, 6749-4.1.2.1-9, 7519-4.1.2-1
#[tokio::test]
async fn rfc9700_4_15_1_nobody_is_approved_who_has_the_name_of_a_client() {
    let server = Harness::new().await;
    let own = server.web(FOR_ITSELF).await.access_token();
    let own = server.introspect(&own).await;
    assert_eq!(
        (&own["sub"], &own["client_id"]),
        (&"web".into(), &"web".into())
    );
    for name in ["web", "app", "rs", &generated()] {
        let page = server
            .get(&authorization_request("app", "&state=s1"), Some(name))
            .await;
        let answer = server.decide(&page, name, "allow").await;
        answer.redirected_error("server_error");
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"));

        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, name).await;
        server.decide(&page, name, "allow").await.page(500);
        server
            .poll(&device_code)
            .await
            .error(400, "authorization_pending");

        let login = server.get(&changed(&[]), None).await;
        let id = login.parameter("interaction").unwrap();
        let yes = Decision::Approve(Approval::new(Subject::new(name).unwrap()));
        let answer = server.oauth.resume(&id, yes).await;
        let answer = server.sent_to_a_known_place(answer).await;
        answer.redirected_error("server_error");
    }
    let dotted = format!("{}.", &generated()[..46]); // as long as ours, and none that we make
    for name in ["alice", "webb", "WEB", "toc_", &generated()[..46], &dotted] {
        let page = server
            .get(&authorization_request("app", ""), Some(name))
            .await;
        let answer = server.decide(&page, name, "allow").await;
        assert!(answer.parameter("code").is_some(), "{name}");
    }
}

// req: 9700-4.15.1-2
#[tokio::test]
async fn rfc9700_4_15_1_what_was_approved_before_a_client_got_the_name_gives_no_tokens() {
    let server = Harness::new().await;
    let page = server.authorize("").await;
    let answer = server.decide(&page, "alice", "allow").await;
    let code = answer.parameter("code").unwrap();
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    assert_eq!(server.decide(&page, "alice", "allow").await.status, 200);
    server
        .create(Client::public("alice".parse().unwrap()))
        .await;
    server.redeem(&code).await.error(400, "invalid_grant");
    server.poll(&device_code).await.error(400, "invalid_grant");
    let alice = Subject::new("alice").unwrap();
    let granted = server.oauth.grants().by_subject(&alice).await.unwrap();
    assert!(granted.is_empty(), "{granted:?}");
}

// req: 9068-5-1
#[tokio::test]
async fn rfc9700_4_15_1_no_client_is_given_the_name_of_a_person() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let wished = format!(r#"{PUBLIC},"client_id":"alice","sub":"alice""#);
    let id = with(&server, &wished).await.member("client_id");
    assert!(id.starts_with("toc_") && id.len() == generated().len());

    let create = async || {
        let client = Client::public("alice".parse().unwrap());
        let client = client.redirect_uri(CALLBACK.parse().unwrap());
        server.oauth.clients().create(client).await.unwrap()
    };
    server.tokens("").await;
    assert_eq!(create().await, CreateClient::NameOfSubject);
    let kept = server.oauth.clients().get(&"alice".parse().unwrap()).await;
    assert!(kept.unwrap().is_none());
    // Once nothing of hers is alive the name is free, and then it is the client's.
    let alice = Subject::new("alice").unwrap();
    server
        .oauth
        .grants()
        .revoke_all_of_subject(&alice)
        .await
        .unwrap();
    assert_eq!(create().await, CreateClient::Created);
    let page = server.authorize("").await;
    let answer = server.decide(&page, "alice", "allow").await;
    answer.redirected_error("server_error");
}

/// A token for the client with this name, for itself.
async fn for_itself(oauth: &AuthorizationServer, client_id: &str) -> Answer {
    let request = Request::post("/auth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", basic(client_id, SECRET))
        .body(Full::<bytes::Bytes>::from(FOR_ITSELF))
        .unwrap();
    Answer::of(oauth.service().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn rfc9700_4_15_1_a_client_that_was_not_kept_is_known_to_nobody_from_then_on() {
    let store = Hooked::open().await;
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    server.tokens("").await;
    store.feed_has_begun().await;
    // It is asked for between its writing and the look for its name, and the feed tells nothing.
    let oauth = server.oauth.clone();
    store.on_step(move |step| {
        let oauth = oauth.clone();
        async move {
            if step.verb == Verb::Changes {
                pending::<()>().await;
            }
            if step.is(Verb::List, Kind::Grant, When::Before) {
                Box::pin(for_itself(&oauth, "alice")).await.access_token();
            }
            Ok(())
        }
    });
    let client = Client::confidential("alice".parse().unwrap(), &Secret::new(SECRET))
        .grant_types([GrantType::ClientCredentials]);
    let created = server.oauth.clients().create(client).await.unwrap();
    assert_eq!(created, CreateClient::NameOfSubject);
    let answer = for_itself(&server.oauth, "alice").await;
    answer.error(401, "invalid_client");
}
