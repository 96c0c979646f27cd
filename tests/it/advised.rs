//! What operators are told of tokens that a setting would let in.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tower_oauth::Issuer;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::filter::LevelFilter;

use crate::introspection_issuer::{Scripted, active_with, says};
use crate::publisher::{Api, Key, claims, header, set, with};
use crate::support::NOW;

const ADVICE: &str = "tokens are refused that a setting would let in";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// How often the advice was given since this was last asked, with this in it.
    fn advice(&self, naming: [&str; 2]) -> usize {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("usr_50317"), "{text}");
        let given = text.lines().filter(|line| line.contains(ADVICE));
        given
            .inspect(|line| {
                let named = naming.iter().all(|name| line.contains(name));
                assert!(named && line.contains("WARN"), "{line}");
            })
            .count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What operators see who have set nothing: `info` and above.
fn listen(log: &Log) -> Dispatch {
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .with_writer(move || writer.clone());
    Dispatch::new(subscriber.finish())
}

/// Listens as soon as that is heard: who is the first to log a line on another thread may make it believed that nobody listens, until
/// there is another subscriber.
async fn heard(mut is_told: impl AsyncFnMut(&Log) -> bool) {
    // With a second one each line asks who listens, and does not remember what another thread was told.
    let _second = Dispatch::new(NoSubscriber::new());
    for _ in 0..100 {
        let log = Log::default();
        let _guard = tracing::dispatcher::set_default(&listen(&log));
        if is_told(&log).await {
            return;
        }
    }
    panic!("nobody is told");
}

// req: 9068-4-3
#[tokio::test]
async fn v12_the_log_names_the_switch_once_an_hour_for_each_issuer() {
    const ISSUERS: [&str; 2] = ["https://one.harbor.test", "https://two.harbor.test"];
    let number = std::cell::Cell::new(0);
    let token = |issuer: &str| {
        number.set(number.get() + 1);
        let claims = with(
            claims(issuer, NOW),
            &json!({"jti": number.get().to_string(), "exp": NOW.as_secs() + 100_000}),
        );
        Key::Ec.sign(&with(header(Key::Ec, "a"), &json!({"typ": "JWT"})), &claims)
    };
    heard(async |log| {
        let api = Api::of(|builder| {
            let keys = set(&[(Key::Ec, "a")]);
            ISSUERS.into_iter().fold(builder, |builder, url| {
                builder.issuer(Issuer::jwt(url).keys(keys.clone()))
            })
        });
        let [one, two] = ISSUERS;
        api.is_invalid(&token(one)).await;
        if log.advice(["accept_typ_jwt", one]) == 0 {
            return false;
        }
        for _ in 0..10 {
            api.is_invalid(&token(one)).await;
        }
        assert_eq!(log.advice(["accept_typ_jwt", one]), 0, "it was said");
        api.is_invalid(&token(two)).await;
        assert_eq!(log.advice(["accept_typ_jwt", two]), 1);
        api.advance(3599);
        api.is_invalid(&token(one)).await;
        assert_eq!(log.advice(["accept_typ_jwt", one]), 0);
        api.advance(1);
        api.is_invalid(&token(one)).await;
        assert_eq!(log.advice(["accept_typ_jwt", one]), 1, "an hour later");
        // What no setting lets in is nobody's mistake.
        let expired = Key::Ec.sign(&header(Key::Ec, "a"), &claims(two, NOW));
        api.advance(3600);
        api.is_invalid(&expired).await;
        assert_eq!(log.advice(["accept_typ_jwt", two]), 0);
        true
    })
    .await;
}

#[tokio::test]
async fn the_log_names_the_switch_for_an_issuer_that_says_nothing_of_audiences() {
    heard(async |log| {
        let issuer = Scripted::start().await;
        issuer.always(says(&active_with(&json!({"aud": null}))));
        let api = issuer.api();
        api.check("at_1").await.unwrap_err();
        if log.advice(["dangerous_assume_audience", "issuer="]) == 0 {
            return false;
        }
        for number in 0..10 {
            api.check(&format!("at_2_{number}")).await.unwrap_err();
        }
        assert_eq!(log.advice(["dangerous_assume_audience", "issuer="]), 0);
        api.advance(3600);
        api.check("at_3").await.unwrap_err();
        assert_eq!(log.advice(["dangerous_assume_audience", "issuer="]), 1);
        true
    })
    .await;
}
