//! `PortRange`: ports as an operator writes them: `443`, or `1024-65535`.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A port or several, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// From `first` to `last`.
    pub const fn new(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// Whether this port is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            // The value is not repeated: it may be a secret on the wrong line.
            _ => {
                Err("this is neither a port, as \"443\", nor a range of ports, as \"1024-65535\"".to_owned())
            }
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_a_range_is_read_and_written() {
        for (text, inside, outside) in [("443", 443, 444), ("1024-65535", 65_535, 1_023), ("80-80", 80, 81)] {
            let range = PortRange::try_from(text.to_owned()).unwrap();
            assert!(range.contains(inside) && !range.contains(outside), "{text}");
        }
        assert_eq!(PortRange::new(80, 80).to_string(), "80");
        assert_eq!(PortRange::new(1_024, 65_535).to_string(), "1024-65535");
        for text in ["", "0", "http", "2-1", "0-80", "80-", "65536", "1-2-3"] {
            assert!(PortRange::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
