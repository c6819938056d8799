//! `EventFilter`: which events a webhook endpoint wants (`product:updated`, `order:*`, `*`).

use serde::{Deserialize, Serialize};

/// What `*` alone leaves out: what the sender of webhooks tells of itself, and what was told to single users.
const ASKED_FOR_BY_NAME: [&str; 2] = ["webhook:", "notification:"];

/// One pattern. `*` at the end stands for any rest; elsewhere it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EventFilter(String);

impl EventFilter {
    /// Parses one pattern; the error says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b":._-".contains(&b);
        if text.is_empty() || text.len() > 200 || !stem.bytes().all(allowed) {
            return Err(format!(
                "\"{text}\" is not an event filter: write a name (product:updated), a prefix (order:*) or *."
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether an event of this name passes. `*` alone leaves out what the sender tells of itself
    /// (`webhook:disabled`) and notifications (`notification:sent`): these have to be asked for.
    pub fn accepts(&self, name: &str) -> bool {
        let is_left_out = self.0 == "*" && ASKED_FOR_BY_NAME.iter().any(|prefix| name.starts_with(prefix));
        self.matches(name) && !is_left_out
    }

    /// Whether the pattern stands for this name: `*` for any.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.0 == name,
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for EventFilter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_rest() {
        let accepts = |pattern: &str, name| EventFilter::parse(pattern).unwrap().accepts(name);
        assert!(accepts("*", "product:updated"));
        assert!(!accepts("*", "webhook:disabled"));
        assert!(accepts("webhook:*", "webhook:disabled"));
        assert!(!accepts("*", "notification:sent"));
        assert!(accepts("notification:*", "notification:sent"));
        assert!(EventFilter::parse("*").unwrap().matches("notification:sent"));
        assert!(accepts("product:*", "product:updated"));
        assert!(!accepts("product:*", "order:updated"));
        assert!(accepts("stock:updated", "stock:updated"));
        assert!(!accepts("stock:updated", "stock:updated2"));
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for pattern in ["", "*:updated", "a*b", "product updated", "**"] {
            assert!(EventFilter::parse(pattern).is_err(), "{pattern:?}");
        }
    }
}
