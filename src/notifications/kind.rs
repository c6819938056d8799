//! `NotificationType`: what a notification is about (`order_shipped`, `order:created`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longer does not fit the column.
const MAX_LENGTH: usize = 100;

/// A name of the tenant's choosing; of a notification that an event made, the event's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NotificationType(String);

impl NotificationType {
    /// Parses a name; the error says what is accepted. It can be matched by an event filter.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b":._-".contains(&b);
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(allowed) {
            let shown: String = text.chars().take(60).collect();
            return Err(format!(
                "\"{shown}\" is not a notification type: write up to {MAX_LENGTH} letters, digits and any of : . _ -, \
                 such as order_shipped."
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NotificationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NotificationType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_a_name_and_not_a_pattern() {
        for good in ["order_shipped", "order:created", "a", "billing.invoice-due"] {
            assert_eq!(NotificationType::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "order:*", "order shipped", "größe", &"x".repeat(101)] {
            assert!(NotificationType::parse(bad).unwrap_err().contains("such as order_shipped"), "{bad}");
        }
    }
}
