//! Who is let in, what the others are told, and where they learn more.

use serde_json::{Value, json};

use crate::support::{AUDIENCE, World, exchange, status};

const PLACE: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn rfc9728_3_the_metadata_is_served_without_a_token_at_both_places_and_nowhere_else() {
    let world = World::start(&["--scope", "notes:read"]).await;
    for path in [
        PLACE.to_owned(),
        format!("{PLACE}/ledger"),
        format!("{PLACE}?x"),
    ] {
        for token in [None, Some("unknown")] {
            let answer = world.get(&path, token).await;
            assert_eq!(answer.status(), 200, "{path}");
            let document: Value = answer.json().await.unwrap();
            assert_eq!(document["resource"], AUDIENCE);
            assert_eq!(document["authorization_servers"], json!([world.issuer()]));
            assert_eq!(document["scopes_supported"], json!(["notes:read"]));
        }
    }
    for path in ["/ledger/", "/other", "/ledger/x"] {
        assert_eq!(
            world.get(&format!("{PLACE}{path}"), None).await.status(),
            401
        );
    }
    assert_eq!(
        status(&world.raw(&format!("DELETE {PLACE}"), &[]).await),
        405
    );
    assert!(world.service.take().is_empty());
}

#[tokio::test]
async fn rfc6750_3_each_refusal_has_its_status_and_its_challenge() {
    let world = World::start(&["--scope", "notes:read", "--scope", "notes:write"]).await;
    world.token("reader", &json!({"scope": "notes:read"}));
    world.token("writer", &json!({"scope": "notes:write x"}));
    world.token("expired", &json!({"exp": 1}));
    world.token("elsewhere", &json!({"aud": "https://other.example"}));
    world.token("another", &json!({"iss": "https://other.example"}));
    world.token("bound", &json!({"cnf": {"jkt": "x"}}));
    for (fields, expected, error) in [
        (&[][..], 401, ""),
        (&["Authorization: Basic YWxpY2U6eA=="], 401, ""),
        (&["Authorization: Bearer unknown"], 401, "invalid_token"),
        (&["Authorization: Bearer expired"], 401, "invalid_token"),
        (&["Authorization: Bearer elsewhere"], 401, "invalid_token"),
        (&["Authorization: Bearer another"], 401, "invalid_token"),
        (&["Authorization: Bearer bound"], 401, "invalid_token"),
        (&["Authorization: Bearer reader"], 403, "insufficient_scope"),
        (&["Authorization: Bearer writer"], 403, "insufficient_scope"),
        (&["Authorization: Bearer"], 400, "invalid_request"),
    ] {
        let answer = world.raw("GET /x", fields).await;
        assert_eq!(status(&answer), expected, "{fields:?}: {answer}");
        assert!(answer.contains("www-authenticate: Bearer "), "{answer}");
        assert!(answer.contains(
            "resource_metadata=\"https://api.example/.well-known/oauth-protected-resource/ledger\""
        ));
        assert_eq!(answer.contains("error="), !error.is_empty(), "{answer}");
        assert!(answer.contains(error), "{answer}");
        assert_eq!(
            answer.contains("scope=\"notes:read notes:write\""),
            expected != 400,
            "{answer}"
        );
    }
    assert!(world.service.take().is_empty());
    for line in ["GET /x", "HEAD /x", "OPTIONS /x", "DELETE /x", "BREW /x"] {
        let answer = world.raw(line, &["Authorization: bEARER alice"]).await;
        assert_eq!(status(&answer), 200, "{line}: {answer}");
        assert_eq!(format!("{} /x", world.service.one().method), line);
    }
}

#[tokio::test]
async fn v39_no_method_and_no_preflight_needs_less_than_others() {
    let world = World::start(&[]).await;
    let preflight = [
        "Origin: https://app.example",
        "Access-Control-Request-Method: POST",
    ];
    for line in ["OPTIONS /x", "HEAD /x", "PUT /x", "BREW /x", "OPTIONS /"] {
        assert_eq!(status(&world.raw(line, &preflight).await), 401, "{line}");
        let method = "X-HTTP-Method-Override: GET";
        assert_eq!(status(&world.raw(line, &[method]).await), 401, "{line}");
    }
    assert!(world.service.take().is_empty());
}

#[tokio::test]
async fn v17_two_credentials_are_400_whatever_they_are() {
    let world = World::start(&[]).await;
    let good = "Authorization: Bearer alice";
    for other in [
        good,
        "Authorization:",
        "authorization: Basic YWxpY2U6eA==",
        "AUTHORIZATION: Bearer unknown",
    ] {
        for fields in [[good, other], [other, good]] {
            for line in ["GET /x", "GET /pub"] {
                assert_eq!(status(&world.raw(line, &fields).await), 400, "{fields:?}");
            }
        }
    }
    let joined = "Authorization: Bearer alice, Bearer alice";
    assert_eq!(status(&world.raw("GET /x", &[joined]).await), 400);
    assert!(world.service.take().is_empty());
}

#[tokio::test]
async fn v18_the_scheme_is_read_in_any_case_and_what_follows_it_to_the_letter() {
    let world = World::start(&[]).await;
    for (field, expected) in [
        ("bearer alice", 200),
        ("BEARER alice", 200),
        ("Bearer  alice", 200),
        ("Bearer alice ", 200),
        ("Bearer\talice", 400),
        ("Bearer alice bob", 400),
        ("Bearer \u{a0}alice", 400),
        ("Bearer\u{a0}alice", 400),
        ("Bearer al\u{ef}ce", 400),
        ("Bearer", 400),
        ("Bearer ", 400),
        ("Bearer \"alice\"", 400),
        ("Bearer alice,", 400),
        ("Bearers alice", 401),
        ("alice", 401),
        ("", 401),
    ] {
        let answer = world
            .raw("GET /x", &[&format!("Authorization: {field}")])
            .await;
        assert_eq!(status(&answer), expected, "{field:?}: {answer}");
        assert_eq!(
            world.service.take().len(),
            usize::from(expected == 200),
            "{field:?}"
        );
    }
}

#[tokio::test]
async fn v19_v20_a_token_in_the_query_or_in_a_form_opens_nothing() {
    let world = World::start(&[]).await;
    let client = reqwest::Client::new();
    let places = [
        client.get(format!("{}/x?access_token=alice", world.base())),
        client.post(format!("{}/x?access_token=alice", world.base())),
        client
            .post(format!("{}/x", world.base()))
            .form(&[("access_token", "alice")]),
        client
            .get(format!("{}/x", world.base()))
            .form(&[("access_token", "alice")]),
    ];
    for place in places {
        let (bare, wrong) = (place.try_clone().unwrap(), place.bearer_auth("unknown"));
        assert_eq!(bare.send().await.unwrap().status(), 401);
        assert_eq!(wrong.send().await.unwrap().status(), 401);
    }
    assert!(world.service.take().is_empty());
    // The answer does not wait for a body that never comes.
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 1073741824\r\n\r\naccess_token=alice";
    let answer = exchange(world.base(), head.as_bytes()).await;
    assert_eq!(status(&answer), 401, "{answer}");
}

#[tokio::test]
async fn v40_where_no_token_is_needed_a_wrong_one_is_refused_all_the_same() {
    let world = World::start(&["--scope", "notes:write"]).await;
    world.token("reader", &json!({"scope": "notes:read"}));
    assert_eq!(world.get("/pub", None).await.status(), 200);
    assert!(world.service.one().all("x-auth-subject").is_empty());
    assert_eq!(world.get("/pub", Some("unknown")).await.status(), 401);
    assert!(world.service.take().is_empty());
    assert_eq!(world.get("/pub", Some("reader")).await.status(), 200);
    assert_eq!(world.service.one().all("x-auth-scope"), ["notes:read"]);
    assert_eq!(world.get("/x", Some("reader")).await.status(), 403);
}
