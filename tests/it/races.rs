//! What happens in between.

use tokio::task::JoinSet;
use tower_oauth::store::Kind;
use tower_oauth::types::ClientId;

use crate::support::{Harness, alice};
use crate::watched::Watched;

// req: 6749-4.1.2-3
#[tokio::test]
async fn s04_of_64_who_redeem_a_code_at_once_one_at_most_wins_and_then_all_is_dead() {
    let (server, _) = Watched::start().await;
    let code = server.code_for("app", "").await;
    let mut all = JoinSet::new();
    for _ in 0..64 {
        let (server, code) = (server.clone(), code.clone());
        all.spawn(async move { server.redeem(&code).await });
    }
    let answers = all.join_all().await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert!(won.len() <= 1, "{won:?}");
    for answer in &answers {
        if answer.status != 200 {
            answer.error(400, "invalid_grant");
        }
    }
    for answer in won {
        let (access, refresh) = answer.pair();
        assert!(!server.is_active(&access).await);
        server
            .refresh(&refresh, "")
            .await
            .error(400, "invalid_grant");
    }
    assert!(
        server
            .oauth
            .grants()
            .by_subject(&alice())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn s05_all_who_refresh_at_once_get_one_and_the_same_successor() {
    let (server, _) = Watched::start().await;
    let (_, refresh) = server.tokens("").await.pair();
    let mut all = JoinSet::new();
    for _ in 0..64 {
        let (server, refresh) = (server.clone(), refresh.clone());
        all.spawn(async move { server.refresh(&refresh, "").await.pair() });
    }
    let pairs = all.join_all().await;
    let (_, next) = pairs[0].clone();
    for (access, refresh) in pairs {
        assert_eq!(refresh, next);
        assert!(server.is_active(&access).await);
    }
    server.refresh(&next, "").await.pair();
}

#[tokio::test]
async fn s07_a_device_code_is_redeemed_by_one_of_those_who_poll_at_once() {
    let (server, _) = Watched::start().await;
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let mut all = JoinSet::new();
    for _ in 0..16 {
        let (server, device_code) = (server.clone(), device_code.clone());
        all.spawn(async move { server.poll(&device_code).await.status.as_u16() });
    }
    let won = all
        .join_all()
        .await
        .into_iter()
        .filter(|status| *status == 200);
    assert_eq!(won.count(), 1);
}

/// What somebody does while somebody else is being issued something.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Replay,
    RevokeGrant,
    GiveBack,
    RevokeSubject,
    RevokeClient,
    DisableClient,
}

async fn meanwhile(server: &Harness, what: Meanwhile, code: &str, refresh: &str) {
    let (app, oauth): (ClientId, _) = ("app".parse().unwrap(), &server.oauth);
    match what {
        Meanwhile::Replay => server.redeem(code).await.error(400, "invalid_grant"),
        Meanwhile::GiveBack => {
            let form = format!("client_id=app&token={refresh}");
            assert_eq!(server.post("/auth/revoke", &form).await.status, 200);
        }
        Meanwhile::RevokeGrant => {
            let grants = oauth.grants().by_subject(&alice()).await.unwrap();
            let revoked = oauth.grants().revoke(&alice(), &grants[0].id).await;
            assert!(revoked.unwrap());
        }
        Meanwhile::RevokeSubject => {
            oauth
                .grants()
                .revoke_all_of_subject(&alice())
                .await
                .unwrap();
        }
        Meanwhile::RevokeClient => assert!(oauth.clients().revoke_tokens(&app).await.unwrap()),
        Meanwhile::DisableClient => assert!(oauth.clients().disable(&app, true).await.unwrap()),
    }
}

// req: 7009-2.1-8, 6749-10.5-2
#[tokio::test]
async fn s06_what_is_revoked_while_more_of_it_is_issued_is_dead_with_what_was_issued() {
    use Meanwhile::{DisableClient, GiveBack, Replay, RevokeClient, RevokeGrant, RevokeSubject};
    let everywhere = [RevokeSubject, RevokeClient, DisableClient];
    let redeeming = [
        (("replace", Kind::Code), &everywhere[..]),
        (
            ("insert", Kind::Grant),
            &[Replay, RevokeSubject, RevokeClient, DisableClient],
        ),
        (
            ("insert", Kind::AccessToken),
            &[
                Replay,
                RevokeGrant,
                RevokeSubject,
                RevokeClient,
                DisableClient,
            ],
        ),
    ];
    let refreshing = [
        (
            ("get", Kind::Grant),
            &[RevokeGrant, GiveBack, RevokeSubject, RevokeClient][..],
        ),
        (
            ("replace", Kind::Grant),
            &[RevokeGrant, GiveBack, RevokeSubject, RevokeClient],
        ),
        (
            ("insert", Kind::AccessToken),
            &[RevokeGrant, GiveBack, RevokeSubject, DisableClient],
        ),
    ];
    let cases = redeeming.map(|case| (true, case)).into_iter();
    for (redeems, (step, revocations)) in cases.chain(refreshing.map(|case| (false, case))) {
        for what in revocations {
            let case = format!("{step:?} {what:?}");
            let (server, store) = Watched::start().await;
            let (mut code, mut refresh) = (String::new(), String::new());
            if redeems {
                code = server.code_for("app", "").await;
            } else {
                (_, refresh) = server.tokens("").await.pair();
            }
            let stop = store.stop(step);
            let issuing = tokio::spawn({
                let (server, code, refresh) = (server.clone(), code.clone(), refresh.clone());
                async move {
                    if redeems {
                        server.redeem(&code).await
                    } else {
                        server.refresh(&refresh, "").await
                    }
                }
            });
            stop.reached().await;
            meanwhile(&server, *what, &code, &refresh).await;
            stop.let_go();
            let answer = issuing.await.unwrap();
            // Who has not kept the grant yet is told; who has answers with what is dead.
            let is_told = matches!(what, Replay | RevokeSubject) && step == ("insert", Kind::Grant);
            assert!(!is_told || answer.status == 400, "{case}: {answer:?}");
            if answer.status == 200 {
                let (access, refresh) = answer.pair();
                assert!(!server.is_active(&access).await, "{case}");
                let again = server.refresh(&refresh, "").await;
                assert!(again.status.is_client_error(), "{case}: {again:?}");
            } else {
                answer.error(400, "invalid_grant");
            }
            let left = server.oauth.grants().by_subject(&alice()).await;
            assert!(left.unwrap().is_empty(), "{case}");
        }
    }
}
