//! Everything that is seen from outside, in one binary.

mod authorize;
mod device;
mod support;
mod token;
