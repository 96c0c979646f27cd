//! The shortest way to say that something is dead.

use std::sync::Arc;
#[cfg(feature = "server")]
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that tokens live and die with: a grant, a client, a session. Once set it stays set. Clones are the same flag.
///
/// Facts are kept for a while; a flag ends them at once, at the price of one atomic store. Whoever makes facts takes the flag
/// *first* and reads its own data *afterwards*; whoever revokes writes the data first and sets the flag afterwards: then one of the
/// two sees the other.
#[derive(Debug, Clone, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends whatever lives with it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    #[cfg(feature = "server")]
    pub(crate) fn downgrade(&self) -> Weak<AtomicBool> {
        Arc::downgrade(&self.0)
    }

    #[cfg(feature = "server")]
    pub(crate) fn upgrade(weak: &Weak<AtomicBool>) -> Option<Self> {
        weak.upgrade().map(Self)
    }
}
