//! Personal access tokens as Laravel Sanctum makes and checks them: `ID|SECRET`, of which the table keeps the
//! SHA-256. Tokens made by either side verify on the other.
//!
//! Sanctum has no rule of its own for a secret's form, so none is checked here: 40 letters and digits with a
//! checksum since 3.3, without one before, and with any prefix the application set.

use super::Identity;
use super::token_use::TokenUse;
use crate::config;
use crate::domain::{Clock, Code, Error, Result, Secret, TenantId, Timestamp, TokenId, UserId};
use crate::storage::schema::{personal_access_tokens as tokens, users};
use crate::storage::{Conn, Db, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// The `tokenable_type` of tokens made here: the class that a Laravel application gives its users.
const TOKENABLE_TYPE: &str = "App\\Models\\User";

/// Ids in one query; SQLite takes 32,766 values.
const IDS_AT_ONCE: usize = 30_000;

/// A row of `personal_access_tokens`, without the hash.
#[derive(Debug, Clone, Queryable, Selectable, Serialize)]
#[diesel(table_name = tokens, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct Token {
    /// The part of the token before its `|`.
    pub id: TokenId,
    /// What its owner calls it.
    pub name: String,
    /// A JSON array as text; null or anything else allows nothing.
    pub abilities: Option<String>,
    /// When it was last presented, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Debug)]
pub struct Issued {
    /// Its id.
    pub id: TokenId,
    /// What its owner presents; shown once, kept nowhere.
    pub plaintext: Secret,
}

/// What a token is to be.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    /// Whom it speaks for.
    pub user: UserId,
    /// What its owner calls it.
    pub name: &'a str,
    /// What it allows; `*` is everything.
    pub abilities: &'a [String],
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// Makes a token for a user. Times are cut to whole seconds, as Laravel writes them.
pub async fn issue(
    conn: &mut Conn,
    user: UserId,
    name: &str,
    abilities: &[String],
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Issued> {
    issue_known(conn, &Grant { user, name, abilities, expires_at }, &new_secret(), now).await
}

/// The same with a secret that is known already, and so keeps nobody out: for a server that only its maker reaches.
pub async fn issue_known(conn: &mut Conn, grant: &Grant<'_>, secret: &str, now: Timestamp) -> Result<Issued> {
    let Grant { user, name, abilities, expires_at } = *grant;
    insist_on_user(conn, user).await?;
    let values = (
        tokens::tokenable_type.eq(TOKENABLE_TYPE),
        tokens::tokenable_id.eq(user.0),
        tokens::name.eq(name),
        tokens::token.eq(hash(secret)),
        tokens::abilities.eq(serde_json::Value::from(abilities).to_string()),
        tokens::expires_at.eq(expires_at.map(Timestamp::whole_seconds)),
        tokens::created_at.eq(now.whole_seconds()),
        tokens::updated_at.eq(now.whole_seconds()),
    );
    let id: TokenId = on_conn!(conn, c =>
        diesel::insert_into(tokens::table).values(values).returning(tokens::id).get_result(c).await)?;
    Ok(Issued { id, plaintext: Secret::new(format!("{id}|{secret}")) })
}

/// Deletes a token; whoever presents it from now on is unauthenticated.
pub async fn revoke(conn: &mut Conn, id: TokenId) -> Result<()> {
    let query = tokens::table.filter(tokens::id.eq(id));
    match on_conn!(conn, c => diesel::delete(query).execute(c).await)? {
        0 => Err(Error::not_found("token")),
        _ => Ok(()),
    }
}

/// A user's tokens of every `tokenable_type`, oldest first.
pub async fn list(conn: &mut Conn, user: UserId) -> Result<Vec<Token>> {
    let query = tokens::table.filter(tokens::tokenable_id.eq(user.0)).order(tokens::id);
    Ok(on_conn!(conn, c => query.select(Token::as_select()).load(c).await)?)
}

async fn insist_on_user(conn: &mut Conn, user: UserId) -> Result<()> {
    let query = users::table.filter(users::id.eq(user)).select(users::id);
    let found: Option<UserId> = on_conn!(conn, c => query.first(c).await.optional())?;
    found.map(drop).ok_or_else(|| Error::not_found("user"))
}

/// 40 letters and digits and their CRC-32, by which scanners for leaked secrets know a token.
fn new_secret() -> String {
    let entropy = Alphanumeric.sample_string(&mut rand::rng(), 40);
    let checksum = crc32fast::hash(entropy.as_bytes());
    format!("{entropy}{checksum:08x}")
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Verifies tokens. Cloning shares what it remembers.
#[derive(Clone)]
pub struct Tokens {
    db: Db,
    clock: Clock,
    rules: Arc<Rules>,
    token_use: TokenUse,
}

impl Tokens {
    /// Verifies by the rows of `db` and the rules of `[auth]`.
    pub fn new(db: Db, clock: Clock, options: &config::Auth) -> Self {
        let minutes = options.token_expiration_minutes;
        let rules = Rules {
            tokenable_types: options.tokenable_types.clone(),
            lifetime: (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60))),
        };
        Self { token_use: TokenUse::new(db.clone()), db, clock, rules: Arc::new(rules) }
    }

    /// The identity behind a bearer token. Every way to fail reads the same from outside. Call it on an actix
    /// thread: the note of the token's use is written by a task of that thread, and not waited for.
    pub async fn authenticate(&self, bearer: &str) -> Result<Identity> {
        let presented = Presented::parse(bearer).ok_or_else(unauthenticated)?;
        let mut conn = self.db.read().await?;
        let found = presented.find(&mut conn).await?;
        drop(conn);
        let now = self.clock.now();
        let found = found
            .filter(|f| presented.matches(&f.token.token) && self.rules.accept(&f.token, now))
            .ok_or_else(unauthenticated)?;
        self.token_use.note(found.token.id, found.token.last_used_at, now);
        Ok(self.rules.identity(found))
    }

    /// Which of these tokens would still verify: those not revoked, not expired, and whose user is there.
    pub async fn still_valid(&self, ids: &[TokenId]) -> Result<HashSet<TokenId>> {
        let mut conn = self.db.read().await?;
        let now = self.clock.now();
        let mut valid = HashSet::with_capacity(ids.len());
        for some in ids.chunks(IDS_AT_ONCE) {
            let query = tokens::table
                .inner_join(users::table.on(users::id.eq(tokens::tokenable_id)))
                .filter(tokens::id.eq_any(some));
            let rows: Vec<Row> = on_conn!(&mut conn, c => query.select(Row::as_select()).load(c).await)?;
            valid.extend(rows.iter().filter(|row| self.rules.accept(row, now)).map(|row| row.id));
        }
        Ok(valid)
    }
}

fn unauthenticated() -> Error {
    Error::new(Code::Unauthenticated, "Unauthenticated.")
}

/// What a token must satisfy beside its secret.
struct Rules {
    tokenable_types: Vec<String>,
    lifetime: Option<Duration>,
}

impl Rules {
    /// As Sanctum's guard decides: the instant of `expires_at` itself still counts, and a token without
    /// `created_at` has no age, so it fails where age is asked.
    fn accept(&self, row: &Row, now: Timestamp) -> bool {
        let young = match self.lifetime {
            None => true,
            Some(lifetime) => row.created_at.is_some_and(|made| made.plus(lifetime) > now),
        };
        young
            && row.expires_at.is_none_or(|end| end >= now)
            && self.tokenable_types.contains(&row.tokenable_type)
    }

    fn identity(&self, found: Found) -> Identity {
        let Found { token, user } = found;
        let by_age = self.lifetime.and_then(|lifetime| Some(token.created_at?.plus(lifetime)));
        let abilities: Option<Vec<String>> =
            token.abilities.and_then(|text| serde_json::from_str(&text).ok());
        Identity {
            token_id: token.id,
            user_id: user.id,
            tenant_id: user.tenant_id,
            name: user.name,
            email: user.email,
            abilities: abilities.unwrap_or_default().into(),
            expires_at: token.expires_at.into_iter().chain(by_age).min(),
        }
    }
}

/// A bearer token, read: where to look its row up, and the hash that the row must have.
struct Presented {
    id: Option<TokenId>,
    hash: String,
}

impl Presented {
    fn parse(bearer: &str) -> Option<Self> {
        let (id, secret) = match bearer.split_once('|') {
            Some((id, secret)) if id.bytes().all(|b| b.is_ascii_digit()) => (Some(id.parse().ok()?), secret),
            Some(_) => return None,
            None => (None, bearer),
        };
        (!secret.is_empty()).then(|| Self { id, hash: hash(secret) })
    }

    async fn find(&self, conn: &mut Conn) -> Result<Option<Found>> {
        let all = tokens::table.inner_join(users::table.on(users::id.eq(tokens::tokenable_id)));
        let found = match self.id {
            Some(id) => on_conn!(conn, c => all.filter(tokens::id.eq(id))
                .select(Found::as_select()).first(c).await.optional()),
            None => on_conn!(conn, c => all.filter(tokens::token.eq(&self.hash))
                .select(Found::as_select()).first(c).await.optional()),
        };
        Ok(found?)
    }

    fn matches(&self, kept: &str) -> bool {
        self.hash.as_bytes().ct_eq(kept.as_bytes()).into()
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Row {
    id: TokenId,
    tokenable_type: String,
    token: String,
    abilities: Option<String>,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Owner {
    id: UserId,
    tenant_id: TenantId,
    name: String,
    email: String,
}

#[derive(Queryable, Selectable)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Found {
    #[diesel(embed)]
    token: Row,
    #[diesel(embed)]
    user: Owner,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(expires_at: Option<i64>, created_at: Option<i64>) -> Row {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        Row {
            id: TokenId(1),
            tokenable_type: TOKENABLE_TYPE.to_owned(),
            token: hash("x"),
            abilities: None,
            last_used_at: None,
            expires_at: expires_at.map(at),
            created_at: created_at.map(at),
        }
    }

    fn rules(lifetime: Option<u64>) -> Rules {
        Rules {
            tokenable_types: vec![TOKENABLE_TYPE.to_owned()],
            lifetime: lifetime.map(Duration::from_secs),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000_000).unwrap()
    }

    #[test]
    fn a_secret_carries_the_checksum_of_its_40_characters() {
        let secret = new_secret();
        assert_eq!(secret.len(), 48);
        let (entropy, checksum) = secret.split_at(40);
        assert!(entropy.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(checksum, format!("{:08x}", crc32fast::hash(entropy.as_bytes())));
    }

    #[test]
    fn the_checksum_is_php_s_crc32b_with_its_leading_zeros() {
        // hash('crc32b', …) in PHP.
        assert_eq!(
            format!("{:08x}", crc32fast::hash(b"The quick brown fox jumped over the lazy dog.")),
            "82a34642"
        );
        assert_eq!(format!("{:08x}", crc32fast::hash(b"")), "00000000");
    }

    #[test]
    fn everything_after_the_first_bar_is_the_secret() {
        let presented = Presented::parse("12|a|b").unwrap();
        assert_eq!(presented.id, Some(TokenId(12)));
        assert!(presented.matches(&hash("a|b")));
        assert_eq!(Presented::parse("no-bar").unwrap().id, None);
    }

    #[test]
    fn an_id_that_is_no_number_or_an_empty_secret_is_refused() {
        for bearer in ["", "|x", "1|", "x|y", "+1|y", "-1|y", " 1|y", "99999999999999999999|y"] {
            assert!(Presented::parse(bearer).is_none(), "{bearer:?}");
        }
    }

    #[test]
    fn a_token_counts_up_to_the_instant_of_its_expiry() {
        assert!(rules(None).accept(&row(Some(1_000), None), now()));
        assert!(!rules(None).accept(&row(Some(999), None), now()));
        assert!(rules(None).accept(&row(None, None), now()));
    }

    #[test]
    fn a_token_older_than_the_common_lifetime_is_refused() {
        assert!(rules(Some(60)).accept(&row(None, Some(941)), now()));
        assert!(!rules(Some(60)).accept(&row(None, Some(940)), now()));
        assert!(!rules(Some(60)).accept(&row(None, None), now()));
    }

    #[test]
    fn a_token_of_another_kind_of_owner_is_refused() {
        let mut admin = row(None, None);
        admin.tokenable_type = "App\\Models\\Admin".to_owned();
        assert!(!rules(None).accept(&admin, now()));
    }
}
