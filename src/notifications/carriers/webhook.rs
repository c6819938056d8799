//! Notifications to the endpoints of the tenant that subscribe to `notification:sent`, or `notification:*`: the channel,
//! [`WebhookChannel`], and its carrier, [`Webhook`].
//!
//! The event, its deliveries and the row of the history are one transaction, so a notification is one event, however
//! often it is tried. What becomes of the deliveries is read from their rows afterwards.

use super::{Carrier, CarryFailure, Handover, Letter, follow_up, queue};
use crate::config::Notifications;
use crate::domain::{
    ChannelName, Clock, Code, Committed, Error, EventName, HistoryId, NotificationId, Result, Timestamp,
    UserId,
};
use crate::notifications::channel_driver::ChannelDriver;
use crate::notifications::dispatch::Action;
use crate::notifications::template::Variables;
use crate::notifications::{Channel, Priority};
use crate::storage::outbox::{self, NewEvent};
use crate::storage::{Conn, Db};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use std::sync::Arc;

/// The event that endpoints subscribe to.
pub const EVENT: &str = "notification:sent";

/// To no address: the endpoints are those that there are when it is carried.
pub struct WebhookChannel;

impl ChannelDriver for WebhookChannel {
    fn carrier(&self, (db, clock): (&Db, &Clock), _settings: &Notifications) -> Option<Arc<dyn Carrier>> {
        Some(Arc::new(Webhook { db: db.clone(), clock: clock.clone() }))
    }
}

/// See the module.
pub struct Webhook {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
}

#[derive(Serialize)]
struct Payload<'a> {
    id: HistoryId,
    notification_id: Option<NotificationId>,
    user_id: UserId,
    r#type: &'a str,
    title: &'a str,
    body: &'a str,
    timestamp: Timestamp,
    priority: Priority,
    action: Option<&'a Action>,
    icon: Option<&'a str>,
    data: Option<&'a Variables>,
    expires_at: Option<Timestamp>,
}

fn event(letter: &Letter) -> Result<NewEvent> {
    let payload = Payload {
        id: letter.id,
        notification_id: letter.in_app,
        user_id: letter.user,
        r#type: letter.kind.as_str(),
        title: &letter.subject,
        body: &letter.body,
        timestamp: letter.created_at,
        priority: letter.priority,
        action: letter.extras.action.as_ref(),
        icon: letter.extras.icon.as_deref(),
        data: letter.extras.data.as_ref(),
        expires_at: letter.extras.expires_at,
    };
    let data = serde_json::to_string(&payload)
        .map_err(|e| Error::new(Code::Internal, "An event could not be written down.").because(e))?;
    let (tenant_id, name) = (letter.tenant, EventName::new(EVENT));
    Ok(NewEvent { tenant_id, name, channel: ChannelName::tenant_webhooks(tenant_id), data, except: None })
}

impl Webhook {
    async fn hand_over(&self, conn: &mut Conn, letters: &[Letter]) -> Result<Committed> {
        let now = self.clock.now();
        let ours = queue::still_ours(conn, letters).await?;
        let tenants = letters.iter().map(|letter| letter.tenant).collect();
        let listening = outbox::tenants_listening(conn, tenants, EVENT).await?;
        let (wanted, unwanted): (Vec<&Letter>, Vec<&Letter>) = letters
            .iter()
            .filter(|letter| ours.contains(&letter.id))
            .partition(|letter| listening.contains(&letter.tenant));
        let nobody = format!("No active webhook endpoint subscribes to {EVENT}.");
        let nobody = Handover::Failed(CarryFailure::NoEndpoint, nobody);
        for letter in unwanted {
            queue::settle(conn, letter, &nobody, now).await?;
        }
        let events = wanted.iter().map(|letter| event(letter)).collect::<Result<Vec<NewEvent>>>()?;
        let committed = outbox::write(conn, events, now).await?;
        for (letter, event) in wanted.iter().zip(&*committed.events) {
            queue::settle(conn, letter, &Handover::Sent(event.message_id.to_string()), now).await?;
        }
        Ok(committed)
    }
}

impl Carrier for Webhook {
    fn name(&self) -> &'static str {
        "notifications by webhook"
    }

    fn channel(&self) -> Channel {
        Channel::Webhook
    }

    fn at_once(&self) -> usize {
        200
    }

    fn carry(&self, letters: Vec<Letter>) -> LocalBoxFuture<'_, Result<Option<Committed>>> {
        Box::pin(async move {
            let work = async |conn: &mut Conn| self.hand_over(conn, &letters).await;
            self.db.transaction(work).await.map(Some)
        })
    }

    fn follow_up(&self) -> LocalBoxFuture<'_, Result<Option<Timestamp>>> {
        Box::pin(async move { follow_up::look(&self.db, self.clock.now()).await })
    }
}
