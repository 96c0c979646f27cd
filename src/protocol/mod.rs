//! The wire, both directions, shared by both halves of the crate.

#[cfg(feature = "resource")]
pub(crate) mod bearer;
#[cfg(any(feature = "server", feature = "resource"))]
pub(crate) mod protected_resource;
