//! The behaviour of the crate, through its public API: one file per endpoint, grant, validator, layer.

mod structure;
