//! Scheduling: what was asked for is held against the recipients and the templates, and then written, all or nothing.

use super::due::{Asked, Past, best, due};
use super::input::Wanted;
use super::resource::{ScheduledResource, show_all};
use super::row::{NewRow, Payload, Row};
use crate::domain::error::FieldErrors;
use crate::domain::{Error, Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::notifications::best_time::Chosen;
use crate::notifications::draft::Words;
use crate::notifications::effective_time::EffectiveTime;
use crate::notifications::engagement::Known;
use crate::notifications::recipients::{self, Recipient};
use crate::notifications::status::ScheduleStatus;
use crate::notifications::template::{Rendered, Template};
use crate::notifications::templates::{Pinned, Shelf, compiled};
use crate::storage::schema::scheduled_notifications as s;
use crate::storage::{Conn, insert_rows, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;
use std::time::Duration;

/// Something that can be scheduled as it is.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) wanted: Wanted,
    /// The time asked for.
    pub(super) at: Timestamp,
    pub(super) due: EffectiveTime,
    /// How that was chosen, where it is the best time of a window.
    pub(super) best: Option<Chosen>,
    pub(super) pinned: Option<Pinned>,
    /// As they would be now.
    pub(super) words: Rendered,
}

/// Writes all of these rows, or says what is wrong with which.
pub async fn create(
    conn: &mut Conn,
    tenant: TenantId,
    wanted: Vec<Wanted>,
    now: Timestamp,
) -> Result<Vec<ScheduledResource>> {
    let ready = prepare(conn, tenant, wanted, now).await?;
    let ids = write(conn, tenant, &ready, now).await?;
    let recurring: Vec<ScheduledId> = ids
        .iter()
        .zip(&ready)
        .filter(|(_, one)| one.wanted.recurrence.is_some())
        .map(|(id, _)| *id)
        .collect();
    if !recurring.is_empty() {
        // The first of a series gives it its name.
        let rows = s::table.filter(s::id.eq_any(recurring));
        on_conn!(conn, c => diesel::update(rows).set(s::series_id.eq(s::id.nullable())).execute(c).await)?;
    }
    let query = s::table.filter(s::id.eq_any(ids)).order(s::id);
    let rows: Vec<Row> = on_conn!(conn, c => query.select(Row::as_select()).load(c).await)?;
    show_all(conn, rows, now).await
}

/// Writes the rows, and gives their ids in their order.
pub(super) async fn write(
    conn: &mut Conn,
    tenant: TenantId,
    ready: &[Ready],
    now: Timestamp,
) -> Result<Vec<ScheduledId>> {
    let rows: Vec<NewRow> = ready.iter().map(|one| new_row(tenant, one, now)).collect::<Result<_>>()?;
    let ids: Vec<ScheduledId> = insert_rows!(conn, s::table, rows, s::id);
    Ok(ids)
}

/// All of what is wanted, ready; or what is wrong with which.
pub(super) async fn prepare(
    conn: &mut Conn,
    tenant: TenantId,
    wanted: Vec<Wanted>,
    now: Timestamp,
) -> Result<Vec<Ready>> {
    let places: Vec<String> = wanted.iter().map(|one| one.place.clone()).collect();
    let (mut ready, mut errors) = (Vec::with_capacity(wanted.len()), FieldErrors::new());
    for (place, one) in places.iter().zip(prepare_each(conn, tenant, (wanted, None), now).await?) {
        match one {
            Ok(one) => ready.push(one),
            Err(error) => errors.extend(placed(place, &error)),
        }
    }
    if errors.is_empty() { Ok(ready) } else { Err(Error::invalid(errors)) }
}

/// Holds what is wanted against what there is, in a number of statements that does not depend on how many there are. Words
/// are picked from the shelf, or, without one, from what there is now.
pub(super) async fn prepare_each(
    conn: &mut Conn,
    tenant: TenantId,
    (wanted, shelf): (Vec<Wanted>, Option<&Shelf>),
    now: Timestamp,
) -> Result<Vec<Result<Ready>>> {
    let users: BTreeSet<UserId> = wanted.iter().map(|one| one.user).collect();
    let recipients = recipients::read(conn, &users).await?;
    let codes: BTreeSet<&str> = wanted.iter().filter_map(code).collect();
    let shelf = match shelf {
        Some(kept) => kept.clone(),
        None => Shelf::fetch(conn, tenant, &codes).await?,
    };
    let pick = |one: &Wanted| shelf.pick(code(one)?, &recipients.get(&one.user)?.locales);
    let pinned: Vec<Option<Pinned>> = wanted.iter().map(pick).collect();
    let templates = compiled(conn, &pinned.iter().copied().flatten().collect()).await?;
    let patient = wanted.iter().filter(|one| one.draft.window.is_some()).map(|one| one.user).collect();
    let known = Known::fetch(conn, tenant, &patient, now).await?;
    let held = wanted.into_iter().zip(pinned).map(|(one, pinned)| {
        let recipient = recipients.get(&one.user).filter(|recipient| recipient.tenant == tenant);
        let template = pinned.and_then(|pinned| templates.get(&pinned));
        hold(one, recipient, (pinned, template), &known, now)
    });
    Ok(held.collect())
}

fn code(one: &Wanted) -> Option<&str> {
    match &one.draft.words {
        Words::Template { template, .. } => Some(template),
        Words::Plain { .. } => None,
    }
}

fn placed(place: &str, error: &Error) -> FieldErrors {
    error.fields().iter().map(|(field, messages)| (format!("{place}{field}"), messages.clone())).collect()
}

fn hold(
    wanted: Wanted,
    recipient: Option<&Recipient>,
    (pinned, template): (Option<Pinned>, Option<&Template>),
    known: &Known,
    now: Timestamp,
) -> Result<Ready> {
    let recipient = recipient.ok_or_else(|| Error::field("user_id", "There is no such user."))?;
    let words = words(&wanted, template)?;
    let at = first_time(&wanted, recipient, now)?;
    let draft = &wanted.draft;
    let asked = Asked { kind: &draft.kind, priority: draft.priority, channels: draft.channels.as_ref(), at };
    let expires_at = draft.extras.expires_at;
    let (due, best) = match draft.window {
        None => (due(asked, &recipient.wishes), None),
        Some(window) => {
            let past = Past { habits: known.of(wanted.user), prior: &known.prior };
            let ends = window.end(at, expires_at);
            let (due, chosen) = best(asked, (window, ends), &recipient.wishes, past);
            (due, Some(chosen))
        }
    };
    if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= due.due_at) {
        let message = format!("It would expire at {expires_at}, before it goes out at {}.", due.due_at);
        return Err(Error::field("expires_at", message));
    }
    Ok(Ready { wanted, at, due, best, pinned, words })
}

fn words(wanted: &Wanted, template: Option<&Template>) -> Result<Rendered> {
    match &wanted.draft.words {
        Words::Plain { title, body } => Ok(Rendered::plain(title, body)),
        Words::Template { template: code, variables } => {
            let none = || {
                let message = format!("There is no active template \"{code}\"; GET templates lists them.");
                Error::field("template", message)
            };
            Ok(template.ok_or_else(none)?.render(variables)?)
        }
    }
}

/// The time asked for; of what recurs, the first of its times from then on.
fn first_time(wanted: &Wanted, recipient: &Recipient, now: Timestamp) -> Result<Timestamp> {
    let Some(recurrence) = &wanted.recurrence else {
        return wanted.at.ok_or_else(|| Error::field("scheduled_at", "The scheduled_at field is required."));
    };
    // A time that fits is the first one itself.
    let after = wanted.at.map_or(now, |at| at.minus(Duration::from_micros(1)));
    recurrence
        .next_after(after, &recipient.wishes.zone)
        .ok_or_else(|| Error::field("recurrence", "The recurrence never comes after that time."))
}

fn new_row(tenant_id: TenantId, one: &Ready, now: Timestamp) -> Result<NewRow> {
    let Ready { wanted, at, due, best, pinned, .. } = one;
    let draft = &wanted.draft;
    let (title, body, variables) = match draft.words.clone() {
        Words::Plain { title, body } => (Some(title), Some(body), None),
        Words::Template { variables, .. } => (None, None, Some(variables)),
    };
    let (channels, extras) = (draft.channels.clone(), draft.extras.clone());
    let payload = Payload { variables, channels, extras, expires_in: wanted.expires_in, best: *best };
    Ok(NewRow {
        tenant_id,
        recipient_id: wanted.user,
        notification_type: draft.kind.as_str().to_owned(),
        notification_template_id: pinned.map(|pinned| pinned.template),
        template_version: pinned.map(|pinned| pinned.version),
        title,
        body,
        payload: payload.text()?,
        priority: draft.priority,
        scheduled_at: *at,
        due_at: due.due_at,
        reason: due.reason.as_str(),
        recurrence: wanted.recurrence.as_ref().map(|recurrence| recurrence.as_str().to_owned()),
        series_id: None,
        status: ScheduleStatus::Pending,
        next_attempt_at: due.due_at,
        created_at: now,
        updated_at: now,
    })
}
