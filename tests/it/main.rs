//! Everything that is seen from outside, in one binary.

mod authorize;
mod bearer;
mod device;
mod layers;
mod support;
mod token;
