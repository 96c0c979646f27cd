//! cargo run --example custom_store
//!
//! A store of your own, whole: a map in memory, and a journal in a file from which it is made again. What was answered survives, since each
//! write waits for the disk; it does so with the map locked, and the journal is never written anew. So it is one to learn from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use axum::{Router, routing::get};
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{Client, Digest, GrantType, Secret, Timestamp};
use tower_oauth::{AccessToken, AuthorizationServer, Issuer, ResourceServer};

/// Records in the order of their keys, beside the file that says how they came about.
pub(crate) struct JournalStore(Mutex<State>);

#[derive(Default)]
struct State {
    records: BTreeMap<Key, (Record, Version)>,
    /// The number of the last write. It is a version as well, and so none is used again.
    written: u64,
    /// `None` once it could not be written: half a line may stand at its end, behind which nothing may follow.
    journal: Option<File>,
}

/// Kind, digest, number of the write; end, owners and value of a record that stands from now on.
type Line = (String, [u8; 32], u64, Option<(u64, Vec<[u8; 32]>, String)>);

impl JournalStore {
    pub(crate) fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut options = File::options();
        let journal = options.create(true).append(true).read(true).open(path)?;
        journal.try_lock()?; // one process writes it
        let mut state = State::default();
        let (mut lines, mut line, mut whole) = (BufReader::new(&journal), String::new(), 0);
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            whole += u64::try_from(line.len())?;
            state.stand(serde_json::from_str(&line)?)?;
            line.clear();
        }
        journal.set_len(whole)?; // half a line was never answered
        state.journal = Some(journal);
        Ok(Self(Mutex::new(state)))
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.0.lock();
        state.map_err(|_| StoreError::new("a thread panicked while it held the store"))
    }
}

impl State {
    /// Writes down what stands from now on, waits for the disk, and lets it stand.
    fn write(&mut self, key: Key, record: Option<Record>) -> Result<Version, StoreError> {
        let kept = record.map(|record| {
            let owners = record.owners.iter().map(|owner| *owner.as_bytes());
            let value = String::from_utf8_lossy(&record.value).into_owned();
            (record.expires_at.as_secs(), owners.collect(), value)
        });
        let kind = key.kind.as_str().to_owned();
        let line: Line = (kind, *key.digest.as_bytes(), self.written + 1, kept);
        let text = serde_json::to_string(&line).map_err(StoreError::new)? + "\n";
        let journal = self.journal.take();
        let mut journal = journal.ok_or_else(|| StoreError::new("it has failed before"))?;
        let written = journal.write_all(text.as_bytes());
        let synced = written.and_then(|()| journal.sync_data());
        synced.map_err(StoreError::new)?;
        self.journal = Some(journal);
        self.stand(line)
    }

    fn stand(&mut self, (kind, digest, number, record): Line) -> Result<Version, StoreError> {
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
        let kind = kind.ok_or_else(|| StoreError::new("an unknown kind of record"))?;
        let key = Key::new(kind, Digest::from_bytes(digest));
        self.written = number;
        let version = Version::new(number);
        self.records.remove(&key);
        if let Some((ends, owners, value)) = record {
            let mut record = Record::new(value.into(), Timestamp::from_secs(ends));
            record.owners = owners.into_iter().map(Digest::from_bytes).collect();
            self.records.insert(key, (record, version));
        }
        Ok(version)
    }
}

impl Store for JournalStore {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let mut state = self.lock()?;
        match state.records.get(&key) {
            Some((stands, _)) if stands.expires_at > now => Ok(Insert::Exists),
            _ => state.write(key, Some(record)).map(Insert::Inserted),
        }
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        Ok(self.lock()?.records.get(&key).cloned())
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        mut record: Record,
    ) -> Result<Replace, StoreError> {
        let mut state = self.lock()?;
        match state.records.get(&key) {
            Some((stands, version)) if *version == read => record.owners.clone_from(&stands.owners),
            _ => return Ok(Replace::Changed),
        }
        state.write(key, Some(record)).map(Replace::Replaced)
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let mut state = self.lock()?;
        let Some((record, _)) = state.records.get(&key).cloned() else {
            return Ok(None);
        };
        state.write(key, None)?;
        Ok(Some(record))
    }

    /// Looks at all records of the kind: a real one has an index.
    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        let limit = usize::try_from(listing.limit.max(1)).map_err(StoreError::new)?;
        let state = self.lock()?;
        let owned = state.records.iter().filter(|(key, (record, _))| {
            key.kind == listing.kind
                && Some(key.digest) > listing.after
                && record.owners.contains(&listing.owner)
        });
        let digests: Vec<_> = owned.map(|(key, _)| key.digest).take(limit).collect();
        let next = digests.last().copied().filter(|_| digests.len() == limit);
        Ok(Page { digests, next })
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let mut state = self.lock()?;
        let is_over = |end: Timestamp| end <= now && end < Timestamp::MAX;
        let records = state.records.iter();
        let over = records.filter(|(_, (record, _))| is_over(record.expires_at));
        let over: Vec<_> = over.map(|(key, _)| *key).zip(0..limit).collect();
        for (key, _) in &over {
            state.write(*key, None)?;
        }
        u32::try_from(over.len()).map_err(StoreError::new)
    }

    /// It has no feed: whoever caches asks again after five seconds.
    async fn changes(&self, _: Option<Cursor>) -> Result<Changes, StoreError> {
        let staleness = Duration::from_secs(5);
        Ok(Changes::Unsupported { staleness })
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "tells what to type")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let address = arguments.get(1).map_or("127.0.0.1:8080", String::as_str);
    let journal = arguments.get(2).map_or("oauth.journal", String::as_str);
    let listener = tokio::net::TcpListener::bind(address).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let oauth = AuthorizationServer::builder(&here)
        .store(JournalStore::open(Path::new(journal))?)
        .resource(&here, ["notes:read"])
        .build()?;
    let job = Client::confidential("nightly".parse()?, &Secret::new("s3cr3t"))
        .grant_types([GrantType::ClientCredentials])
        .scope("notes:read".parse()?);
    oauth.clients().create(job).await?; // if it is there already, it stays as it is
    let api = ResourceServer::builder(&here)
        .issuer(Issuer::in_process(&oauth))
        .build()?;
    let notes = get(async |token: AccessToken| format!("the notes of {}\n", token.subject()));
    let app = Router::new()
        .route("/notes", notes.layer(api.require("notes:read")))
        .route_layer(api.layer())
        .layer(oauth.layer());
    println!("listening on {here}\n");
    println!(
        "TOKEN=$(curl -s -u nightly:s3cr3t -d grant_type=client_credentials {here}/auth/token | cut -d'\"' -f4)"
    );
    println!("curl -i -H \"Authorization: Bearer $TOKEN\" {here}/notes");
    Ok(axum::serve(listener, app).await?)
}
