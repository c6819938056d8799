//! Tenants, users and tokens: what Laravel Sanctum makes verifies here, and the other way round.

use crate::support::{Shop, TestDb, opening_time, until};
use bellwire::auth::account::{self, NewUser};
use bellwire::auth::{Tokens, token};
use bellwire::config;
use bellwire::domain::{Clock, Code, TenantId, Timestamp, TokenId, UserId};
use bellwire::storage::Conn;
use bellwire::storage::schema::{personal_access_tokens as rows, users};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::time::Duration;

on_both_databases!(
    a_token_made_by_laravel_verifies,
    a_token_without_a_bar_is_found_by_its_hash,
    a_token_made_here_is_what_laravel_looks_for,
    every_token_that_fails_is_refused_in_the_same_words,
    a_token_ends_with_its_expiry_and_with_the_age_of_all,
    the_use_of_a_token_is_written_once_a_minute,
    tokens_revoked_or_expired_are_no_longer_valid,
    a_token_is_listed_and_revoked_once,
    a_user_s_email_is_taken_once,
);

/// A row as a Laravel application writes it.
struct Laravel {
    id: i64,
    tokenable_type: &'static str,
    tokenable_id: UserId,
    hash: &'static str,
    abilities: Option<&'static str>,
    expires_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
}

impl Laravel {
    fn of(user: UserId) -> Self {
        Self {
            id: 7,
            tokenable_type: "App\\Models\\User",
            tokenable_id: user,
            hash: WITH_CHECKSUM.1,
            abilities: Some(r#"["*"]"#),
            expires_at: None,
            created_at: Some(opening_time().whole_seconds()),
        }
    }

    async fn write(self, shop: &Shop) {
        let values = (
            rows::id.eq(self.id),
            rows::tokenable_type.eq(self.tokenable_type),
            rows::tokenable_id.eq(self.tokenable_id.0),
            rows::name.eq("phone"),
            rows::token.eq(self.hash),
            rows::abilities.eq(self.abilities),
            rows::expires_at.eq(self.expires_at),
            rows::created_at.eq(self.created_at),
            rows::updated_at.eq(self.created_at),
        );
        let insert = async |conn: &mut Conn| {
            Ok(on_conn!(conn, c => diesel::insert_into(rows::table).values(values).execute(c).await)?)
        };
        shop.db.transaction(insert).await.unwrap();
    }
}

/// What Sanctum gives out after the bar, and the `hash('sha256', …)` it keeps: since 3.3 with a checksum,
/// before without, and with a `token_prefix`.
const WITH_CHECKSUM: (&str, &str) = (
    "Zk3mW9pQ1xT5vB8nR2yL6cJ4hG0fD7sA3eU9iO1q92bb2f78",
    "d10afa06b7151af0c8aaf332dca5c45d0a78c824add80abd963d331faf2bdaa9",
);
const WITHOUT_CHECKSUM: (&str, &str) = (
    "kP8sV2xY5zC1fH4jM7qT0wB3eG6iL9nR2uX5aD8g",
    "8016aadbc48bb44d676c8362693f916185c7071eacfa0f9d48e9f9e5e755c1b1",
);
const WITH_PREFIX: (&str, &str) = (
    "shop_kP8sV2xY5zC1fH4jM7qT0wB3eG6iL9nR2uX5aD8gce11ec43",
    "a2f2f90d537e2f6d04a286af7bef8a7e4d265231a7af6cdda0b9f59721e32109",
);

fn tokens(shop: &Shop) -> Tokens {
    Tokens::new(shop.db.clone(), shop.clock.clone(), &config::Auth::default())
}

async fn a_token_made_by_laravel_verifies(db: TestDb) {
    let shop = Shop::open(&db).await;
    for (id, (secret, hash)) in [(7, WITH_CHECKSUM), (8, WITHOUT_CHECKSUM), (9, WITH_PREFIX)] {
        let abilities = Some(r#"["products:read","orders:read"]"#);
        Laravel { id, hash, abilities, ..Laravel::of(shop.user) }.write(&shop).await;
        let identity = tokens(&shop).authenticate(&format!("{id}|{secret}")).await.unwrap();
        assert_eq!((identity.token_id, identity.user_id), (TokenId(id), shop.user));
        assert_eq!(identity.tenant_id, shop.tenant);
        assert!(identity.can("products:read") && !identity.can("products:write"));
    }
}

async fn a_token_without_a_bar_is_found_by_its_hash(db: TestDb) {
    let shop = Shop::open(&db).await;
    Laravel::of(shop.user).write(&shop).await;
    let identity = tokens(&shop).authenticate(WITH_CHECKSUM.0).await.unwrap();
    assert_eq!(identity.token_id, TokenId(7));
}

/// Whose, by which hash, for what and until when.
type Row = (String, i64, String, Option<String>, Option<Timestamp>, Option<Timestamp>);

async fn a_token_made_here_is_what_laravel_looks_for(db: TestDb) {
    let shop = Shop::open(&db).await;
    let end = opening_time().plus(Duration::from_hours(1));
    let abilities = ["products:read".to_owned()];
    let issue = async |conn: &mut Conn| {
        token::issue(conn, shop.user, "phone", &abilities, Some(end), opening_time()).await
    };
    let issued = db.transaction(issue).await.unwrap();
    let (id, secret) = issued.plaintext.expose().split_once('|').unwrap();
    assert_eq!(id, issued.id.to_string());
    let query = rows::table.filter(rows::id.eq(issued.id)).select((
        rows::tokenable_type,
        rows::tokenable_id,
        rows::token,
        rows::abilities,
        rows::expires_at,
        rows::created_at,
    ));
    let mut conn = db.read().await.unwrap();
    let row: Row = on_conn!(&mut conn, c => query.first(c).await).unwrap();
    let expected = (
        "App\\Models\\User".to_owned(),
        shop.user.0,
        hex::encode(Sha256::digest(secret)),
        Some(r#"["products:read"]"#.to_owned()),
        Some(end.whole_seconds()),
        Some(opening_time().whole_seconds()),
    );
    assert_eq!(row, expected);
    let identity = tokens(&shop).authenticate(issued.plaintext.expose()).await.unwrap();
    assert_eq!((&*identity.abilities, identity.expires_at), (&abilities[..], Some(end.whole_seconds())));
}

async fn every_token_that_fails_is_refused_in_the_same_words(db: TestDb) {
    let shop = Shop::open(&db).await;
    Laravel::of(shop.user).write(&shop).await;
    let admin = Laravel { id: 8, hash: WITHOUT_CHECKSUM.1, ..Laravel::of(shop.user) };
    Laravel { tokenable_type: "App\\Models\\Admin", ..admin }.write(&shop).await;
    Laravel { id: 9, hash: WITH_PREFIX.1, ..Laravel::of(UserId(999)) }.write(&shop).await;
    let good = WITH_CHECKSUM.0;
    for bearer in [
        "",
        "|",
        "7|",
        "7|wrong",
        &format!("6|{good}"),
        &format!("x|{good}"),
        &format!("7|{good}x"),
        "another-without-a-bar",
        &format!("8|{}", WITHOUT_CHECKSUM.0),
        &format!("9|{}", WITH_PREFIX.0),
        &format!("99999999999999999999|{good}"),
    ] {
        let error = tokens(&shop).authenticate(bearer).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Unauthenticated, "Unauthenticated."), "{bearer}");
    }
    assert!(tokens(&shop).authenticate(&format!("7|{good}")).await.is_ok());
}

async fn a_token_ends_with_its_expiry_and_with_the_age_of_all(db: TestDb) {
    let shop = Shop::open(&db).await;
    let end = opening_time().whole_seconds().plus(Duration::from_hours(2));
    Laravel { expires_at: Some(end), ..Laravel::of(shop.user) }.write(&shop).await;
    let bearer = format!("7|{}", WITH_CHECKSUM.0);
    let aging = config::Auth { token_expiration_minutes: 60, ..config::Auth::default() };
    let aging = Tokens::new(shop.db.clone(), shop.clock.clone(), &aging);
    let identity = aging.authenticate(&bearer).await.unwrap();
    assert_eq!(identity.expires_at, Some(opening_time().whole_seconds().plus(Duration::from_hours(1))));
    shop.clock.advance(Duration::from_hours(1));
    assert!(aging.authenticate(&bearer).await.is_err());
    assert!(tokens(&shop).authenticate(&bearer).await.is_ok());
    shop.clock.advance(Duration::from_hours(1));
    assert!(tokens(&shop).authenticate(&bearer).await.is_err());
}

async fn last_used_at(db: &TestDb) -> Option<Timestamp> {
    let mut conn = db.read().await.unwrap();
    let query = rows::table.filter(rows::id.eq(TokenId(7))).select(rows::last_used_at);
    on_conn!(&mut conn, c => query.first(c).await).unwrap()
}

async fn the_use_of_a_token_is_written_once_a_minute(db: TestDb) {
    let shop = Shop::open(&db).await;
    Laravel::of(shop.user).write(&shop).await;
    let (bearer, tokens) = (format!("7|{}", WITH_CHECKSUM.0), tokens(&shop));
    let first = opening_time().whole_seconds();
    tokens.authenticate(&bearer).await.unwrap();
    until("the first use is written", async || last_used_at(&db).await == Some(first)).await;
    shop.clock.advance(Duration::from_secs(59));
    tokens.authenticate(&bearer).await.unwrap();
    shop.clock.advance(Duration::from_secs(2));
    tokens.authenticate(&bearer).await.unwrap();
    let third = shop.clock.now().whole_seconds();
    until("the third use is written", async || match last_used_at(&db).await {
        Some(at) if at == third => true,
        at => {
            assert_eq!(at, Some(first), "the second use was written");
            false
        }
    })
    .await;
}

async fn tokens_revoked_or_expired_are_no_longer_valid(db: TestDb) {
    let shop = Shop::open(&db).await;
    let end = opening_time().whole_seconds().plus(Duration::from_hours(1));
    Laravel::of(shop.user).write(&shop).await;
    Laravel { id: 8, hash: WITHOUT_CHECKSUM.1, expires_at: Some(end), ..Laravel::of(shop.user) }
        .write(&shop)
        .await;
    Laravel { id: 9, hash: WITH_PREFIX.1, ..Laravel::of(shop.user) }.write(&shop).await;
    let ids = [7, 8, 9, 10].map(TokenId);
    let valid = async || tokens(&shop).still_valid(&ids).await.unwrap();
    assert_eq!(valid().await, HashSet::from([7, 8, 9].map(TokenId)));
    db.transaction(async |conn| token::revoke(conn, TokenId(9)).await).await.unwrap();
    shop.clock.advance(Duration::from_hours(1));
    assert_eq!(valid().await, HashSet::from([TokenId(7)]));
    delete_user(&db, shop.user).await;
    assert!(valid().await.is_empty());
    assert!(tokens(&shop).still_valid(&[]).await.unwrap().is_empty());
}

async fn delete_user(db: &TestDb, user: UserId) {
    let query = users::table.filter(users::id.eq(user));
    let delete = async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::delete(query).execute(c).await)?);
    db.transaction(delete).await.unwrap();
}

async fn a_token_is_listed_and_revoked_once(db: TestDb) {
    let shop = Shop::open(&db).await;
    shop.token(&["*"]).await;
    let mut conn = db.read().await.unwrap();
    let listed = token::list(&mut conn, shop.user).await.unwrap();
    drop(conn);
    assert_eq!(listed.len(), 1);
    let revoke = async |conn: &mut Conn| token::revoke(conn, listed[0].id).await;
    db.transaction(revoke).await.unwrap();
    let again = async |conn: &mut Conn| token::revoke(conn, listed[0].id).await;
    assert_eq!(db.transaction(again).await.unwrap_err().code(), Code::NotFound);
    let nobody =
        async |conn: &mut Conn| token::issue(conn, UserId(999), "x", &[], None, Clock::System.now()).await;
    assert_eq!(db.transaction(nobody).await.unwrap_err().code(), Code::NotFound);
}

async fn a_user_s_email_is_taken_once(db: TestDb) {
    let shop = Shop::open(&db).await;
    let create = async |tenant: TenantId, email: &str| {
        let new = NewUser::parse(tenant, "Bo", email).unwrap();
        db.transaction(async |conn| account::create_user(conn, &new, opening_time()).await).await
    };
    create(shop.tenant, "bo@shop.example").await.unwrap();
    let taken = create(shop.tenant, "BO@shop.example").await.unwrap_err();
    assert!(taken.fields().contains_key("email"), "{taken}");
    let homeless = create(TenantId(999), "bo2@shop.example").await.unwrap_err();
    assert!(homeless.fields().contains_key("tenant_id"), "{homeless}");
    let mut conn = db.read().await.unwrap();
    assert_eq!(account::list_users(&mut conn, shop.tenant).await.unwrap().len(), 2);
    assert_eq!(account::list_tenants(&mut conn).await.unwrap().len(), 1);
}
