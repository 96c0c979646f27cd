//! Typed reads and writes over any store.
#[derive(Debug)]
pub(crate) struct Records;
