//! Takes out of the owners' indexes what names records that have gone. Records themselves are forgotten by Redis.
//!
//! A member is taken out only if it was written long ago and its record, looked at after that was known, is gone or was born again. An
//! insert that has written its index and not yet its record is therefore left alone: it may not take that long (`redis_record.rs`).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use redis::{RedisError, Value};
use tokio::task::JoinSet;

use super::redis_link::{Link, Node};
use super::redis_record::{self as layout, Prefix};
use super::{Key, Kind};

/// How many members of one index are looked at together.
const TOGETHER: u32 = 100;
/// How many times as many keys are looked through as members of indexes: Redis does that on its own.
const KEYS: u32 = 10;
/// How old a member must be, in seconds.
const OLD: u64 = 60 * layout::UNDER_WAY;

/// Where the last purge has left off.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The nodes that remain of this round, the first with where it goes on.
    nodes: VecDeque<Node>,
    cursor: Vec<u8>,
    /// The indexes that were found, the first with where it goes on.
    found: VecDeque<Vec<u8>>,
    after: Vec<u8>,
}

impl Round {
    /// Looks at so many members of indexes.
    pub(super) async fn go_on(
        &mut self,
        link: &Arc<Link>,
        prefix: &Prefix,
        limit: u32,
    ) -> Result<(), RedisError> {
        let mut searched = false;
        let mut looked_at = 0;
        while looked_at < limit {
            match self.found.front() {
                Some(index) => {
                    let (looked, last) = look_through(link, prefix, index, &self.after).await?;
                    looked_at += looked.max(1);
                    if last.is_empty() {
                        self.found.pop_front();
                    }
                    self.after = last;
                }
                // Once for each call: it costs Redis the same however few it finds.
                None if searched => break,
                None => {
                    self.search(link, prefix, limit).await?;
                    searched = true;
                }
            }
        }
        Ok(())
    }

    async fn search(&mut self, link: &Link, prefix: &Prefix, limit: u32) -> Result<(), RedisError> {
        if self.nodes.is_empty() {
            self.nodes = link.nodes().await?.into();
            self.cursor = b"0".to_vec();
        }
        let Some(node) = self.nodes.front() else {
            return Ok(());
        };
        let mut command = redis::cmd("SCAN");
        command.arg(&self.cursor).arg("MATCH").arg(prefix.indexes());
        command.arg("COUNT").arg(limit.saturating_mul(KEYS));
        let answer: Result<(Vec<u8>, Vec<Vec<u8>>), _> = link.ask_node(node, &command).await;
        let (cursor, found) = match answer {
            Ok(found) => found,
            Err(error) => {
                // It may be no primary any more: the next round knows.
                self.nodes.clear();
                return Err(error);
            }
        };
        self.found.extend(found);
        if cursor == b"0" {
            self.nodes.pop_front();
        }
        self.cursor = cursor;
        Ok(())
    }
}

/// Takes out what has gone of the next members of an index; says how many were looked at, and the last, or nothing if that was the end.
async fn look_through(
    link: &Arc<Link>,
    prefix: &Prefix,
    index: &[u8],
    after: &[u8],
) -> Result<(u32, Vec<u8>), RedisError> {
    let Some(kind) = prefix.kind_of_index(index) else {
        return Ok((0, Vec::new()));
    };
    let begin = match after {
        [] => b"-".to_vec(),
        after => [b"(", after].concat(),
    };
    let (many, age) = (TOGETHER.to_string(), OLD.to_string());
    let arguments = [begin.as_slice(), many.as_bytes(), age.as_bytes()];
    let old: Vec<Vec<u8>> = link.run(&layout::OLD, index, &arguments).await?;
    let mut old = old.into_iter();
    let last = old.next().unwrap_or_default();
    // All are asked about at once, so that Redis may be far away: in a cluster their records are on many nodes.
    let mut asked = JoinSet::new();
    for member in old {
        let (link, prefix) = (Arc::clone(link), prefix.clone());
        asked.spawn(async move {
            let gone = is_gone(&link, &prefix, kind, &member).await?;
            Ok::<_, RedisError>(gone.then_some(member))
        });
    }
    let mut gone = redis::cmd("ZREM");
    gone.arg(index);
    let mut any = false;
    while let Some(answer) = asked.join_next().await {
        if let Some(member) = answer.map_err(io::Error::other)?? {
            gone.arg(member);
            any = true;
        }
    }
    if any {
        let _: Value = link.ask(&gone).await?;
    }
    Ok((TOGETHER, last))
}

/// Whether a member's record does not stand: it cannot come any more.
async fn is_gone(
    link: &Link,
    prefix: &Prefix,
    kind: Kind,
    member: &[u8],
) -> Result<bool, RedisError> {
    let Some((digest, birth)) = layout::named(member) else {
        return Ok(true);
    };
    let mut command = redis::cmd("GETRANGE");
    command.arg(prefix.record(Key::new(kind, digest)));
    command.arg(17).arg(24);
    let stands: Vec<u8> = link.ask(&command).await?;
    Ok(stands != birth.to_be_bytes())
}
