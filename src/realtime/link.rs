//! `Link`: what the world outside a session knows of it and may do to it, also when its actor is frozen.
//!
//! A channel reserves the bytes of a message here before it sends it; the session gives them back when it
//! takes the message. The sentinel reads the deadlines. `cut` shuts the socket down under a frozen actor.

use super::fan_out::FanOutAddr;
use super::frame::{Frame, ToSession};
use crate::domain::{SocketId, TokenId};
use actix::Recipient;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How often deadlines are looked at: a tick of the [`CoarseClock`].
pub const TICK: Duration = Duration::from_millis(250);

/// Ticks in a second.
pub const TICKS_PER_SECOND: u32 = 4;

/// Ticks since the process started; the sentinel moves it, so that reading it costs nothing.
#[derive(Debug, Default)]
pub struct CoarseClock(AtomicU32);

impl CoarseClock {
    /// Ticks since the start, at most a tick old.
    pub fn ticks(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Sets the time; only forward.
    pub fn advance_to(&self, ticks: u32) {
        self.0.fetch_max(ticks, Relaxed);
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// The session is over its budget: a slow consumer.
    Slow,
    /// The session is gone.
    Gone,
}

/// One session, seen from outside. All times are ticks of the [`CoarseClock`].
#[derive(Debug)]
pub struct Link {
    /// The session's id.
    pub socket: SocketId,
    /// The token it came with.
    pub token: Option<TokenId>,
    mailbox: OnceLock<Recipient<ToSession>>,
    /// Who serves it in broadcasts, if it has a direct path, and that path's place there.
    fan_out: OnceLock<(Arc<FanOutAddr>, usize)>,
    /// Messages in its mailbox.
    queued: AtomicUsize,
    budget: usize,
    waiting: AtomicUsize,
    progress_at: AtomicU32,
    heard_at: AtomicU32,
    pinged_at: AtomicU32,
    ending_at: AtomicU32,
    unsubscribed_at: AtomicU32,
    message_at: AtomicU32,
    opened_at: u32,
    authenticated: AtomicBool,
    descriptor: Mutex<Option<RawFd>>,
}

/// Stands for "not": no ping is out, no end was asked for, it has a subscription, no message has begun.
const NEVER: u32 = u32::MAX;

impl Link {
    /// A link to a session that may leave `budget` bytes waiting, over the socket with this descriptor.
    pub fn new(
        socket: SocketId,
        token: Option<TokenId>,
        budget: usize,
        descriptor: Option<RawFd>,
        now: u32,
    ) -> Self {
        Self {
            socket,
            token,
            mailbox: OnceLock::new(),
            fan_out: OnceLock::new(),
            queued: AtomicUsize::new(0),
            budget,
            waiting: AtomicUsize::new(0),
            progress_at: AtomicU32::new(now),
            heard_at: AtomicU32::new(now),
            pinged_at: AtomicU32::new(NEVER),
            ending_at: AtomicU32::new(NEVER),
            unsubscribed_at: AtomicU32::new(now),
            message_at: AtomicU32::new(NEVER),
            opened_at: now,
            authenticated: AtomicBool::new(token.is_some()),
            descriptor: Mutex::new(descriptor),
        }
    }

    /// Gives the link the session's mailbox; the session does so when it starts.
    pub fn attach(&self, mailbox: Recipient<ToSession>) {
        let _ = self.mailbox.set(mailbox);
    }

    /// Notes which thread's fan-out serves the session, and where among its direct paths it finds the session's; when
    /// it starts, before it subscribes to anything.
    pub(super) fn attach_fan_out(&self, fan_out: Arc<FanOutAddr>, place: usize) {
        let _ = self.fan_out.set((fan_out, place));
    }

    /// Who serves the session in broadcasts; none if its frames all go through its mailbox.
    pub(super) fn fan_out(&self) -> Option<&Arc<FanOutAddr>> {
        self.fan_out.get().map(|(fan_out, _)| fan_out)
    }

    /// Where its direct path is among those of its thread; once that is closed, another's may be there.
    pub(super) fn path_place(&self) -> Option<usize> {
        self.fan_out.get().map(|&(_, place)| place)
    }

    /// Whether nothing waits for the session to take it.
    pub(super) fn is_idle(&self) -> bool {
        self.queued.load(Relaxed) == 0
    }

    /// The session took a message out of its mailbox.
    pub fn received(&self) {
        self.queued.fetch_sub(1, Relaxed);
    }

    /// Hands a frame to the session, within its budget of bytes and messages. Never waits. A session with
    /// nothing waiting takes a frame of any size: what one message may weigh is bounded where it is made.
    pub fn deliver(&self, frame: &Arc<Frame>) -> Result<(), Undelivered> {
        let length = frame.text.len();
        let before = self.waiting.fetch_add(length, Relaxed);
        if before > 0 && before + length > self.budget {
            self.waiting.fetch_sub(length, Relaxed);
            return Err(Undelivered::Slow);
        }
        self.send(ToSession::Frame(frame.clone())).inspect_err(|_| {
            self.waiting.fetch_sub(length, Relaxed);
        })
    }

    /// Sends the session anything else. Never waits.
    pub fn send(&self, message: ToSession) -> Result<(), Undelivered> {
        let mailbox = self.mailbox.get().ok_or(Undelivered::Gone)?;
        // Before it is sent: it may be taken before this returns.
        self.queued.fetch_add(1, Relaxed);
        mailbox.try_send(message).map_err(|e| {
            self.received();
            match e {
                actix::prelude::SendError::Full(_) => Undelivered::Slow,
                actix::prelude::SendError::Closed(_) => Undelivered::Gone,
            }
        })
    }

    /// The session took a frame of so many bytes.
    pub fn taken(&self, length: usize, now: u32) {
        self.waiting.fetch_sub(length, Relaxed);
        self.progress_at.store(now, Relaxed);
    }

    /// The client was heard: any message counts as activity.
    pub fn heard(&self, now: u32) {
        self.heard_at.store(now, Relaxed);
        self.pinged_at.store(NEVER, Relaxed);
    }

    /// The client has begun a message; the first time counts.
    pub fn message_begun(&self, now: u32) {
        let _ = self.message_at.compare_exchange(NEVER, now, Relaxed, Relaxed);
    }

    /// The client has ended its message.
    pub fn message_ended(&self) {
        self.message_at.store(NEVER, Relaxed);
    }

    /// The client has shown a credential.
    pub fn authenticate(&self) {
        self.authenticated.store(true, Relaxed);
    }

    /// Notes whether the session has a subscription now.
    pub fn subscribed(&self, is: bool, now: u32) {
        if is {
            self.unsubscribed_at.store(NEVER, Relaxed);
        } else {
            let _ = self.unsubscribed_at.compare_exchange(NEVER, now, Relaxed, Relaxed);
        }
    }

    /// Notes that an end was asked for; the first time counts.
    pub fn ending(&self, now: u32) {
        let _ = self.ending_at.compare_exchange(NEVER, now, Relaxed, Relaxed);
    }

    /// Shuts the socket down, whatever its actor is doing: reads end, writes fail, the actor stops.
    pub fn cut(&self) {
        self.shut(std::net::Shutdown::Both);
    }

    /// The session is over: nothing more is read from its socket, and the descriptor is no longer ours to
    /// touch. What stands unsent, such as a goodbye, still goes out, and then the connection closes; without
    /// this it would stay open, watched by nobody, for as long as its client says nothing.
    pub fn release(&self) {
        self.shut(std::net::Shutdown::Read);
        *self.descriptor() = None;
    }

    fn shut(&self, how: std::net::Shutdown) {
        let guard = self.descriptor();
        if let Some(descriptor) = *guard {
            #[expect(unsafe_code, reason = "a dup'd descriptor a socket would halve the sockets we can hold")]
            // SAFETY: the descriptor is open: `release` empties it, under this lock, before the socket is closed (a
            // session's actor is dropped before its connection's socket, and from the claim on that one closes it).
            let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
            // An error means that the peer has closed already, which is what we want.
            let _ = socket2::SockRef::from(&socket).shutdown(how);
        }
    }

    fn descriptor(&self) -> std::sync::MutexGuard<'_, Option<RawFd>> {
        self.descriptor.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What the deadlines ask for now. Asking for a ping notes that it is out.
    pub fn verdict(&self, now: u32, rules: &Deadlines) -> Verdict {
        let since = |then: u32| now.saturating_sub(then);
        let ending = self.ending_at.load(Relaxed);
        if ending != NEVER {
            return if since(ending) >= rules.goodbye {
                Verdict::Cut("goodbye_unread")
            } else {
                Verdict::Leave
            };
        }
        if self.waiting.load(Relaxed) == 0 {
            self.progress_at.store(now, Relaxed);
        } else if since(self.progress_at.load(Relaxed)) >= rules.stall {
            return Verdict::Cut("stalled");
        }
        if rules.auth > 0 && !self.authenticated.load(Relaxed) && since(self.opened_at) >= rules.auth {
            return Verdict::End(super::frame::Ending::UNAUTHENTICATED, "unauthenticated");
        }
        let unsubscribed = self.unsubscribed_at.load(Relaxed);
        if rules.unsubscribed > 0 && unsubscribed != NEVER && since(unsubscribed) >= rules.unsubscribed {
            return Verdict::End(super::frame::Ending::UNSUBSCRIBED, "unsubscribed");
        }
        let begun = self.message_at.load(Relaxed);
        if rules.message > 0 && begun != NEVER && since(begun) >= rules.message {
            return Verdict::End(super::frame::Ending::UNFINISHED, "message_timeout");
        }
        self.silence(now, rules)
    }

    fn silence(&self, now: u32, rules: &Deadlines) -> Verdict {
        let since = |then: u32| now.saturating_sub(then);
        let pinged = self.pinged_at.load(Relaxed);
        if pinged != NEVER {
            return if since(pinged) >= rules.pong {
                Verdict::End(super::frame::Ending::NO_PONG, "no_pong")
            } else {
                Verdict::Leave
            };
        }
        if since(self.heard_at.load(Relaxed)) >= rules.activity {
            self.pinged_at.store(now, Relaxed);
            return Verdict::Ping;
        }
        Verdict::Leave
    }
}

/// The deadlines of sessions, in ticks of the [`CoarseClock`].
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// To show a credential; 0 = for ever.
    pub auth: u32,
    /// Without a subscription; 0 = for ever.
    pub unsubscribed: u32,
    /// Silence before a ping.
    pub activity: u32,
    /// A ping before the end.
    pub pong: u32,
    /// Something waiting and nothing taken before the cut.
    pub stall: u32,
    /// From the first byte of a message to its last; 0 = for ever.
    pub message: u32,
    /// From asking for an end to the cut.
    pub goodbye: u32,
}

/// What to do about a session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Leave,
    /// Ask whether it is there.
    Ping,
    /// End it properly; the word is the metric's label.
    End(super::frame::Ending, &'static str),
    /// Shut its socket down; the word is the metric's label.
    Cut(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Deadlines =
        Deadlines { auth: 10, unsubscribed: 0, activity: 120, pong: 30, stall: 10, message: 30, goodbye: 5 };

    fn link(token: Option<TokenId>) -> Link {
        Link::new(SocketId::from_bits(1), token, 100, None, 0)
    }

    #[test]
    fn a_connection_without_a_credential_ends_at_ten_seconds() {
        let link = link(None);
        assert_eq!(link.verdict(9, &RULES), Verdict::Leave);
        assert!(matches!(link.verdict(10, &RULES), Verdict::End(ending, _) if ending.code == 4009));
        link.authenticate();
        assert_eq!(link.verdict(11, &RULES), Verdict::Leave);
    }

    #[test]
    fn no_credential_is_asked_for_when_the_limit_is_off() {
        assert_eq!(link(None).verdict(100, &Deadlines { auth: 0, ..RULES }), Verdict::Leave);
    }

    #[test]
    fn a_connection_without_a_subscription_ends_at_its_limit_since_the_last_one() {
        let (link, rules) = (link(Some(TokenId(1))), Deadlines { unsubscribed: 20, ..RULES });
        assert_eq!(link.verdict(19, &rules), Verdict::Leave);
        link.subscribed(true, 19);
        assert_eq!(link.verdict(90, &rules), Verdict::Leave);
        link.subscribed(false, 90);
        link.subscribed(false, 100);
        assert_eq!(link.verdict(109, &rules), Verdict::Leave);
        assert!(matches!(link.verdict(110, &rules), Verdict::End(end, "unsubscribed") if end.code == 4202));
        assert_eq!(link.verdict(111, &RULES), Verdict::Leave, "off");
    }

    #[test]
    fn silence_is_pinged_and_an_unanswered_ping_ends_it() {
        let link = link(Some(TokenId(1)));
        assert_eq!(link.verdict(119, &RULES), Verdict::Leave);
        assert_eq!(link.verdict(120, &RULES), Verdict::Ping);
        assert_eq!(link.verdict(149, &RULES), Verdict::Leave);
        assert!(matches!(link.verdict(150, &RULES), Verdict::End(ending, _) if ending.code == 4201));
        link.heard(151);
        assert_eq!(link.verdict(152, &RULES), Verdict::Leave);
    }

    #[test]
    fn a_reader_that_takes_nothing_is_cut_and_one_with_nothing_to_take_is_not() {
        let link = link(Some(TokenId(1)));
        assert_eq!(link.verdict(50, &RULES), Verdict::Leave);
        link.waiting.store(10, Relaxed);
        assert_eq!(link.verdict(59, &RULES), Verdict::Leave);
        assert_eq!(link.verdict(60, &RULES), Verdict::Cut("stalled"));
        link.taken(5, 60);
        assert_eq!(link.verdict(61, &RULES), Verdict::Leave);
    }

    #[test]
    fn a_message_that_does_not_end_ends_the_connection_and_one_that_did_does_not() {
        let link = link(Some(TokenId(1)));
        link.message_begun(5);
        link.message_begun(20);
        assert_eq!(link.verdict(34, &RULES), Verdict::Leave);
        assert!(matches!(link.verdict(35, &RULES), Verdict::End(ending, _) if ending.code == 1008));
        link.message_ended();
        assert_eq!(link.verdict(36, &RULES), Verdict::Leave);
    }

    #[test]
    fn a_goodbye_that_is_not_read_is_cut() {
        let link = link(Some(TokenId(1)));
        link.ending(20);
        link.ending(24);
        assert_eq!(link.verdict(24, &RULES), Verdict::Leave);
        assert_eq!(link.verdict(25, &RULES), Verdict::Cut("goodbye_unread"));
    }

    #[test]
    fn a_session_without_a_mailbox_is_gone_and_its_budget_stays_whole() {
        let link = link(None);
        let frame = Frame::answer("x".into());
        assert_eq!(link.deliver(&frame), Err(Undelivered::Gone));
        assert_eq!(link.waiting.load(Relaxed), 0);
    }

    #[test]
    fn a_frame_over_what_is_left_of_the_budget_is_refused_before_it_is_queued() {
        let link = link(None);
        link.waiting.store(60, Relaxed);
        assert_eq!(link.deliver(&Frame::answer("x".repeat(41).into())), Err(Undelivered::Slow));
        assert_eq!(link.waiting.load(Relaxed), 60);
    }
}
