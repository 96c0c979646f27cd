//! The table: what it is called, how it is made, and every statement about it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr as _, SqlStr};

use super::postgres_open::PostgresOpenError;

/// What the table of this version is; one with a higher number is refused.
const SCHEMA_VERSION: i32 = 1;

/// The name of a schema or table of Postgres: a small letter or underscore, then at most 30 small letters, digits and underscores.
///
/// So nothing in it needs quotes, and two of them with a dot between are short enough for the name of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PostgresName(String);

impl PostgresName {
    const LONGEST: usize = 31;

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn or_default(name: Option<Self>, default: &str) -> Self {
        name.unwrap_or_else(|| Self(default.to_owned()))
    }
}

impl FromStr for PostgresName {
    type Err = InvalidPostgresName;

    fn from_str(text: &str) -> Result<Self, InvalidPostgresName> {
        let begins = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let goes_on = |byte: u8| begins(byte) || byte.is_ascii_digit();
        if text.bytes().next().is_some_and(begins)
            && text.bytes().all(goes_on)
            && text.len() <= Self::LONGEST
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPostgresName)
        }
    }
}

impl fmt::Display for PostgresName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no name for a schema or table of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a schema or table is a small letter or underscore, then at most 30 small letters, digits and underscores"
)]
#[non_exhaustive]
pub struct InvalidPostgresName;

/// A table, and the statements about it. Each text is made once, and each connection prepares it once.
#[derive(Debug)]
pub(super) struct Table {
    schema: PostgresName,
    name: PostgresName,
    /// Kind, digest, expiry, both owners, value; now.
    pub(super) insert: Write,
    /// Kind, digest.
    pub(super) get: SqlStr,
    /// Kind, digest, expiry, value; the version that was read.
    pub(super) replace: Write,
    /// Kind, digest.
    pub(super) remove: SqlStr,
    /// Kind, owner, after, limit.
    pub(super) list: SqlStr,
    /// Now, limit.
    pub(super) purge: SqlStr,
}

/// A write of the key `($1, $2)`, and the same that is announced: one statement and so one transaction, whether or not.
#[derive(Debug)]
pub(super) struct Write {
    silent: SqlStr,
    announced: SqlStr,
}

impl Write {
    fn new(statement: &str, notify: &str) -> Self {
        let announced =
            format!("WITH written AS ({statement}) SELECT written.version, {notify} FROM written");
        Self {
            silent: safe(statement),
            announced: safe(&announced),
        }
    }

    pub(super) fn text(&self, announce: bool) -> SqlStr {
        if announce {
            self.announced.clone()
        } else {
            self.silent.clone()
        }
    }
}

impl Table {
    pub(super) fn new(schema: PostgresName, name: PostgresName) -> Self {
        let table = format!(r#""{schema}"."{name}""#);
        // What `postgres_listener.rs` reads.
        let notify =
            format!("pg_notify('{schema}.{name}', $1::text || ':' || encode($2::bytea, 'hex'))");
        // Who comes second waits for the first, then looks at what stands by then.
        let insert = format!(
            "INSERT INTO {table} AS stands (kind, digest, expires_at, owner_1, owner_2, value) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (kind, digest) DO UPDATE SET version = EXCLUDED.version, expires_at = EXCLUDED.expires_at, \
             owner_1 = EXCLUDED.owner_1, owner_2 = EXCLUDED.owner_2, value = EXCLUDED.value \
             WHERE stands.expires_at <= $7 RETURNING version"
        );
        let get = format!(
            "SELECT value, expires_at, owner_1, owner_2, version FROM {table} WHERE kind = $1 AND digest = $2"
        );
        let replace = format!(
            "UPDATE {table} SET version = DEFAULT, expires_at = $3, value = $4 \
             WHERE kind = $1 AND digest = $2 AND version = $5 RETURNING version"
        );
        let remove = format!(
            "WITH gone AS (DELETE FROM {table} WHERE kind = $1 AND digest = $2 \
             RETURNING value, expires_at, owner_1, owner_2) \
             SELECT value, expires_at, owner_1, owner_2, {notify} FROM gone"
        );
        // Two walks along an index, each as long as the page.
        let owned = |column| {
            format!(
                "(SELECT digest FROM {table} WHERE kind = $1 AND {column} = $2 AND digest > $3 ORDER BY digest LIMIT $4)"
            )
        };
        let list = format!(
            "{} UNION {} ORDER BY digest LIMIT $4",
            owned("owner_1"),
            owned("owner_2")
        );
        // What another purge has taken is not waited for. The second condition says that what never expires is not meant, and
        // lets the index over all else be used.
        let purge = format!(
            "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} \
             WHERE expires_at <= $1 AND expires_at < 9223372036854775807 \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone"
        );
        Self {
            insert: Write::new(&insert, &notify),
            get: safe(&get),
            replace: Write::new(&replace, &notify),
            remove: safe(&remove),
            list: safe(&list),
            purge: safe(&purge),
            schema,
            name,
        }
    }

    /// Where deaths are told. Two tables never have one.
    pub(super) fn channel(&self) -> String {
        self.to_string()
    }

    /// Makes the tables, or what a newer version of this crate wants of them. All of it or nothing; of nodes that come at once one
    /// does it, and the others wait.
    pub(super) async fn migrate(
        &self,
        transaction: &mut PgConnection,
    ) -> Result<(), PostgresOpenError> {
        let Self { schema, name, .. } = self;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tower-oauth ' || $1, 0))")
            .bind(self.channel())
            .execute(&mut *transaction)
            .await?;
        let (has_schema, has_table, has_version): (bool, bool, bool) = sqlx::query_as(
            "SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL, to_regclass($3) IS NOT NULL",
        )
        .bind(format!(r#""{schema}""#))
        .bind(format!(r#""{schema}"."{name}""#))
        .bind(format!(r#""{schema}"."{name}_schema""#))
        .fetch_one(&mut *transaction)
        .await?;
        if has_table && has_version {
            let version = format!(r#"SELECT version FROM "{schema}"."{name}_schema""#);
            let found: i32 = sqlx::query_scalar(safe(&version))
                .fetch_one(transaction)
                .await?;
            return if found > SCHEMA_VERSION {
                Err(PostgresOpenError::NewerSchema {
                    table: self.to_string(),
                    found,
                    known: SCHEMA_VERSION,
                })
            } else {
                Ok(())
            };
        }
        if has_table || has_version {
            return Err(PostgresOpenError::NotOurs {
                table: self.to_string(),
            });
        }
        if !has_schema {
            // Whoever may make a table in a schema need not be allowed to make a schema.
            sqlx::query(safe(&format!(r#"CREATE SCHEMA "{schema}""#)))
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::raw_sql(safe(&self.tables()))
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Versions are of one sequence for all records, so that none is used twice whatever stood under a key before. Owners and
    /// expiry have an index each over those records that have any. Records go as fast as they come: their room is to be free again
    /// before a fifth of the table, which is the server's own measure, is dead.
    fn tables(&self) -> String {
        let Self { schema, name, .. } = self;
        let table = format!(r#""{schema}"."{name}""#);
        format!(
            r#"CREATE TABLE {table} (
                version bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,
                expires_at bigint NOT NULL,
                kind text COLLATE "C" NOT NULL,
                digest bytea NOT NULL,
                owner_1 bytea,
                owner_2 bytea,
                value bytea NOT NULL,
                PRIMARY KEY (kind, digest)
            ) WITH (autovacuum_vacuum_scale_factor = 0.02);
            CREATE INDEX "{name}_by_expiry" ON {table} (expires_at) WHERE expires_at < 9223372036854775807;
            CREATE INDEX "{name}_by_owner_1" ON {table} (owner_1, kind, digest) WHERE owner_1 IS NOT NULL;
            CREATE INDEX "{name}_by_owner_2" ON {table} (owner_2, kind, digest) WHERE owner_2 IS NOT NULL;
            CREATE TABLE "{schema}"."{name}_schema" (version integer NOT NULL);
            INSERT INTO "{schema}"."{name}_schema" (version) VALUES ({SCHEMA_VERSION});"#
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Of text that holds nothing foreign but names, and those are parsed. Clones share it.
fn safe(sql: &str) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}
