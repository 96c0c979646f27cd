//! The one connection of a store that hears what dies, whichever node has done it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::feed::Feed;
use super::postgres_open::BoxError;
use super::{Key, Kind};
use crate::types::Digest;

/// How long nothing is heard before the connection is asked whether it is alive: a network that has gone away does not say so.
const SILENCE: Duration = Duration::from_secs(2);
/// How long to wait after a connection was lost.
const AGAIN: Duration = Duration::from_millis(250);

/// What is said while nobody listens.
const DOWN: &str = "the connection that hears what dies is lost";
const GONE: &str = "the runtime in which the store listened is gone";

pub(super) struct Listener {
    pub(super) options: Arc<PgConnectOptions>,
    pub(super) channel: String,
    /// How long Postgres may take for an answer.
    pub(super) timeout: Duration,
    pub(super) feed: Arc<Feed>,
}

impl Listener {
    /// Listens until the task is ended. Whenever nobody listens, the feed fails, and whenever somebody listens again, it says `Lost`.
    pub(super) async fn run(self) {
        loop {
            let Err(error) = self.listen().await;
            self.feed.close(DOWN);
            tracing::warn!(channel = self.channel, cause = %error, "{DOWN}");
            sleep(AGAIN).await;
        }
    }

    async fn listen(&self) -> Result<Infallible, BoxError> {
        // Not of the store's pool: this connection is kept, and must not keep a request waiting.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with((*self.options).clone().application_name(&self.channel));
        let begun = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false); // it would be silent about what it has missed
            listener.listen(&self.channel).await?;
            // Numbers begin at the microseconds of the database's clock, and each takes longer than one: a cursor of an earlier
            // life is never that of a later one.
            let number = sqlx::query_scalar(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            );
            let number: i64 = number.fetch_one(&mut listener).await?;
            Ok((listener, number.cast_unsigned()))
        };
        let (mut listener, number) = self.in_time(begun).await?;
        self.feed.begin(number)?;
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(heard) => {
                    let heard = heard?.ok_or("the server has closed it")?;
                    // Another version may have kinds of its own: then nobody here knows what has died.
                    match key(heard.payload()) {
                        Some(key) => self.feed.announce([key])?,
                        None => self.feed.begin(0)?,
                    }
                }
                Err(_silent) => {
                    let alive = sqlx::query("SELECT 1").execute(&mut listener);
                    self.in_time(alive).await?;
                }
            }
        }
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, BoxError> {
        Ok(timeout(self.timeout, asked).await??)
    }
}

/// Whoever caches must not wait for news that nobody will bring: not even where the task was never begun.
impl Drop for Listener {
    fn drop(&mut self) {
        self.feed.close(GONE);
    }
}

/// What has died, as the statements of `postgres_schema.rs` write it: the kind, a colon, the digest in hexadecimal.
fn key(payload: &str) -> Option<Key> {
    let (name, hex) = payload.split_once(':')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name)?;
    let mut digest = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    // A number may have a sign; a digest has none.
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if pairs.len() != digest.len() || !rest.is_empty() || !is_hex {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(Key::new(kind, Digest::from_bytes(digest)))
}

#[cfg(test)]
mod tests {
    use super::key;
    use crate::store::{Key, Kind};
    use crate::types::Digest;

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let hex = "00ff".repeat(16);
        let bytes = std::array::from_fn(|n| if n % 2 == 0 { 0 } else { 255 });
        let expected = Key::new(Kind::UserCode, Digest::from_bytes(bytes));
        assert_eq!(key(&format!("user_code:{hex}")), Some(expected));
        let more = format!("user_code:{hex}0");
        let less = "00ff".repeat(15);
        for payload in [
            "",
            ":",
            &hex,
            &more,
            &format!("user_code:{less}00f"),
            &format!("user_code:{less}00é"),
            &format!("user_code:{less}00+f"),
            &format!("a_kind_of_tomorrow:{hex}"),
        ] {
            assert_eq!(key(payload), None, "{payload}");
        }
    }
}
