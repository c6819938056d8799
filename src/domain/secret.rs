//! `Secret`: a value that prints as nothing, so that no log line or error can carry it.

use serde::Deserialize;
use std::fmt;
use zeroize::Zeroize;

/// Wraps a secret string. `Debug` hides it, there is no `Display`, and `expose` is the one way to it. It is wiped
/// when it goes.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret in.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself: for signing, comparing and showing once to its owner. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("whsec_canary")), "Secret(…)");
    }
}
