//! What a channel notes in the database of where its clients stand, and what it reads there when it is opened.

use super::actor::ChannelActor;
use super::history::History;
use super::message::Note;
use super::past::{self, Past};
use crate::storage::positions;
use actix::prelude::*;
use std::time::Duration;

/// How soon a newcomer's position is noted.
const NEWCOMERS: Duration = Duration::from_millis(20);
/// How long the next note waits for each byte of the last: 400 kB, some 10,000 clients, are 400 ms.
const A_BYTE: Duration = Duration::from_micros(1);

/// What was noted last, and whether the next note is on its way.
#[derive(Debug, Default)]
pub(super) struct Noting {
    last: Option<String>,
    under_way: bool,
    /// Something has changed since the note that is under way was made.
    stale: bool,
}

impl ChannelActor {
    /// Whether its past is in rows and replay is on.
    pub(super) fn has_past(&self) -> bool {
        self.name().carries_rows() && !self.setup.history.age.is_zero()
    }

    /// Reads the past before anything else is dealt with.
    pub(super) fn read_past(&self, ctx: &mut Context<Self>) {
        let (db, app, name) = (self.setup.db.clone(), self.setup.app.clone(), self.name().clone());
        let messages = self.setup.history.messages;
        let past = async move { Past::read(&db, &app, &name, messages).await };
        ctx.wait(past.into_actor(self).map(|past, channel, _| match past {
            Ok(past) => {
                let history = History::new(channel.history.head().epoch, channel.setup.history.clone());
                let now = channel.setup.clock.now();
                (channel.history, channel.positions) = past.restore(channel.name(), history, now);
            }
            // Clients that come back now are taken for new ones.
            Err(error) => tracing::warn!(channel = %channel.name(), %error, "the past could not be read"),
        }));
    }

    /// Notes the positions shortly, once for all that changes until then.
    pub(super) fn note_soon(&mut self, ctx: &mut Context<Self>) {
        self.note_in(self.setup.checkpoint, ctx);
    }

    /// The same, sooner: until it is noted, a client is not known again after a kill.
    pub(super) fn note_newcomer(&mut self, ctx: &mut Context<Self>) {
        self.note_in(NEWCOMERS.min(self.setup.checkpoint), ctx);
    }

    fn note_in(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        if self.noting.under_way || !self.has_past() {
            self.noting.stale = true;
            return;
        }
        self.noting.under_way = true;
        self.setup.metrics.channels_unnoted.inc();
        // A long list is written less often.
        let length = self.noting.last.as_ref().map_or(0, String::len);
        let pause = pause.max(A_BYTE * u32::try_from(length).unwrap_or(u32::MAX));
        ctx.run_later(pause, |channel, ctx| {
            channel.noting.stale = false;
            // Who is behind may catch up while this is written, and nobody says so.
            let goes_on = channel.positions.anyone_behind(&channel.history);
            let written = channel.note();
            ctx.spawn(written.into_actor(channel).map(move |written, channel, ctx| {
                channel.noting.under_way = false;
                channel.setup.metrics.channels_unnoted.dec();
                if !written {
                    channel.noting.last = None;
                }
                if !written || goes_on || channel.noting.stale {
                    channel.note_soon(ctx);
                }
            }));
        });
    }

    /// Writes the positions down, if they are others than those noted; false if that failed.
    fn note(&mut self) -> impl Future<Output = bool> + use<> {
        let text = past::note(&self.positions, &self.history);
        let news = (self.has_past() && self.noting.last.as_ref() != Some(&text)).then(|| text.clone());
        self.noting.last = Some(text);
        let (db, app, name) = (self.setup.db.clone(), self.setup.app.id.clone(), self.name().clone());
        let now = self.setup.clock.now();
        async move {
            let Some(text) = news else { return true };
            let written = positions::write(&db, &app, &name, &text, now).await;
            if let Err(error) = &written {
                tracing::warn!(channel = %name, %error, "the positions of clients could not be noted");
            }
            written.is_ok()
        }
    }
}

impl Handler<Note> for ChannelActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Note, _: &mut Self::Context) -> Self::Result {
        let written = self.note();
        Box::pin(async move {
            written.await;
        })
    }
}
