//! Everything that is seen from outside, in one binary.

mod authorize;
mod bearer;
mod device;
mod layers;
mod structure;
mod support;
mod token;
