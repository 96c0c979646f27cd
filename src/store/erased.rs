//! The object-safe twin of [`Store`], so that no type of a user carries a parameter for it.

use std::future::Future;
use std::pin::Pin;

use super::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use crate::types::Timestamp;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

pub(crate) trait DynStore: Send + Sync + 'static {
    fn insert(&self, key: Key, record: Record, now: Timestamp) -> Answer<'_, Insert>;
    fn get(&self, key: Key) -> Answer<'_, Option<(Record, Version)>>;
    fn replace(&self, key: Key, read: Version, record: Record) -> Answer<'_, Replace>;
    fn remove(&self, key: Key) -> Answer<'_, Option<Record>>;
    fn list(&self, listing: Listing) -> Answer<'_, Page>;
    fn purge(&self, now: Timestamp, limit: u32) -> Answer<'_, u32>;
    fn changes(&self, after: Option<Cursor>) -> Answer<'_, Changes>;
}

impl<S: Store> DynStore for S {
    fn insert(&self, key: Key, record: Record, now: Timestamp) -> Answer<'_, Insert> {
        Box::pin(Store::insert(self, key, record, now))
    }

    fn get(&self, key: Key) -> Answer<'_, Option<(Record, Version)>> {
        Box::pin(Store::get(self, key))
    }

    fn replace(&self, key: Key, read: Version, record: Record) -> Answer<'_, Replace> {
        Box::pin(Store::replace(self, key, read, record))
    }

    fn remove(&self, key: Key) -> Answer<'_, Option<Record>> {
        Box::pin(Store::remove(self, key))
    }

    fn list(&self, listing: Listing) -> Answer<'_, Page> {
        Box::pin(Store::list(self, listing))
    }

    fn purge(&self, now: Timestamp, limit: u32) -> Answer<'_, u32> {
        Box::pin(Store::purge(self, now, limit))
    }

    fn changes(&self, after: Option<Cursor>) -> Answer<'_, Changes> {
        Box::pin(Store::changes(self, after))
    }
}
