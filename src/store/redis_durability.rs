//! How safe a Redis keeps what it has answered: looked at once, and told to whoever runs the server.

use std::collections::HashMap;

use redis::RedisError;

use super::redis_link::{Link, Node};

const SETTINGS: [&str; 3] = ["appendonly", "appendfsync", "maxmemory-policy"];

/// Warns of each setting of a node that loses data.
pub(super) async fn look(link: &Link, node: &Node) {
    match settings(link, node).await {
        Ok(settings) => {
            for warning in warnings(&settings) {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => {
            tracing::debug!(cause = %error, "Redis does not say how it keeps its data");
        }
    }
}

async fn settings(link: &Link, node: &Node) -> Result<HashMap<String, String>, RedisError> {
    let mut all = HashMap::new();
    for setting in SETTINGS {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(setting);
        let found: HashMap<String, String> = link.ask_node(node, &command).await?;
        all.extend(found);
    }
    Ok(all)
}

/// What is wrong with settings, in sentences; what is not said is not judged.
fn warnings(settings: &HashMap<String, String>) -> Vec<&'static str> {
    let is_not = |setting: &str, safe: &str| settings.get(setting).is_some_and(|set| set != safe);
    let mut warnings = Vec::new();
    if is_not("appendonly", "yes") {
        warnings.push(
            "Redis does not log its writes (appendonly no): when it ends, tokens are lost and what was revoked may live again",
        );
    } else if is_not("appendfsync", "always") {
        warnings.push(
            "Redis answers before it syncs (appendfsync is not always): when its machine ends, the last writes are lost and what was \
             revoked just before may live again",
        );
    }
    if is_not("maxmemory-policy", "noeviction") {
        warnings.push(
            "Redis takes records away when its memory is short (maxmemory-policy is not noeviction), those that revoke among them",
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::warnings;

    fn said(settings: &[(&str, &str)]) -> Vec<&'static str> {
        let owned = |(setting, set): &(&str, &str)| ((*setting).to_owned(), (*set).to_owned());
        warnings(&settings.iter().map(owned).collect())
    }

    #[test]
    fn what_loses_data_is_warned_of_and_nothing_else() {
        let safe = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        ];
        assert!(said(&safe).is_empty());
        assert!(said(&[]).is_empty(), "nothing is known");
        for (settings, word) in [
            (
                [("appendonly", "no"), ("appendfsync", "always")],
                "appendonly no",
            ),
            (
                [("appendonly", "yes"), ("appendfsync", "everysec")],
                "appendfsync",
            ),
            (
                [("appendonly", "yes"), ("maxmemory-policy", "allkeys-lru")],
                "noeviction",
            ),
            (
                [("appendonly", "yes"), ("maxmemory-policy", "volatile-ttl")],
                "noeviction",
            ),
        ] {
            let said = said(&settings);
            assert_eq!(said.len(), 1, "{settings:?}");
            assert!(said.concat().contains(word), "{said:?}");
        }
    }
}
