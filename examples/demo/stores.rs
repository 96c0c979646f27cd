//! The stores that outlive a demo, and what to say where they are not to be had.

use std::error::Error;
use std::path::Path;

use tower_oauth::store::PostgresOpenError;
use tower_oauth::{PostgresStore, RedisStore, SqliteStore};

use crate::Failure;

/// With its table: every node makes it at each start, if it is not there.
pub(crate) async fn postgres(url: &str) -> Result<PostgresStore, Failure> {
    let opened = async {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        Ok::<_, PostgresOpenError>(store)
    };
    opened
        .await
        .map_err(|error| in_vain("PostgreSQL", url, &error))
}

pub(crate) async fn redis(url: &str) -> Result<RedisStore, Failure> {
    let connected = RedisStore::connect(url).await;
    connected.map_err(|error| in_vain("Redis", url, &error))
}

pub(crate) async fn sqlite(path: &Path) -> Result<SqliteStore, Failure> {
    let opened = SqliteStore::open(path).await;
    opened.map_err(|error| {
        let causes = causes(&error);
        format!(
            "{causes}. `--store sqlite:PATH` keeps all in another file, `--store memory:` in none"
        )
        .into()
    })
}

fn in_vain(what: &str, url: &str, error: &dyn Error) -> Failure {
    let (url, causes) = (without_password(url), causes(error));
    format!("no {what} at {url}: {causes}").into()
}

/// One sentence of all causes.
fn causes(error: &dyn Error) -> String {
    let mut causes = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Many an error says what its cause says.
        if !causes.contains(&text) {
            causes = format!("{causes}: {text}");
        }
        cause = error.source();
    }
    causes
}

/// What stands between `//` and `@` is left out.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("//").unwrap_or((url, ""));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    // Some parameters are passwords as well.
    let place = place.split('?').next().unwrap_or_default();
    format!("{scheme}//{place}")
}
