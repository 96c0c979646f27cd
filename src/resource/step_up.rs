//! Whether a token's owner has signed in as a route asks for it (RFC 9470 §5).

use std::time::Duration;

use serde_json::Value;

use crate::protocol::refusal::Refusal;
use crate::types::{Claims, Timestamp};

/// By how much the issuer's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(30);

/// `acr` must be one of the values, if there are any; `auth_time` no longer ago than `max_age`, if there is one. A token that does not
/// say is not enough.
pub(crate) fn check(
    claims: &Claims,
    acr_values: &[String],
    max_age: Option<Duration>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let acr = claims.get("acr").and_then(Value::as_str);
    let is_strong =
        acr_values.is_empty() || acr.is_some_and(|acr| acr_values.iter().any(|value| value == acr));
    let is_recent = max_age.is_none_or(|max_age| {
        let auth_time = claims.get("auth_time").and_then(Value::as_u64);
        auth_time
            .map(Timestamp::from_secs)
            .is_some_and(|auth_time| {
                // What is yet to come says nothing of what has been.
                auth_time <= now.saturating_add(AHEAD) && now.since(auth_time) <= max_age
            })
    });
    if is_strong && is_recent {
        Ok(())
    } else {
        Err(Refusal::InsufficientUserAuthentication)
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::types::{Claims, Timestamp};
    use serde_json::{Value, json};
    use std::time::Duration;

    fn passes(claims: Value, acr_values: &[&str], max_age: Option<u64>) -> bool {
        let Value::Object(claims) = claims else {
            panic!("no object")
        };
        let acr_values: Vec<_> = acr_values.iter().map(|&value| value.to_owned()).collect();
        let max_age = max_age.map(Duration::from_secs);
        let now = Timestamp::from_secs(1000);
        check(&Claims::new(claims).unwrap(), &acr_values, max_age, now).is_ok()
    }

    #[test]
    fn rfc9470_3_one_of_the_classes_is_enough_and_none_is_not() {
        assert!(passes(json!({"acr": "mfa"}), &["phr", "mfa"], None));
        assert!(passes(json!({}), &[], None));
        for claims in [
            json!({}),
            json!({"acr": "pwd"}),
            json!({"acr": "mf"}),
            json!({"acr": ["mfa"]}),
            json!({"acr": null}),
        ] {
            assert!(!passes(claims.clone(), &["mfa"], None), "{claims}");
        }
    }

    #[test]
    fn rfc9470_3_an_authentication_is_recent_up_to_max_age_and_no_longer() {
        assert!(passes(json!({"auth_time": 940}), &[], Some(60)));
        assert!(passes(json!({"auth_time": 1030}), &[], Some(60)));
        for claims in [
            json!({}),
            json!({"auth_time": 939}),
            json!({"auth_time": 1031}),
            json!({"auth_time": 990_000}),
            json!({"auth_time": "990"}),
            json!({"auth_time": -1}),
            json!({"auth_time": null}),
        ] {
            assert!(!passes(claims.clone(), &[], Some(60)), "{claims}");
        }
        assert!(!passes(
            json!({"auth_time": 990, "acr": "pwd"}),
            &["mfa"],
            Some(60)
        ));
        assert!(!passes(
            json!({"auth_time": 1, "acr": "mfa"}),
            &["mfa"],
            Some(60)
        ));
    }
}
