//! Who hears of each step of a store.

use std::time::Duration;

use super::{Kind, StoreError};

/// Hears of each step after it is done. Must not block.
pub(crate) trait Observer: Send + Sync + 'static {
    fn step(&self, step: &Step<'_>);
}

/// One call of a verb.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) verb: &'static str,
    /// None for those verbs that are about all kinds.
    pub(crate) kind: Option<Kind>,
    /// How long it took, of steps that do not wait by design; zero unless the feature `metrics` is on.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "measured for the metrics")
    )]
    pub(crate) time: Option<Duration>,
    pub(crate) error: Option<&'a StoreError>,
}

impl Step<'_> {
    pub(crate) fn kind_name(&self) -> &'static str {
        self.kind.map_or("all", Kind::as_str)
    }
}
