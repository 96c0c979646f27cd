//! The shortest way to say that something is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says whether what a fact rests on (a token, its grant, its client, its subject) is dead. Clones are the same flag; once raised it
/// stays raised. Reading one is one atomic load.
#[derive(Debug, Clone, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that it is dead.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is dead.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    #[cfg(feature = "server")]
    pub(crate) fn downgrade(&self) -> std::sync::Weak<AtomicBool> {
        Arc::downgrade(&self.0)
    }

    #[cfg(feature = "server")]
    pub(crate) fn upgrade(weak: &std::sync::Weak<AtomicBool>) -> Option<Self> {
        weak.upgrade().map(Self)
    }
}
