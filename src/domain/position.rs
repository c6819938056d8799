//! `Position`: a place in the stream of a channel's messages.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// One life of a channel's stream: offsets of different epochs cannot be compared. Sixteen hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch made of these bits; the caller brings the randomness.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if canonical { u64::from_str_radix(text, 16).map(Self).map_err(drop) } else { Err(()) }
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A place in a stream: everything up to and including `offset` of this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Which life of the stream.
    pub epoch: Epoch,
    /// Grows by one a message; the first has 1.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_one_spelling() {
        let epoch = Epoch::from_bits(0xab);
        assert_eq!(epoch.to_string(), "00000000000000ab");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for text in ["", "ab", "00000000000000AB", "00000000000000ag", "+0000000000000ab"] {
            assert!(text.parse::<Epoch>().is_err(), "{text}");
        }
    }
}
