//! `Identity`: the user behind a token that verified, and what the token lets them do.

use crate::domain::{Code, Error, Result, TenantId, Timestamp, TokenId, UserId};
use std::sync::Arc;

/// Who is asking. Made by [`super::Tokens::authenticate`] alone; the abilities are shared by its clones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token that was presented.
    pub token_id: TokenId,
    /// The user it belongs to.
    pub user_id: UserId,
    /// The tenant of that user.
    pub tenant_id: TenantId,
    /// The user's name.
    pub name: String,
    /// The user's email address.
    pub email: String,
    /// What the token may be used for (`products:read`); `*` stands for everything.
    pub abilities: Arc<[String]>,
    /// When the token ends: its own expiry or the one that all tokens have, whichever comes first.
    pub expires_at: Option<Timestamp>,
}

impl Identity {
    /// Whether the token has the ability, by name or by `*`. Nothing else is a wildcard, as in Sanctum.
    pub fn can(&self, ability: &str) -> bool {
        self.abilities.iter().any(|a| a == "*" || a == ability)
    }

    /// Insists on the ability; the error names it.
    pub fn require(&self, ability: &str) -> Result<()> {
        if self.can(ability) {
            return Ok(());
        }
        Err(Error::new(Code::Forbidden, format!("This token lacks the ability {ability}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(abilities: &[&str]) -> Identity {
        Identity {
            token_id: TokenId(1),
            user_id: UserId(1),
            tenant_id: TenantId(1),
            name: "Ana".to_owned(),
            email: "ana@example.com".to_owned(),
            abilities: abilities.iter().map(|a| (*a).to_owned()).collect(),
            expires_at: None,
        }
    }

    #[test]
    fn an_ability_is_matched_exactly_or_by_the_star_alone() {
        assert!(with(&["*"]).can("products:write"));
        assert!(with(&["orders:read", "products:write"]).can("products:write"));
        assert!(!with(&["products:*"]).can("products:write"));
        assert!(!with(&[]).can("products:write"));
    }

    #[test]
    fn a_missing_ability_is_named() {
        let error = with(&["products:read"]).require("products:write").unwrap_err();
        assert_eq!(error.code(), Code::Forbidden);
        assert!(error.message().contains("products:write"), "{error}");
    }
}
