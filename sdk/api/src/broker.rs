//! Messages over `/v1/broker` (BRK-01, CLI-12).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Longest topic, bytes.
pub const TOPIC_BYTES_MAX: usize = 256;

/// Whether `text` is a topic: 1 to 256 bytes, labels of letters, digits, `_` and `-`, joined by single dots.
pub fn is_topic(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    text.len() <= TOPIC_BYTES_MAX
        && text.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
}

/// Whether `text` grants topics: a topic, a topic and `.*` for all below it, or `*` for all.
pub fn is_pattern(text: &str) -> bool {
    text == "*" || is_topic(text.strip_suffix(".*").unwrap_or(text))
}

/// `POST /v1/broker/publish`. 429 when a group's backlog is full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Publish {
    pub topic: String,
    /// A JSON object.
    pub message: serde_json::Map<String, serde_json::Value>,
    /// Headers; they reach the subscriber as metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Subscribers that share messages, as `GET /v1/broker/groups` shows them. Counts are since the group began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Group {
    pub topic: String,
    /// Empty: fan-out, the group is one service's on one node.
    pub queue: String,
    /// Of fan-out: whose it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Of fan-out: the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Messages that wait, those for a later try included.
    pub waiting: u64,
    /// Messages that are being delivered.
    pub in_flight: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Messages that were answered.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Dead letters that are kept.
    pub dead: u64,
    /// Messages that are gone without an answer: dead ones of a group that keeps none, and dead letters that made room.
    pub dropped: u64,
    /// When a subscriber asked last, Unix milliseconds.
    pub seen_ms: i64,
}

/// A message that was given up, as `GET /v1/broker/dead` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Dead {
    pub id: String,
    pub topic: String,
    /// The group that gave it up.
    pub queue: String,
    /// Of fan-out: whose it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// How often it was delivered.
    pub attempts: u32,
    /// What the last try said.
    pub error: String,
    pub metadata: BTreeMap<String, String>,
    /// Base64, standard alphabet, padded.
    pub body: String,
    pub published_ms: i64,
    pub died_ms: i64,
}

/// Which dead letters: `POST /v1/broker/redrive` and `/discard`. Absent keys do not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only these messages; empty: all.
    pub ids: Vec<String>,
    pub topic: Option<String>,
    pub queue: Option<String>,
}

/// How many dead letters were sent again, or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Moved {
    pub messages: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_labels_joined_by_dots() {
        for good in ["orders", "orders.created", "A-1_b.c", &"x".repeat(256)] {
            assert!(is_topic(good) && is_pattern(good), "{good}");
        }
        let long = "x".repeat(257);
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a:b", "a\0", "*", "a.*", "é", &long] {
            assert!(!is_topic(bad), "{bad}");
        }
        for good in ["*", "orders.*", "a.b.*"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "*.a", "a*", "a.*.b", ".*", "**", "a.**"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
