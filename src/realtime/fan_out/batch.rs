//! `Batch`: frames that go to the same subscribers and are written together.

use super::FanOut;
use crate::domain::SocketId;
use crate::realtime::channel::message::CutOff;
use crate::realtime::channel::roster::cut_off;
use crate::realtime::direct_path::{DirectPath, Lookup};
use crate::realtime::frame::Frame;
use crate::realtime::link::{Link, Undelivered};
use crate::telemetry::Metrics;
use actix::WeakRecipient;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that are written together: more gains nothing.
const MOST_BYTES: usize = 65_536;

/// One frame or more.
pub(super) struct Batch {
    frames: Vec<Arc<Frame>>,
    /// All of them as WebSocket frames.
    bytes: Bytes,
    pub(super) links: Arc<Vec<Arc<Link>>>,
    except: Option<SocketId>,
    channel: Arc<WeakRecipient<CutOff>>,
    metrics: Arc<Metrics>,
}

impl Batch {
    /// Takes the first off the queue, with those behind it that go to the same subscribers.
    pub(super) fn first_of(queue: &mut VecDeque<FanOut>) -> Option<Self> {
        let FanOut { frame, bytes, links, except, channel, metrics } = queue.pop_front()?;
        let mut batch = Self { frames: vec![frame], bytes, links, except, channel, metrics };
        let mut together = BytesMut::new();
        while let Some(next) = queue.front().filter(|next| batch.takes(next, together.len())) {
            if together.is_empty() {
                together.extend_from_slice(&batch.bytes);
            }
            together.extend_from_slice(&next.bytes);
            batch.frames.extend(queue.pop_front().map(|next| next.frame));
        }
        if !together.is_empty() {
            batch.bytes = together.freeze();
        }
        Some(batch)
    }

    fn takes(&self, next: &FanOut, together: usize) -> bool {
        let length = self.bytes.len().max(together) + next.bytes.len();
        Arc::ptr_eq(&self.links, &next.links) && self.except == next.except && length <= MOST_BYTES
    }

    /// Serves some of the subscribers.
    pub(super) fn serve(&self, links: &[Arc<Link>], paths: &Lookup<'_>) {
        let (mut served, mut slow) = (0, Vec::new());
        for link in links.iter().filter(|link| self.except != Some(link.socket)) {
            match self.hand(link, paths.of(link)) {
                Ok(()) => served += self.frames.len(),
                Err(Undelivered::Slow) => {
                    cut_off(link);
                    slow.push(link.socket);
                }
                // It leaves by itself, and then says how.
                Err(Undelivered::Gone) => {}
            }
        }
        self.metrics.messages_out.inc_by(served as u64);
        if let Some(channel) = self.channel.upgrade().filter(|_| !slow.is_empty()) {
            // Like a leave: one a subscription, and a lost one would leave a ghost.
            channel.do_send(CutOff(slow));
        }
    }

    fn hand(&self, link: &Arc<Link>, path: Option<&DirectPath>) -> Result<(), Undelivered> {
        let direct = path.filter(|_| link.is_idle());
        if !direct.is_some_and(|path| path.write(&self.frames, &self.bytes, link)) {
            return self.frames.iter().try_for_each(|frame| link.deliver(frame));
        }
        for published in self.frames.iter().filter_map(|frame| frame.published) {
            self.metrics.publish_to_write.observe(published.elapsed().as_secs_f64());
        }
        Ok(())
    }
}
