//! Sending: one notification to one user, to several, to a role or to everybody of a tenant.
//!
//! Up to a thousand recipients are dispatched at once, in the transaction of the request. More go page by page
//! ([`fan_out`]): the request writes what is to be done, and is answered before it is done. What goes to each at their
//! best time becomes a row of the schedule for each (`send_best`).

use super::decision::Trigger;
use super::dispatch::{self, Dispatched, Extras, Failure, Fate, Message, Outcome, Terms};
use super::draft::{Draft, Words};
use super::fan_out::{self, FanOut};
use super::readers::Readers;
use super::schedule::Planned;
use super::template::Variables;
use super::{Notice, NotificationType, Priority, send_best};
use crate::domain::fields::Given;
use crate::domain::{Code, Error, Fields, NotificationId, Result, TenantId, Timestamp, UserId};
use crate::storage::outbox::NewEvent;
use crate::storage::schema::users;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// One user, who must be there.
    User(UserId),
    /// Several, each once.
    Users(BTreeSet<UserId>),
    /// All of a role.
    Role(String),
    /// Everybody.
    Tenant,
}

/// A notification and its recipients.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// Who is told.
    pub audience: Audience,
    /// What they are told.
    pub draft: Draft,
}

impl SendRequest {
    /// Reads a request's body: exactly one of `user_id`, `user_ids`, `role` and `tenant`, and what a notification is
    /// made of.
    pub fn parse(mut fields: Fields, now: Timestamp) -> Result<Self> {
        let audience = read_audience(&mut fields);
        let draft = Draft::read(&mut fields);
        if let Some(draft) = &draft {
            draft.check_expiry(&mut fields, now);
            send_best::check_size(draft, &mut fields);
        }
        fields.finish()?;
        match (audience, draft) {
            (Some(audience), Some(draft)) => Ok(Self { audience, draft }),
            _ => Err(Error::new(Code::Invalid, "The notification is not complete.")),
        }
    }
}

fn read_audience(fields: &mut Fields) -> Option<Audience> {
    let one = fields.integer("user_id", 1, i64::MAX);
    let several = read_users(fields);
    let role = fields.string("role", 1, 50);
    let tenant = fields.boolean("tenant");
    if let Given::Value(false) = tenant {
        fields.wrong("tenant", "The tenant field must be true, or left out.");
    }
    let is_wrong = [&one].iter().any(|given| **given == Given::Wrong)
        || several == Given::Wrong
        || role == Given::Wrong
        || !matches!(tenant, Given::Absent | Given::Null | Given::Value(true));
    let mut given: Vec<Audience> = Vec::new();
    given.extend(one.value().map(|id| Audience::User(UserId(id))));
    given.extend(several.value().map(Audience::Users));
    given.extend(role.value().map(Audience::Role));
    given.extend(tenant.value().map(|_| Audience::Tenant));
    if !is_wrong && given.len() != 1 {
        let message = "Say who it is for: exactly one of user_id, user_ids, role and tenant.";
        fields.wrong("user_id", message);
    }
    given.pop()
}

fn read_users(fields: &mut Fields) -> Given<BTreeSet<UserId>> {
    let Given::Value(listed) = fields.array("user_ids") else { return Given::Absent };
    let ids: Option<BTreeSet<UserId>> =
        listed.iter().map(|id| Value::as_i64(id).filter(|id| *id > 0).map(UserId)).collect();
    let ids = ids.filter(|ids| !ids.is_empty() && listed.len() <= dispatch::MOST);
    ids.map_or_else(
        || {
            let message = format!("The user_ids field must be 1 to {} ids of users.", dispatch::MOST);
            fields.wrong("user_ids", message);
            Given::Wrong
        },
        Given::Value,
    )
}

/// What became of a request to send.
#[derive(Debug, Clone, Serialize)]
pub struct SendReport {
    /// Its row in the inbox, of a notification to one user.
    pub id: Option<NotificationId>,
    /// `sent` when anybody was sent it, `skipped` when nobody wants it or there is nobody, `failed` when it could be sent to
    /// nobody who does; `sending` when it goes on page by page, `scheduled` when it goes to each at their best time.
    pub status: &'static str,
    /// How many it went to.
    pub sent: usize,
    /// How many do not want it.
    pub skipped: usize,
    /// To how many it could not be sent.
    pub failed: usize,
    /// What became of each; of one that goes on nothing yet.
    pub recipients: Vec<RecipientReport>,
    /// What goes on, and where to ask how far it is.
    pub fan_out: Option<FanOut>,
    /// To how many it goes at their best time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<usize>,
}

/// What became of a notification to one user.
#[derive(Debug, Clone, Serialize)]
pub struct RecipientReport {
    /// Who.
    pub user_id: UserId,
    /// `sent`, `skipped`, `scheduled` or `failed`.
    pub status: &'static str,
    /// Its row in the inbox.
    pub id: Option<NotificationId>,
    /// Why not.
    pub reason: Option<&'static str>,
    /// The same in a sentence.
    pub error: Option<String>,
    /// What was done on each channel.
    pub channels: Vec<ChannelReport>,
    /// When it goes, where that is their best time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Planned>,
}

/// What was done on one channel.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelReport {
    /// Which.
    pub channel: super::Channel,
    /// `delivered`, `pending`, `digest` or `skipped`.
    pub status: &'static str,
    /// When it goes, where that is later.
    pub due_at: Option<Timestamp>,
    /// Why then, or why not.
    pub reason: Option<&'static str>,
}

impl ChannelReport {
    fn of((channel, fate): (super::Channel, Fate)) -> Self {
        let (status, due_at, reason) = match fate {
            Fate::Delivered(reason) => ("delivered", None, Some(reason.as_str())),
            Fate::Pending(at, reason) => ("pending", Some(at), Some(reason.as_str())),
            Fate::Gathered(at) => ("digest", Some(at), None),
            Fate::Skipped(reason) => ("skipped", None, Some(reason.as_str())),
        };
        Self { channel, status, due_at, reason: reason.filter(|reason| *reason != "as_asked") }
    }
}

impl RecipientReport {
    /// Nothing more is said than that.
    pub(super) const fn empty(user_id: UserId, status: &'static str) -> Self {
        let channels = Vec::new();
        Self { user_id, status, id: None, reason: None, error: None, channels, scheduled: None }
    }

    fn of(user_id: UserId, outcome: Outcome) -> Self {
        let status = outcome.as_str();
        let nothing = Self::empty(user_id, status);
        match outcome {
            Outcome::Sent(sent) => {
                let channels = sent.channels.into_iter().map(ChannelReport::of).collect();
                Self { id: sent.in_app, channels, ..nothing }
            }
            Outcome::Deferred(time) => Self { reason: Some(time.reason.as_str()), ..nothing },
            Outcome::Skipped(reason) => Self { reason: Some(reason.as_str()), ..nothing },
            Outcome::Failed(Failure { reason, message }) => {
                Self { reason: Some(reason.as_str()), error: Some(message), ..nothing }
            }
        }
    }
}

impl SendReport {
    fn of(outcomes: Vec<(UserId, Outcome)>) -> Self {
        let recipients: Vec<RecipientReport> =
            outcomes.into_iter().map(|(user, outcome)| RecipientReport::of(user, outcome)).collect();
        let count = |status: &str| recipients.iter().filter(|one| one.status == status).count();
        let (sent, skipped, failed) = (count("sent"), count("skipped"), count("failed"));
        let id = if let [only] = recipients.as_slice() { only.id } else { None };
        let status = match (sent, failed) {
            (1.., _) => "sent",
            (0, 1..) => "failed",
            (0, 0) => "skipped",
        };
        Self { id, status, sent, skipped, failed, recipients, fan_out: None, scheduled: None }
    }

    fn of_fan_out(fan_out: FanOut) -> Self {
        let recipients = Vec::new();
        Self {
            id: None,
            status: "sending",
            sent: 0,
            skipped: 0,
            failed: 0,
            recipients,
            fan_out: Some(fan_out),
            scheduled: None,
        }
    }

    /// Whether it goes on after the answer.
    pub const fn goes_on(&self) -> bool {
        self.fan_out.is_some() || self.scheduled.is_some()
    }
}

/// Sends in the caller's transaction, who writes the events last in it. A single user who is not there is an error, and
/// so is one who has had too many.
pub async fn send(
    conn: &mut Conn,
    tenant: TenantId,
    request: &SendRequest,
    terms: Terms<'_>,
) -> Result<(SendReport, Vec<NewEvent>)> {
    let users = match &request.audience {
        Audience::User(user) if request.draft.window.is_none() => {
            return send_to_one(conn, (tenant, *user), &request.draft, terms).await;
        }
        Audience::User(user) => vec![*user],
        Audience::Users(users) => users.iter().copied().collect(),
        Audience::Role(role) => page(conn, tenant, Some(role), UserId(0), dispatch::MOST + 1).await?,
        Audience::Tenant => page(conn, tenant, None, UserId(0), dispatch::MOST + 1).await?,
    };
    if users.len() > dispatch::MOST {
        let message = request.draft.message(conn, tenant, Readers::Anybody).await?;
        admit(tenant, 1, terms)?;
        let role = match &request.audience {
            Audience::Role(role) => Some(role.as_str()),
            _ => None,
        };
        let asked = (&request.draft, &message);
        let begun = fan_out::begin(conn, tenant, role, asked, terms.now).await?;
        return Ok((SendReport::of_fan_out(begun), Vec::new()));
    }
    admit(tenant, users.len(), terms)?;
    if request.draft.window.is_some() {
        let is_one = matches!(request.audience, Audience::User(_));
        return Ok((
            send_best::report(conn, tenant, &users, &request.draft, is_one, terms.now).await?,
            Vec::new(),
        ));
    }
    let message = request.draft.message(conn, tenant, Readers::These(&users)).await?;
    let (outcomes, events) = send_to(conn, tenant, &users, message, terms).await?;
    Ok((SendReport::of(outcomes), events))
}

/// Dispatches to these users, up to a thousand, for whom the tenant was charged: for those who were sent nothing it is
/// charged no more.
pub(super) async fn send_to(
    conn: &mut Conn,
    tenant: TenantId,
    users: &[UserId],
    message: Message,
    terms: Terms<'_>,
) -> Result<(Vec<(UserId, Outcome)>, Vec<NewEvent>)> {
    let message = Arc::new(message);
    let notice = |recipient: &UserId| Notice {
        tenant,
        recipient: *recipient,
        message: message.clone(),
        trigger: Trigger::Immediate,
        scheduled: None,
    };
    let notices: Vec<Notice> = users.iter().map(notice).collect();
    let Dispatched { events, outcomes, .. } = dispatch::dispatch(conn, &notices, terms).await?;
    if let Some(charges) = terms.limits {
        let unsent = outcomes.iter().filter(|outcome| !matches!(outcome, Outcome::Sent(_))).count();
        charges.return_to_tenant(tenant, unsent);
    }
    Ok((users.iter().copied().zip(outcomes).collect(), events))
}

async fn send_to_one(
    conn: &mut Conn,
    (tenant, user): (TenantId, UserId),
    draft: &Draft,
    terms: Terms<'_>,
) -> Result<(SendReport, Vec<NewEvent>)> {
    admit(tenant, 1, terms)?;
    let message = draft.message(conn, tenant, Readers::These(&[user])).await?;
    let (outcomes, events) = send_to(conn, tenant, &[user], message, terms).await?;
    if let [(_, Outcome::Failed(Failure { reason, message }))] = outcomes.as_slice() {
        let field = match reason {
            dispatch::FailureReason::RecipientGone => "user_id",
            dispatch::FailureReason::Expired => "expires_at",
            dispatch::FailureReason::RateLimited => return Err(too_many(user, terms)),
            dispatch::FailureReason::TemplateError => "template",
        };
        return Err(Error::field(field, message.clone()));
    }
    Ok((SendReport::of(outcomes), events))
}

/// Sends a user the system's test, as their preferences would have it.
pub async fn send_test(
    conn: &mut Conn,
    (tenant, user, name): (TenantId, UserId, &str),
    channels: Option<BTreeSet<super::Channel>>,
    terms: Terms<'_>,
) -> Result<(SendReport, Vec<NewEvent>)> {
    let kind = NotificationType::parse("test").map_err(|e| Error::new(Code::Internal, e))?;
    let variables = Variables::from_iter([("user_name".to_owned(), Value::from(name))]);
    let words = Words::Template { template: "test_in_app".to_owned(), variables };
    let (priority, extras) = (Priority::Normal, Extras::default());
    let draft = Draft { kind, priority, words, extras, channels, window: None };
    send_to_one(conn, (tenant, user), &draft, terms).await
}

fn too_many(user: UserId, terms: Terms<'_>) -> Error {
    let message = "This user has had as many notifications as may be sent to one in a minute.";
    let wait = terms.limits.and_then(|limits| limits.admit_user(user, terms.now).err());
    Error::new(Code::TooMany, message).after(wait.unwrap_or_default())
}

fn admit(tenant: TenantId, count: usize, terms: Terms<'_>) -> Result<()> {
    let Some(limits) = terms.limits else { return Ok(()) };
    limits.admit_tenant(tenant, count, terms.now).map_err(|wait| {
        let message = "The tenant has sent as many notifications as it may in a minute.";
        Error::new(Code::TooMany, message).after(wait)
    })
}

/// The tenant's users after this one, of a role or of all.
pub(super) async fn page(
    conn: &mut Conn,
    tenant: TenantId,
    role: Option<&str>,
    after: UserId,
    size: usize,
) -> Result<Vec<UserId>> {
    let all = users::table
        .filter(users::tenant_id.eq(tenant).and(users::id.gt(after)))
        .order(users::id)
        .limit(i64::try_from(size).unwrap_or(i64::MAX))
        .select(users::id);
    Ok(match role {
        Some(role) => {
            let of_role = all.filter(users::role.eq(role));
            on_conn!(conn, c => of_role.load(c).await)?
        }
        None => on_conn!(conn, c => all.load(c).await)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(recipients: &Value) -> Result<SendRequest> {
        let mut body = json!({"type": "promo", "title": "New", "body": "Look"});
        body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
        SendRequest::parse(Fields::of(body).unwrap(), Timestamp::from_micros(0).unwrap())
    }

    #[test]
    fn exactly_one_kind_of_recipient_is_named() {
        assert_eq!(parse(&json!({"user_id": 7})).unwrap().audience, Audience::User(UserId(7)));
        let both = parse(&json!({"user_ids": [9, 7, 9]})).unwrap().audience;
        assert_eq!(both, Audience::Users([UserId(7), UserId(9)].into()));
        assert_eq!(
            parse(&json!({"role": "manager"})).unwrap().audience,
            Audience::Role("manager".to_owned())
        );
        assert_eq!(parse(&json!({"tenant": true})).unwrap().audience, Audience::Tenant);
        for (wrong, field) in [
            (json!({}), "user_id"),
            (json!({"user_id": 7, "role": "manager"}), "user_id"),
            (json!({"tenant": false}), "tenant"),
            (json!({"user_ids": []}), "user_ids"),
            (json!({"user_ids": ["7"]}), "user_ids"),
            (json!({"user_id": 0}), "user_id"),
        ] {
            let error = parse(&wrong).unwrap_err();
            assert!(error.fields().contains_key(field), "{wrong}: {error}");
        }
    }
}
