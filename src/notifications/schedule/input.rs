//! What a request may say of a notification that is to be scheduled, alone or among up to a thousand.

use super::MOST;
use crate::domain::error::FieldErrors;
use crate::domain::fields::Given;
use crate::domain::{Error, Fields, Result, Timestamp, UserId};
use crate::notifications::asked_time::AskedTime;
use crate::notifications::draft::Draft;
use crate::notifications::recurrence::{Recurrence, RecurrenceRule};
use serde_json::Value;

/// The longest `expires_in`: a year.
const MAX_EXPIRES_IN: i64 = 366 * 86_400;

/// A notification as it is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it stands in the request, for errors: empty, or `notifications.3.`.
    pub(super) place: String,
    /// Who is told.
    pub user: UserId,
    pub(super) draft: Draft,
    /// Seconds after it went out.
    pub(super) expires_in: Option<u32>,
    /// Of what recurs, where it is given: none goes out before it.
    pub(super) at: Option<Timestamp>,
    pub(super) recurrence: Option<Recurrence>,
}

/// Reads a request's body: one notification, or `{"notifications": [ … ]}`. Whoever is not named is `me`.
pub fn parse(body: Fields, me: UserId, now: Timestamp) -> Result<Vec<Wanted>> {
    let mut body = body;
    if !body.has("notifications") {
        return Ok(vec![read(body, String::new(), me, now)?]);
    }
    let listed = body.array("notifications");
    let listed = body.required("notifications", listed).unwrap_or_default();
    if listed.is_empty() || listed.len() > MOST {
        body.wrong("notifications", format!("The notifications field must have 1 to {MOST} entries."));
    }
    body.finish()?;
    let (mut wanted, mut errors) = (Vec::with_capacity(listed.len()), FieldErrors::new());
    for (number, one) in listed.into_iter().enumerate() {
        let place = format!("notifications.{number}");
        let Value::Object(object) = one else {
            errors.insert(place, vec!["Each of the notifications must be an object.".to_owned()]);
            continue;
        };
        let place = place + ".";
        match read(Fields::nested(object, place.clone()), place, me, now) {
            Ok(one) => wanted.push(one),
            Err(error) => errors.extend(error.fields().clone()),
        }
    }
    if errors.is_empty() { Ok(wanted) } else { Err(Error::invalid(errors)) }
}

fn read(mut fields: Fields, place: String, me: UserId, now: Timestamp) -> Result<Wanted> {
    let user = fields.integer("user_id", 1, i64::MAX);
    let user = fields.present("user_id", user).map_or(me, UserId);
    let draft = Draft::read(&mut fields);
    let expires_in = fields.integer("expires_in", 1, MAX_EXPIRES_IN);
    let expires_in = fields.present("expires_in", expires_in).and_then(|seconds| u32::try_from(seconds).ok());
    let recurrence = read_recurrence(&mut fields);
    let at = read_time(&mut fields, recurrence.is_some(), now);
    let has_end = draft.as_ref().is_some_and(|draft| draft.extras.expires_at.is_some());
    if recurrence.is_some() && draft.as_ref().is_some_and(|draft| draft.window.is_some()) {
        let message = "What recurs comes at the times of its recurrence: leave out deliver, or recurrence.";
        fields.wrong("deliver", message);
    }
    if has_end && (expires_in.is_some() || recurrence.is_some()) {
        let message = "The expires_at field cannot stand beside expires_in or recurrence: give expires_in.";
        fields.wrong("expires_at", message);
    }
    fields.finish()?;
    // Told by now, field by field.
    let draft = draft.ok_or_else(|| Error::field("type", "The notification is not complete."))?;
    Ok(Wanted { place, user, draft, expires_in, at, recurrence })
}

fn read_recurrence(fields: &mut Fields) -> Option<Recurrence> {
    let given = fields.string("recurrence", 1, 100).value()?;
    let read = Recurrence::parse(&given, RecurrenceRule::default());
    read.map_err(|message| fields.wrong("recurrence", message)).ok()
}

/// `scheduled_at`: required, unless the recurrence says when.
fn read_time(fields: &mut Fields, recurs: bool, now: Timestamp) -> Option<Timestamp> {
    let given = fields.timestamp("scheduled_at");
    let asked = match given {
        Given::Absent if recurs => None,
        given => fields.required("scheduled_at", given),
    }?;
    AskedTime::default().check(asked, now).map_err(|message| fields.wrong("scheduled_at", message)).ok()
}
