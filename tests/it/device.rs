//! The device grant: the device's own side, from the request to its tokens.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, GrantType};

use crate::support::{Answer, DEVICE_CODE, FILES, Harness, ISSUER, LEDGER, SECRET, builder};

// req: 8628-3.5-1, 8628-3.5-2, 8628-3.3-1
#[tokio::test]
async fn rfc8628_3_a_device_is_approved_and_gets_its_tokens_once() {
    let server = Harness::new().await;
    let (device_code, user_code) = server.device().await;
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    let page = server
        .enter(&user_code.to_lowercase().replace('-', " "), "alice")
        .await;
    assert!(page.text().contains(&user_code), "{}", page.text());
    let done = server.decide(&page, "alice", "allow").await;
    assert_eq!(done.status, 200, "{done:?}");
    let tokens = server.poll(&device_code).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(server.is_active(&tokens.member("access_token")).await);
    server.poll(&device_code).await.error(400, "invalid_grant");
}

// req: 8628-3.2-1, 8628-3.2-2, 8628-3.2-7, 8628-3.3-2
#[tokio::test]
async fn rfc8628_3_2_the_answer_has_its_members_and_nobody_keeps_it() {
    let server = Harness::new().await;
    let answer = server.post("/auth/device", "client_id=tv").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let json = answer.json();
    let mut names: Vec<_> = json.as_object().unwrap().keys().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "device_code",
            "expires_in",
            "interval",
            "user_code",
            "verification_uri",
            "verification_uri_complete"
        ]
    );
    let uri = format!("{ISSUER}/device");
    assert_eq!(answer.member("verification_uri"), uri);
    let user_code = answer.member("user_code");
    assert_eq!(
        answer.member("verification_uri_complete"),
        format!("{uri}?user_code={user_code}")
    );
    assert_eq!(
        (&json["expires_in"], &json["interval"]),
        (&600.into(), &5.into())
    );
    assert!(
        json.as_object()
            .unwrap()
            .values()
            .all(|value| !value.is_null())
    );
}

// req: 8628-5.2-1, 8628-3.2-3, 8628-6.1-1
#[tokio::test]
async fn rfc8628_5_codes_are_drawn_anew_long_for_devices_and_short_for_people() {
    let server = Harness::new().await;
    let (one, other) = (server.device().await, server.device().await);
    assert!(one.0 != other.0 && one.1 != other.1);
    for (device_code, user_code) in [one, other] {
        assert_eq!(device_code.len(), 43); // 256 bits
        let letters: Vec<_> = user_code.split('-').collect();
        assert!(letters.len() == 2 && letters.iter().all(|half| half.len() == 4));
        let known = |c: char| c == '-' || "BCDFGHJKLMNPQRSTVWXZ".contains(c);
        assert!(user_code.chars().all(known), "{user_code}");
    }
    let answer = server.post("/auth/device", "client_id=tv").await;
    let typed = answer.member("verification_uri");
    assert_eq!(
        typed,
        format!("{ISSUER}/device"),
        "seven characters behind the host"
    );
}

// req: 8628-3.1-1, 8628-3.2-6, http-form-2, http-method-1
#[tokio::test]
async fn rfc8628_3_1_the_request_is_a_posted_form() {
    let server = Harness::new().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder()
            .method(method)
            .uri("/auth/device?client_id=tv");
        let answer = server.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "POST");
    }
    for media_type in ["application/json", "multipart/form-data", "text/plain", ""] {
        let request = Request::post("/auth/device").header("content-type", media_type);
        let body = Full::from(Bytes::from("client_id=tv"));
        let answer = server.send(request.body(body).unwrap()).await;
        answer.error(400, "invalid_request");
    }
    let in_query = server.post("/auth/device?client_id=tv", "").await;
    in_query.error(400, "invalid_request");
    assert_eq!(
        server
            .post("/auth/device?tenant=a", "client_id=tv")
            .await
            .status,
        200
    );
}

// req: 8628-3.1-2, 8628-3.1-3, 8628-3.1-7, 8707-2.2-5
#[tokio::test]
async fn rfc8628_3_1_what_is_missing_repeated_or_unknown_is_refused() {
    let server = Harness::new().await;
    for (form, code) in [
        ("", "invalid_request"),
        ("client_id=", "invalid_request"),
        ("client_id=tv&client_id=tv", "invalid_request"),
        ("client_id=tv&scope=a&scope=b", "invalid_request"),
        ("client_id=tv&scope=ledger.read&%73cope=", "invalid_request"),
        ("client_id=tv&x=%zz", "invalid_request"),
        ("client_id=tv&scope=nope", "invalid_scope"),
        ("client_id=tv&scope=a%22b", "invalid_scope"),
        ("client_id=tv&resource=nope", "invalid_target"),
        ("client_id=tv&resource=https://evil.test", "invalid_target"),
        (
            "client_id=tv&resource=https://auth.harbor.test/ledger%23x",
            "invalid_target",
        ),
    ] {
        server.post("/auth/device", form).await.error(400, code);
    }
}

// req: 8628-3.1-5, 8628-3.1-6, 8707-2-4
#[tokio::test]
async fn rfc8628_3_1_empty_parameters_are_as_absent_and_what_was_asked_for_is_given() {
    let server = Harness::new().await;
    for (more, scope, audience) in [
        ("", "ledger.read", vec![LEDGER]),
        ("&scope=&resource=", "ledger.read", vec![LEDGER]),
        (
            "&foo=1&foo=2&user_code=BBBBBBBB",
            "ledger.read",
            vec![LEDGER],
        ),
        ("&scope=ledger.write", "ledger.write", vec![LEDGER]),
        (
            "&scope=files.read&resource=https://api.harbor.test/files",
            "files.read",
            vec![FILES],
        ),
        (
            "&scope=files.read+ledger.read&resource=https://api.harbor.test/files\
             &resource=https://auth.harbor.test/ledger",
            "files.read ledger.read",
            vec![FILES, LEDGER],
        ),
    ] {
        let answer = server
            .post("/auth/device", &format!("client_id=tv{more}"))
            .await;
        let page = server.enter(&answer.member("user_code"), "alice").await;
        server.decide(&page, "alice", "allow").await;
        let tokens = server.poll(&answer.member("device_code")).await;
        assert_eq!(tokens.member("scope"), scope, "{more}");
        let told = server.introspect(&tokens.member("access_token")).await;
        let aud = match &told["aud"] {
            serde_json::Value::String(one) => vec![one.as_str()],
            many => many
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|aud| aud.as_str())
                .collect(),
        };
        assert_eq!(aud, audience, "{more}");
    }
}

// req: 8628-3.1-8, 8628-3.1-9, 6749-10.2-1
#[tokio::test]
async fn rfc8628_3_1_clients_authenticate_as_at_the_token_endpoint_and_need_the_grant() {
    let server = Harness::new().await;
    let path = "/auth/device";
    for (client, form) in [
        (None, "client_id=web"),
        (None, "client_id=web&client_secret=wrong"),
        (None, "client_id=nobody"),
        (None, "client_id=tv&client_secret=any"),
        (Some(("web", "wrong")), ""),
        (Some(("nobody", SECRET)), ""),
        (Some(("tv", "")), ""),
    ] {
        let answer = match client {
            Some(client) => server.post_as(path, client, form).await,
            None => server.post(path, form).await,
        };
        answer.error(401, "invalid_client");
        assert!(answer.header("www-authenticate").starts_with("Basic "));
    }
    for answer in [
        server.post_as(path, ("web", SECRET), "").await,
        server
            .post(path, &format!("client_id=web&client_secret={SECRET}"))
            .await,
        server.post(path, "client_id=tv").await,
    ] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    server
        .post(path, "client_id=app")
        .await
        .error(400, "unauthorized_client");
    let twice = server
        .post_as(path, ("web", SECRET), &format!("client_secret={SECRET}"))
        .await;
    twice.error(400, "invalid_request");
}

// req: 8628-3.2-5
#[tokio::test]
async fn rfc8628_3_5_a_device_waits_five_seconds_and_five_more_each_time_it_did_not() {
    let server = Harness::new().await;
    let (device_code, user_code) = server.device().await;
    for (after, told) in [
        (0, "authorization_pending"),
        (4, "slow_down"),              // ten from now on
        (9, "slow_down"),              // fifteen
        (15, "authorization_pending"), // kept
        (14, "slow_down"),             // twenty
        (20, "authorization_pending"),
        (600, "expired_token"),
    ] {
        server.advance(after);
        if after == 600 {
            break;
        }
        server.poll(&device_code).await.error(400, told);
    }
    // A decision is heard at the next poll, however soon it comes.
    let late = server
        .submit("/device", "alice", &format!("user_code={user_code}"))
        .await;
    late.page(400);
    let (device_code, user_code) = server.device().await;
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    assert_eq!(server.poll(&device_code).await.status, 200);
    let slow = Harness::with(|builder| builder.device_interval(Duration::from_secs(9))).await;
    let answer = slow.post("/auth/device", "client_id=tv").await;
    assert_eq!(answer.json()["interval"], 9);
}

// req: 8628-3.5-5
#[tokio::test]
async fn rfc8628_3_5_a_code_that_has_expired_says_so_and_an_approval_does_not_wait_for_ever() {
    let server = Harness::new().await;
    let (forgotten, _) = server.device().await;
    let (approved, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    server.advance(599);
    server
        .poll(&forgotten)
        .await
        .error(400, "authorization_pending");
    server.advance(1);
    for device_code in [forgotten, approved] {
        server.poll(&device_code).await.error(400, "expired_token");
    }
    for (minutes, fits) in [(0, false), (60, true), (61, false)] {
        let time = Duration::from_secs(minutes * 60);
        assert_eq!(builder().device_code_lifetime(time).build().is_ok(), fits);
    }
}

#[tokio::test]
async fn s08_a_device_code_is_worth_something_to_its_client_alone_and_only_as_what_it_is() {
    let server = Harness::new().await;
    let other = Client::public("radio".parse().unwrap()).grant_types([GrantType::DeviceCode]);
    server.oauth.clients().create(other).await.unwrap();
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let poll = |client: &str, code: &str| {
        format!("grant_type={DEVICE_CODE}&client_id={client}&device_code={code}")
    };
    let refused = server
        .post("/auth/token", &poll("radio", &device_code))
        .await;
    refused.error(400, "invalid_grant");
    for wrong in [
        &user_code,
        "x",
        &device_code[1..],
        &device_code.to_lowercase(),
    ] {
        server.poll(wrong).await.error(400, "invalid_grant");
    }
    server.poll("").await.error(400, "invalid_request");
    server
        .redeem(&device_code)
        .await
        .error(400, "invalid_grant");
    server
        .refresh(&device_code, "")
        .await
        .error(400, "invalid_grant");
    assert!(!server.is_active(&device_code).await);
    let web = server
        .post_as("/auth/token", ("web", SECRET), &poll("web", &device_code))
        .await;
    web.error(400, "invalid_grant");
    assert_eq!(server.poll(&device_code).await.status, 200);
}

// req: 8414-2-2
#[tokio::test]
async fn s23_without_a_login_nobody_can_be_asked_and_the_paths_are_not_ours() {
    let server = Harness::of(AuthorizationServer::builder(ISSUER).resource(LEDGER, ["a"])).await;
    let metadata = server
        .get("/.well-known/oauth-authorization-server", None)
        .await
        .json();
    for absent in [
        "authorization_endpoint",
        "device_authorization_endpoint",
        "response_types_supported",
    ] {
        assert!(metadata.get(absent).is_none(), "{absent}");
    }
    assert_eq!(
        metadata["grant_types_supported"],
        serde_json::json!(["client_credentials"])
    );
    for path in ["/auth/authorize", "/auth/device", "/device"] {
        assert_eq!(server.get(path, Some("alice")).await.status, 404, "{path}");
        assert_eq!(
            server.post(path, "client_id=tv").await.status,
            404,
            "{path}"
        );
    }
    server.poll("x").await.error(400, "unsupported_grant_type");
    let with = Harness::new().await;
    let metadata = with
        .get("/.well-known/oauth-authorization-server", None)
        .await
        .json();
    assert_eq!(
        metadata["device_authorization_endpoint"],
        format!("{ISSUER}/auth/device")
    );
    assert_eq!(
        metadata["authorization_endpoint"],
        format!("{ISSUER}/auth/authorize")
    );
}

// req: 8707-2.2-1, 8707-2.2-2, 8707-2.2-5
#[tokio::test]
async fn rfc8707_2_2_a_device_asks_for_a_part_of_what_was_approved_and_for_no_more() {
    let server = Harness::new().await;
    let form =
        format!("client_id=tv&scope=ledger.read+files.read&resource={LEDGER}&resource={FILES}");
    let told = server.post("/auth/device", &form).await;
    let page = server.enter(&told.member("user_code"), "alice").await;
    server.decide(&page, "alice", "allow").await;
    let poll = async |more: &str| -> Answer {
        let code = told.member("device_code");
        server
            .post(
                "/auth/token",
                &format!("grant_type={DEVICE_CODE}&client_id=tv&device_code={code}{more}"),
            )
            .await
    };
    for bad in ["&resource=nope", "&resource=https://evil.test"] {
        poll(bad).await.error(400, "invalid_target");
    }
    let tokens = poll(&format!("&resource={FILES}")).await;
    let facts = server.introspect(&tokens.member("access_token")).await;
    assert_eq!(
        (facts["aud"].to_string(), facts["scope"].as_str()),
        (format!("[\"{FILES}\"]"), Some("files.read"))
    );
}
