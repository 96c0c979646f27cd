//! Spans and metrics.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::server::AuthorizationServerBuilder;
use tower_oauth::store::StoreError;
use tower_oauth::types::{Client, ManualClock};
use tower_oauth::{Issuer, ResourceServer};
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::hooked::{Hooked, Verb, When};
use crate::support::{FOR_ITSELF, Harness, LEDGER, NOW};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// All that this thread logs, and these events of its spans, for as long as the second value is there.
    fn listening(spans: FmtSpan) -> (Self, (Dispatch, DefaultGuard)) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(spans)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        // With a second subscriber each log line asks who listens, and does not remember what another thread was told.
        let second = Dispatch::new(NoSubscriber::new());
        (log, (second, tracing::subscriber::set_default(subscriber)))
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Log {
    /// The levels and the rest of what was told of events since the last time.
    fn told(&self) -> Vec<(String, String)> {
        let text = self.take();
        assert!(!text.contains("alice"), "{text}");
        let events = text
            .lines()
            .filter(|line| line.contains(" tower_oauth::server::event: "));
        let level = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
        events.map(|line| (level(line), line.to_owned())).collect()
    }
}

#[tokio::test]
async fn the_log_warns_of_what_is_forged_and_is_told_of_mistakes_for_debugging_alone() {
    let (log, _listening) = Log::listening(FmtSpan::NONE);
    let server = Harness::with(AuthorizationServerBuilder::connected_apps).await;
    let page = server.authorize("").await;
    let right = format!(
        "interaction={}&csrf={}&decision=allow",
        page.hidden("interaction"),
        page.hidden("csrf")
    );
    log.take();
    for (path, form) in [
        ("/auth/authorize", right.as_str()),
        ("/device", "user_code=BCDF-GHJK"),
        ("/connected-apps", "client_id=app&csrf=1.a"),
    ] {
        let headers = [("x-user", "alice"), ("sec-fetch-site", "cross-site")];
        server.post_with(path, &headers, form).await.page(403);
        let told = log.told();
        assert_eq!((told.len(), told[0].0.as_str()), (1, "WARN"), "{told:?}");
    }
    server
        .get("/connected-apps?signed_in=1", None)
        .await
        .page(403);
    let put = Request::put("/.well-known/oauth-authorization-server");
    server
        .send(put.body(http_body_util::Full::default()).unwrap())
        .await;
    let levels: Vec<_> = log.told().into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, ["DEBUG", "DEBUG"]);
}

#[tokio::test]
async fn http_log_2_a_person_with_the_name_of_a_client_is_a_fault_of_ours_and_named_nowhere() {
    let (log, _listening) = Log::listening(FmtSpan::NONE);
    let server = Harness::new().await;
    let page = server.authorize("").await;
    server
        .create(Client::public("alice".parse().unwrap()))
        .await;
    log.take();
    let answer = server.decide(&page, "alice", "allow").await;
    answer.redirected_error("server_error");
    let told = log.told();
    assert_eq!((told.len(), told[0].0.as_str()), (1, "ERROR"), "{told:?}");
    // By its id the line is found that belongs to an answer.
    let id = format!("error_id=\"{}\"", answer.header("error-id"));
    assert!(told[0].1.contains(&id), "{told:?}");
    assert!(told[0].1.contains("the name of a client"), "{told:?}");
}

// req: http-log-2
#[tokio::test]
async fn http_log_2_a_span_says_endpoint_client_grant_and_error_and_names_no_person() {
    let (log, _listening) = Log::listening(FmtSpan::CLOSE);
    let server = Harness::new().await;
    let closed = || {
        let text = log.take();
        assert!(!text.contains("alice"), "{text}");
        let spans = text.lines().filter(|line| line.contains(": close "));
        let spans = spans.filter_map(|line| line.split_once("tower_oauth{")?.1.split_once('}'));
        spans
            .map(|(fields, _)| fields.to_owned())
            .collect::<Vec<_>>()
    };
    closed();
    let code = server.code_for("app", "").await;
    let authorize = r#"endpoint="authorize" client_id=app"#;
    assert_eq!(closed(), [authorize, authorize]);
    server.redeem(&code).await.pair();
    let token = r#"endpoint="token" client_id=app grant_type="authorization_code""#;
    assert_eq!(closed(), [token]);
    server.redeem(&code).await.error(400, "invalid_grant");
    assert_eq!(closed(), [format!(r#"{token} error="invalid_grant""#)]);
    server
        .post("/auth/token", "client_id=nobody-here&grant_type=x")
        .await;
    assert_eq!(closed(), [r#"endpoint="token" error="invalid_client""#]);
    // Somebody else's request is in no span of ours, and neither is what the inner service does.
    let inner = service_fn(async |_: Request<Empty<Bytes>>| {
        tracing::info!("served");
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let app = server.oauth.layer().layer(inner);
    let request = Request::get("/elsewhere").body(Empty::new()).unwrap();
    app.oneshot(request).await.unwrap();
    let text = log.take();
    assert!(
        text.contains("served") && !text.contains("tower_oauth{"),
        "{text}"
    );
}

/// What was counted and measured since the last time: `name{label=value,…} number`, in the order of the alphabet.
fn counted(metrics: &Snapshotter) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, _, _, value) in metrics.snapshot().into_vec() {
        let labels: Vec<_> = key
            .key()
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let number = match value {
            DebugValue::Counter(number) => number,
            DebugValue::Histogram(times) => {
                assert!(times.iter().all(|time| (0.0..60.0).contains(&**time)));
                times.len() as u64
            }
            DebugValue::Gauge(_) => panic!("there are no gauges"),
        };
        let is_histogram = key.kind() == MetricKind::Histogram;
        assert_eq!(
            is_histogram,
            key.key().name() == "oauth_store_duration_seconds"
        );
        if number > 0 {
            let name = key.key().name();
            lines.push(format!("{name}{{{}}} {number}", labels.join(",")));
        }
    }
    lines.sort();
    lines
}

/// Without the store's.
fn of_flows(metrics: &Snapshotter) -> Vec<String> {
    let mut lines = counted(metrics);
    lines.retain(|line| !line.starts_with("oauth_store_"));
    lines
}

#[tokio::test]
async fn what_happens_is_counted_by_names_that_never_change_and_by_nobodys_name() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Harness::new().await;
    assert_eq!(
        of_flows(&metrics),
        ["oauth_clients_registered_total{by=host} 5"]
    );
    let (_, refresh) = server.tokens("").await.pair();
    server.refresh(&refresh, "").await.pair();
    server.advance(31);
    server
        .refresh(&refresh, "")
        .await
        .error(400, "invalid_grant");
    server.web(FOR_ITSELF).await.access_token();
    server.web("grant_type=password").await;
    let page = server.authorize("&scope=ledger.write").await;
    server.decide(&page, "alice", "deny").await;
    server
        .submit("/device", "alice", "user_code=BCDF-GHJK")
        .await;
    assert_eq!(
        of_flows(&metrics),
        [
            "oauth_consents_total{decision=denied} 1",
            "oauth_consents_total{decision=given} 1",
            "oauth_grants_revoked_total{by=refresh_token_reuse} 1",
            "oauth_refresh_token_reuse_total{} 1",
            "oauth_requests_refused_total{endpoint=token,error=invalid_grant} 1",
            "oauth_requests_refused_total{endpoint=token,error=unsupported_grant_type} 1",
            "oauth_tokens_issued_total{grant_type=authorization_code} 1",
            "oauth_tokens_issued_total{grant_type=client_credentials} 1",
            "oauth_tokens_issued_total{grant_type=refresh_token} 1",
            "oauth_user_codes_wrong_total{} 1",
        ]
    );
}

#[tokio::test]
async fn each_step_of_the_store_is_measured_and_what_fails_is_counted() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let store = Hooked::open().await;
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    let metadata = "/.well-known/oauth-authorization-server";
    server.get(metadata, None).await;
    store.feed_has_begun().await;
    server.web(FOR_ITSELF).await.access_token();
    let steps = |lines: Vec<String>| -> Vec<String> {
        let ours = |line: &String| line.starts_with("oauth_store_");
        // The feed and the purge go on in the background.
        let asked = |line: &String| !line.contains("kind=all");
        lines
            .into_iter()
            .filter(|line| ours(line) && asked(line))
            .collect()
    };
    assert_eq!(
        steps(counted(&metrics)),
        [
            "oauth_store_duration_seconds{verb=get,kind=client} 1",
            "oauth_store_duration_seconds{verb=insert,kind=access_token} 1",
            "oauth_store_duration_seconds{verb=insert,kind=client} 5",
            "oauth_store_duration_seconds{verb=list,kind=grant} 5", // whether a person has the name of a new client
        ]
    );
    store.on_step(|step| async move {
        match (step.when, step.verb) {
            (When::Before, Verb::Insert) => Err(StoreError::new("disk full")),
            _ => Ok(()),
        }
    });
    assert_eq!(server.web(FOR_ITSELF).await.status, 503);
    assert_eq!(
        steps(counted(&metrics)),
        [
            "oauth_store_duration_seconds{verb=insert,kind=access_token} 1", // the client is known by now
            "oauth_store_failures_total{verb=insert,kind=access_token} 1",
        ]
    );
}

#[tokio::test]
async fn checks_of_tokens_are_counted_by_outcome_warm_and_cold() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Harness::new().await;
    let api = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap();
    let token = server.web(FOR_ITSELF).await.access_token();
    let inner = service_fn(async |_: Request<Empty<Bytes>>| {
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let service = api.layer().layer(api.require("ledger.write").layer(inner));
    of_flows(&metrics);
    for authorization in [
        Some(format!("Bearer {token}")),
        Some(format!("Bearer {token}")),
        Some("Bearer wrong".to_owned()),
        Some("Bearer a b".to_owned()),
        None,
    ] {
        let mut request = Request::get("/ledger");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Empty::new()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    assert_eq!(
        of_flows(&metrics),
        [
            "oauth_bearer_checks_total{outcome=accepted,facts=asked} 1",
            "oauth_bearer_checks_total{outcome=accepted,facts=known} 1",
            "oauth_bearer_checks_total{outcome=insufficient_scope,facts=known} 2",
            "oauth_bearer_checks_total{outcome=invalid_request,facts=known} 1",
            "oauth_bearer_checks_total{outcome=invalid_token,facts=asked} 1",
            "oauth_bearer_checks_total{outcome=no_token,facts=known} 1",
        ]
    );
}
