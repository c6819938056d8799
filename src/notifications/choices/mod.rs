//! Preferences as they are shown and changed: a user's own, and a tenant's for its users.

mod input;

pub use input::{Changes, Choice, Scope};

use super::preferences::{DigestMode, Preference, Wishes};
use super::{Channel, NotificationType, QuietHours, preference_rows, recipients};
use crate::domain::{Code, Error, Result, TenantId, Timestamp, UserId};
use crate::storage::schema::{tenants, user_notification_preferences as p, users};
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::BTreeSet;

/// Choices that one user, or one tenant, may have.
const MOST: i64 = 500;

/// Whose preferences: a user's, or with no user the tenant's for all its users.
pub type Chooser = (TenantId, Option<UserId>);

/// A choice as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChoiceResource {
    /// Null: all channels.
    pub channel: Option<Channel>,
    /// A name or a prefix; null: all types.
    pub r#type: Option<String>,
    /// On, off, or left to a wider choice.
    pub enabled: Option<bool>,
    /// `off`, `hourly`, `daily`, `weekly`, or left to a wider choice.
    pub digest: Option<&'static str>,
    /// Null: left to a wider choice.
    pub quiet_hours: Option<QuietHours>,
}

impl From<&Preference> for ChoiceResource {
    fn from(preference: &Preference) -> Self {
        Self {
            channel: preference.channel,
            r#type: preference.types.as_ref().map(|types| types.as_str().to_owned()),
            enabled: preference.enabled,
            digest: preference.digest.map(word),
            quiet_hours: preference.quiet_hours,
        }
    }
}

fn word(mode: DigestMode) -> &'static str {
    match mode {
        DigestMode::Off => "off",
        DigestMode::Every(frequency) => frequency.as_str(),
    }
}

/// What holds on a channel for a type that nobody has chosen anything for by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveResource {
    /// The channel.
    pub channel: Channel,
    /// Whether what is not critical goes there.
    pub enabled: bool,
    /// `off`, `hourly`, `daily` or `weekly`.
    pub digest: &'static str,
    /// Those that what is scheduled keeps: the recipient's, else ten to eight.
    pub quiet_hours: QuietHours,
}

/// A user's preferences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreferencesResource {
    /// The user's clock; null: the tenant's.
    pub timezone: Option<String>,
    /// The user's language; null: the tenant's.
    pub locale: Option<String>,
    /// The clock that holds.
    pub effective_timezone: String,
    /// The language that holds.
    pub effective_locale: String,
    /// For all channels and types; null: nothing chosen.
    pub quiet_hours: Option<QuietHours>,
    /// What the user chose.
    pub preferences: Vec<ChoiceResource>,
    /// What the tenant chose for all its users.
    pub tenant: Vec<ChoiceResource>,
    /// What this comes to for most types.
    pub channels: Vec<EffectiveResource>,
    /// What is critical is sent whatever is chosen.
    pub critical_is_always_sent: bool,
}

/// A tenant's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefaultsResource {
    /// The clock of users who have none of their own.
    pub timezone: String,
    /// The language of users who have none of their own.
    pub locale: String,
    /// What was chosen for all of them.
    pub preferences: Vec<ChoiceResource>,
}

/// A user's preferences as they are.
pub async fn show(conn: &mut Conn, (tenant, user): (TenantId, UserId)) -> Result<PreferencesResource> {
    let query = users::table.filter(users::id.eq(user).and(users::tenant_id.eq(tenant)));
    let query = query.select((users::timezone, users::locale));
    let place: Option<(Option<String>, Option<String>)> =
        on_conn!(conn, c => query.first(c).await.optional())?;
    let (timezone, locale) = place.ok_or_else(|| Error::not_found("user"))?;
    let mut known = recipients::read(conn, &BTreeSet::from([user])).await?;
    let recipient = known.remove(&user).ok_or_else(|| Error::not_found("user"))?;
    let wishes = &recipient.wishes;
    let shown = |preferences: &[Preference]| preferences.iter().map(ChoiceResource::from).collect();
    let for_all = wishes.own.iter().find(|one| one.channel.is_none() && one.types.is_none());
    Ok(PreferencesResource {
        timezone,
        locale,
        effective_timezone: wishes.zone.name().to_owned(),
        effective_locale: recipient
            .locales
            .as_slice()
            .first()
            .map_or("en", |locale| locale.as_str())
            .to_owned(),
        quiet_hours: for_all.and_then(|one| one.quiet_hours),
        preferences: shown(&wishes.own),
        tenant: shown(&wishes.tenant),
        channels: effective(wishes)?,
        critical_is_always_sent: true,
    })
}

fn effective(wishes: &Wishes) -> Result<Vec<EffectiveResource>> {
    // No type is called so by anybody: it stands for all that nobody chose for by name.
    let any = NotificationType::parse("-").map_err(|e| Error::new(Code::Internal, e))?;
    let of = |channel: &Channel| {
        let settled = wishes.settled(*channel, &any);
        EffectiveResource {
            channel: *channel,
            enabled: settled.enabled,
            digest: word(settled.digest),
            quiet_hours: settled.quiet_hours.unwrap_or_default(),
        }
    };
    Ok(Channel::ALL.iter().map(of).collect())
}

/// A tenant's defaults as they are.
pub async fn show_defaults(conn: &mut Conn, tenant: TenantId) -> Result<DefaultsResource> {
    let query = tenants::table.filter(tenants::id.eq(tenant)).select((tenants::timezone, tenants::locale));
    let (timezone, locale): (String, String) = on_conn!(conn, c => query.first(c).await)?;
    let mut chosen = preference_rows::of_tenants(conn, &BTreeSet::from([tenant])).await?;
    let preferences = chosen.remove(&tenant).unwrap_or_default();
    Ok(DefaultsResource { timezone, locale, preferences: preferences.iter().map(Into::into).collect() })
}

/// Makes these changes to a user's preferences.
pub async fn change(
    conn: &mut Conn,
    (tenant, user): (TenantId, UserId),
    changes: &Changes,
    now: Timestamp,
) -> Result<()> {
    let query = users::table.filter(users::id.eq(user).and(users::tenant_id.eq(tenant)));
    // Whoever changes them waits for whoever else does.
    let held = query.select(users::id);
    let found: Option<UserId> = on_conn_locking!(conn, held, |q, c| q.first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("user"))?;
    if let Some(timezone) = &changes.timezone {
        let set = (users::timezone.eq(timezone), users::updated_at.eq(now));
        on_conn!(conn, c => diesel::update(query).set(set).execute(c).await)?;
    }
    if let Some(locale) = &changes.locale {
        let set = (users::locale.eq(locale), users::updated_at.eq(now));
        on_conn!(conn, c => diesel::update(query).set(set).execute(c).await)?;
    }
    choose_all(conn, (tenant, Some(user)), &changes.choices, now).await
}

/// The same of a tenant's defaults, where a clock and a language there must be.
pub async fn change_defaults(
    conn: &mut Conn,
    tenant: TenantId,
    changes: &Changes,
    now: Timestamp,
) -> Result<()> {
    let query = tenants::table.filter(tenants::id.eq(tenant));
    let held = query.select(tenants::id);
    let _: TenantId = on_conn_locking!(conn, held, |q, c| q.first(c).await)?;
    if let Some(timezone) = &changes.timezone {
        let timezone = timezone.as_deref().unwrap_or("UTC");
        let set = (tenants::timezone.eq(timezone), tenants::updated_at.eq(now));
        on_conn!(conn, c => diesel::update(query).set(set).execute(c).await)?;
    }
    if let Some(locale) = &changes.locale {
        let set = (tenants::locale.eq(locale.as_deref().unwrap_or("en")), tenants::updated_at.eq(now));
        on_conn!(conn, c => diesel::update(query).set(set).execute(c).await)?;
    }
    choose_all(conn, (tenant, None), &changes.choices, now).await
}

async fn choose_all(conn: &mut Conn, whose: Chooser, choices: &[Choice], now: Timestamp) -> Result<()> {
    for choice in choices {
        choose(conn, whose, choice, now).await?;
    }
    let count: i64 = match whose {
        (tenant, Some(user)) => {
            let own = p::table.filter(p::tenant_id.eq(tenant).and(p::user_id.eq(user)));
            on_conn!(conn, c => own.count().get_result(c).await)?
        }
        (tenant, None) => {
            let all = p::table.filter(p::tenant_id.eq(tenant).and(p::user_id.is_null()));
            on_conn!(conn, c => all.count().get_result(c).await)?
        }
    };
    if count > MOST {
        let message =
            format!("There may be {MOST} preferences; take some of the old ones back (null) first.");
        return Err(Error::field("preferences", message));
    }
    Ok(())
}

type Kept = (i64, Option<bool>, Option<String>, Option<i32>, Option<i32>);

async fn choose(conn: &mut Conn, whose: Chooser, choice: &Choice, now: Timestamp) -> Result<()> {
    let channel = choice.scope.channel.map_or("", Channel::as_str);
    let types = choice.scope.types.as_ref().map_or("", |types| types.as_str());
    let (id, mut enabled, mut digest, mut quiet) = match kept(conn, whose, (channel, types)).await? {
        Some((id, enabled, digest, from, until)) => (Some(id), enabled, digest, from.zip(until)),
        None => (None, None, None, None),
    };
    if let Some(change) = choice.enabled {
        enabled = change;
    }
    if let Some(change) = choice.digest {
        digest = change.map(|mode| word(mode).to_owned());
    }
    if let Some(change) = choice.quiet_hours {
        quiet = change.and_then(|hours| hours.minutes());
    }
    let says_something = enabled.is_some() || digest.is_some() || quiet.is_some();
    let values = (
        p::is_enabled.eq(enabled),
        p::digest_frequency.eq(digest),
        p::quiet_from.eq(quiet.map(|(from, _)| from)),
        p::quiet_until.eq(quiet.map(|(_, until)| until)),
        p::updated_at.eq(now),
    );
    match id {
        Some(id) if says_something => {
            on_conn!(conn, c => diesel::update(p::table.find(id)).set(values).execute(c).await)?;
        }
        Some(id) => {
            on_conn!(conn, c => diesel::delete(p::table.find(id)).execute(c).await)?;
        }
        None if says_something => {
            let scope = (
                p::tenant_id.eq(whose.0),
                p::user_id.eq(whose.1),
                p::channel_type.eq(channel),
                p::notification_type.eq(types),
                p::created_at.eq(now),
            );
            let new = diesel::insert_into(p::table).values((scope, values));
            on_conn!(conn, c => new.execute(c).await)?;
        }
        None => {}
    }
    Ok(())
}

async fn kept(
    conn: &mut Conn,
    (tenant, user): Chooser,
    (channel, types): (&str, &str),
) -> Result<Option<Kept>> {
    let query = p::table
        .filter(p::tenant_id.eq(tenant).and(p::channel_type.eq(channel)).and(p::notification_type.eq(types)))
        .select((p::id, p::is_enabled, p::digest_frequency, p::quiet_from, p::quiet_until));
    Ok(match user {
        Some(user) => on_conn!(conn, c => query.filter(p::user_id.eq(user)).first(c).await.optional())?,
        None => on_conn!(conn, c => query.filter(p::user_id.is_null()).first(c).await.optional())?,
    })
}
