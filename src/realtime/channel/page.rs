//! `Page`: a part of a channel's history, for those who ask for it over REST.

use super::ChannelActor;
use crate::domain::{Epoch, Position, Timestamp};
use crate::realtime::frame::Frame;
use actix::{Handler, MessageResult};
use std::sync::Arc;

/// Asks a channel for what comes after an offset.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "Page")]
pub struct ReadPage {
    /// The life of the stream that the offset belongs to; `None` = the present one.
    pub epoch: Option<Epoch>,
    /// Messages after this one; 0 = from the oldest that is kept.
    pub after: u64,
    /// Messages at most.
    pub limit: usize,
}

/// Messages of a channel, oldest first.
#[derive(Debug)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Where the stream stands now; `None` for a channel that has none.
    pub head: Option<Position>,
    /// Whether nothing is missing between the offset asked for and the first message.
    pub complete: bool,
}

/// One message of a page.
#[derive(Debug)]
pub struct Message {
    /// Its place in the stream.
    pub offset: u64,
    /// As it was sent to subscribers.
    pub frame: Arc<Frame>,
    /// When it was published.
    pub at: Timestamp,
}

impl Page {
    /// Of a channel that keeps nothing.
    pub const fn empty() -> Self {
        Self { messages: Vec::new(), head: None, complete: true }
    }
}

impl Handler<ReadPage> for ChannelActor {
    type Result = MessageResult<ReadPage>;

    fn handle(&mut self, ask: ReadPage, ctx: &mut Self::Context) -> Self::Result {
        self.history.trim(self.setup.clock.now());
        let history = &self.history;
        let head = history.head();
        let known = ask.epoch.is_none_or(|epoch| epoch == head.epoch);
        // An offset of another life means nothing here: everything that is kept, and the word that it may not be all.
        let after = if known { ask.after } else { 0 };
        let messages = history.page(after, ask.limit);
        let messages =
            messages.map(|e| Message { offset: e.offset, frame: e.frame.clone(), at: e.at }).collect();
        let complete = known && history.reaches(after);
        let page = Page { messages, head: Some(head), complete };
        self.rest(ctx);
        MessageResult(page)
    }
}
