//! The registered claims, as they are read (RFC 7519 §4.1). What is there and of another type is not taken for absent.

use std::time::Duration;

use serde_json::Value;

use super::jws::Reason;
use crate::types::Timestamp;

/// A claim that must be a text, and there.
#[cfg(feature = "jwt")]
pub(crate) fn text(value: Option<Value>) -> Result<String, Reason> {
    match value {
        Some(Value::String(text)) => Ok(text),
        _ => Err("a claim is missing or no text"),
    }
}

/// RFC 7519 §2, NumericDate: seconds, perhaps with a fraction. A time that is no number is no time, and not "none".
pub(crate) fn time(value: Option<Value>) -> Result<Timestamp, Reason> {
    const NO_TIME: Reason = "a time is missing or none";
    let value = value.ok_or(NO_TIME)?;
    let seconds = value.as_u64().or_else(|| {
        let seconds = Duration::try_from_secs_f64(value.as_f64()?);
        seconds.ok().map(|time| time.as_secs())
    });
    seconds.map(Timestamp::from_secs).ok_or(NO_TIME)
}
