//! `SessionActor`: the shell of a session: WebSocket messages in, effects out. The only file that names
//! actix-web-actors, so that it can be replaced in a day.
//!
//! Its mailbox is bounded by `limits.queue_messages` and, through its [`Link`], by `limits.queue_bytes`; a
//! session that is full is a slow consumer and is cut off by whoever found it full. Its `Connection` polls it, and
//! not at all while something stands unsent: whatever must happen then is done from outside, by the sentinel and by
//! [`Link::cut`]. Each client message is dealt with before the next is read.

use super::client_event;
use super::confirmations::Confirmations;
use super::connection::{Connection, Frames, Incoming};
use super::deflate::{Deflater, Inflater};
use super::extension::Agreement;
use super::fault::Fault;
use super::fragments::Fragments;
use super::guard::{FrameWatch, Guard};
use super::mind::Effect;
use super::opening::{Accepted, Opening};
use super::rate::{Meter, Rate};
use crate::domain::{ChannelName, Code, Error, SocketId};
use crate::realtime::channel::Member;
use crate::realtime::client_socket::ClientSocket;
use crate::realtime::client_stream::Claim;
use crate::realtime::cursor::{Cursor, Identity};
use crate::realtime::direct_path::{OpenPath, WorkerShard};
use crate::realtime::frame::{Departure, Ending, Frame, Publication, ToSession};
use crate::realtime::hub::Hub;
use crate::realtime::link::Link;
use crate::realtime::protocol::pusher;
use crate::realtime::registry::{ChannelKey, Join};
use crate::realtime::session_table::{Capacity, NoEntry};
use actix::prelude::*;
use actix_web::http::header::SEC_WEBSOCKET_EXTENSIONS;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::TryStreamExt;
use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Mailbox slots beside those for frames: pings, ends, refusals.
const SPARE_SLOTS: usize = 8;

/// How long one who is turned away may take to answer our goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Upgrades a request to a WebSocket and starts its session.
pub fn open(
    hub: &Arc<Hub>,
    opening: Opening,
    request: &HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    // First of all: a session that ends takes its connection with it, and a request that is no upgrade leaves it open.
    let mut response = ws::handshake(request)?;
    let limits = &hub.limits;
    let fault = Rc::new(Cell::new(None));
    let offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).filter_map(|offer| offer.to_str().ok());
    let agreement = hub.compression.then(|| Agreement::among(offers)).flatten();
    let inflater = agreement.map(|_| Box::new(Inflater::new(limits.message_bytes)));
    let not_ours = || Error::new(Code::Internal, "The connection is not one that can become a WebSocket.");
    let claim = request.conn_data::<Claim>().ok_or_else(not_ours)?;
    let socket = claim.take_over();
    let shard = request.app_data::<WorkerShard>().filter(|_| agreement.is_none()).cloned();
    let direct = shard.map(|shard| (socket.clone(), shard));
    let actor = SessionActor::new(hub, opening, claim.descriptor(), direct, fault.clone());
    let watch = FrameWatch::new(limits.message_bytes, limits.message_fragments);
    let clock = hub.table.clock().clone();
    let incoming = Incoming::new(payload, socket.clone());
    let guarded = Guard::new(incoming, watch, inflater, fault, actor.link.clone(), clock);
    let codec = actix_http::ws::Codec::new().max_size(limits.message_bytes);
    let frames = ws::WebsocketContext::with_codec(actor, guarded, codec);
    let frames: Frames = match agreement {
        None => Box::pin(frames),
        Some(agreement) => {
            let deflater = Deflater::new(agreement.window_bits);
            response.insert_header((SEC_WEBSOCKET_EXTENSIONS, agreement.header()));
            Box::pin(frames.map_ok(move |frames| deflater.take(&frames)))
        }
    };
    actix::spawn(Connection::new(frames, socket));
    Ok(response.finish())
}

/// One client's connection.
struct SessionActor {
    hub: Arc<Hub>,
    link: Arc<Link>,
    /// An error when the connection is only told why not.
    accepted: Result<Accepted, Ending>,
    fragments: Fragments,
    confirmations: Rc<RefCell<Confirmations>>,
    /// What a direct path leads through, if there can be one.
    direct: Option<(Rc<ClientSocket>, WorkerShard)>,
    /// Open from the start to our goodbye.
    path: Option<OpenPath>,
    departure: Departure,
    /// How many more pings and unasked pongs the client may send now: each costs a write, and they are no messages.
    control_frames: Meter,
    /// What the guard found wrong.
    fault: Rc<Cell<Option<Fault>>>,
    /// The code of our goodbye. Nothing is said after it; the client's own ends the session.
    said_goodbye: Option<u16>,
}

impl SessionActor {
    fn new(
        hub: &Arc<Hub>,
        opening: Opening,
        descriptor: RawFd,
        direct: Option<(Rc<ClientSocket>, WorkerShard)>,
        fault: Rc<Cell<Option<Fault>>>,
    ) -> Self {
        let socket = SocketId::from_bits(rand::random());
        let (token, accepted) = opening.begin(socket, hub);
        let now = hub.table.clock().ticks();
        let link = Arc::new(Link::new(socket, token, hub.limits.queue_bytes, Some(descriptor), now));
        Self {
            hub: hub.clone(),
            link,
            accepted,
            fragments: Fragments::new(hub.limits.message_bytes, hub.limits.message_fragments),
            confirmations: Rc::default(),
            direct,
            path: None,
            departure: Departure::Broken,
            control_frames: Meter::new(Rate::new(
                hub.limits.control_frames_per_second,
                hub.limits.control_frame_burst,
            )),
            fault,
            said_goodbye: None,
        }
    }

    /// Has broadcasts written to the client past this actor, where that can be.
    fn open_path(&mut self) {
        let asks_at_once = self.hub.channels.confirm_ms == 0;
        let Some((socket, shard)) = self.direct.take() else { return };
        self.path = Some(shard.open(&self.link, socket, &self.confirmations, asks_at_once));
    }

    fn now(&self) -> u32 {
        self.hub.table.clock().ticks()
    }

    fn text(&mut self, text: &str, ctx: &mut ws::WebsocketContext<Self>) {
        self.hub.metrics.messages_in.inc();
        if let Ok(accepted) = &mut self.accepted {
            let effects = accepted.mind.text(text, Instant::now());
            self.carry_out_all(effects, ctx);
        }
    }

    fn binary(&mut self, bytes: Bytes, ctx: &mut ws::WebsocketContext<Self>) {
        self.hub.metrics.messages_in.inc();
        if let Ok(accepted) = &mut self.accepted {
            let effects = accepted.mind.binary(bytes, Instant::now());
            self.carry_out_all(effects, ctx);
        }
    }

    fn carry_out_all(&mut self, effects: Vec<Effect>, ctx: &mut ws::WebsocketContext<Self>) {
        for effect in effects {
            if self.said_goodbye.is_none() {
                self.carry_out(effect, ctx);
            }
        }
        self.note_subscriptions();
    }

    fn carry_out(&mut self, effect: Effect, ctx: &mut ws::WebsocketContext<Self>) {
        match effect {
            Effect::Send(text) => self.say(text, ctx),
            Effect::SendBinary(bytes) => {
                self.hub.metrics.messages_out.inc();
                ctx.binary(bytes);
            }
            Effect::Authenticated => self.link.authenticate(),
            Effect::End(ending) => self.end(ending, ctx),
            Effect::Expel(why, ending) => {
                self.hub.metrics.refused.with_label_values(&[why]).inc();
                self.end(ending, ctx);
            }
            Effect::Refuse(why, text) => {
                self.hub.metrics.messages_refused.with_label_values(&[why]).inc();
                self.say(text, ctx);
            }
            Effect::SignIn(user) => {
                if let Ok(accepted) = &self.accepted {
                    self.hub.users.sign_in(&accepted.app.id, &self.link, &user);
                }
            }
            Effect::Publish(channel, publication) => self.publish(channel, publication, ctx),
            Effect::Join(channel, member, number) => self.join(channel, member, number, ctx),
            Effect::Leave(channel) => {
                self.confirmations.borrow_mut().leave(&channel);
                if let Ok(accepted) = &self.accepted {
                    let departure = Departure::Unsubscribed;
                    self.hub.leave(&accepted.app.id, self.link.socket, vec![channel], departure);
                }
            }
        }
    }

    fn note_subscriptions(&self) {
        let subscriptions = self.accepted.as_ref().map_or(0, |accepted| accepted.mind.subscriptions());
        self.link.subscribed(subscriptions > 0, self.now());
    }

    fn publish(&self, channel: ChannelName, publication: Publication, ctx: &mut ws::WebsocketContext<Self>) {
        let Ok(accepted) = &self.accepted else { return };
        if !self.hub.say(&accepted.app.id, channel, publication, &self.link) {
            self.hub.metrics.messages_refused.with_label_values(&[client_event::OVERLOADED]).inc();
            self.say(client_event::overloaded(), ctx);
        }
    }

    fn join(
        &mut self,
        name: ChannelName,
        member: Option<Member>,
        number: u32,
        ctx: &mut ws::WebsocketContext<Self>,
    ) {
        let Ok(accepted) = &self.accepted else { return };
        let key = ChannelKey { app: accepted.app.id.clone(), name };
        let cursor = self.cursor(&key.name, member.as_ref());
        let (hub, join) = (self.hub.clone(), Join { key, link: self.link.clone(), member, cursor, number });
        // Waiting here is the answer to a client that subscribes faster than the registry takes it.
        ctx.wait(async move { hub.join(join).await }.into_actor(self).map(|joined, session, ctx| {
            if !joined {
                session.end(Ending { code: 4100, reason: "The hub is not available" }, ctx);
            }
        }));
    }

    /// The client's place in a channel, if the hub can know the client again when it comes back.
    fn cursor(&mut self, channel: &ChannelName, member: Option<&Member>) -> Option<Arc<Cursor>> {
        if self.hub.channels.history_seconds == 0 {
            return None;
        }
        let token = self.hub.table.identity_of(self.link.socket);
        let user = || self.accepted.as_ref().ok().and_then(|accepted| accepted.mind.user());
        let identity = match (token, member) {
            (Some((token, client)), _) => Identity::Token(token, client),
            (None, member) => match (user(), member) {
                (Some(user), _) => Identity::User(user),
                (None, Some(member)) => Identity::Member(member.user_id.clone()),
                (None, None) => return None,
            },
        };
        Some(self.confirmations.borrow_mut().follow(channel, || Cursor::new(identity)))
    }

    fn write(&mut self, frame: &Frame, ctx: &mut ws::WebsocketContext<Self>) {
        ctx.text(frame.text.clone());
        let is_due = self.confirmations.borrow_mut().wrote(frame);
        if is_due {
            self.ask_soon(ctx);
        }
    }

    /// Asks the client to confirm what it has been sent, at once or no sooner than the settings say.
    fn ask_soon(&mut self, ctx: &mut ws::WebsocketContext<Self>) {
        let pause = Duration::from_millis(self.hub.channels.confirm_ms);
        if pause.is_zero() {
            return ctx.ping(&self.confirmations.borrow_mut().ask());
        }
        self.confirmations.borrow_mut().arm();
        ctx.run_later(pause, |session, ctx| {
            if session.said_goodbye.is_none() {
                ctx.ping(&session.confirmations.borrow_mut().ask());
            }
        });
    }

    fn ask_if_due(&mut self, ctx: &mut ws::WebsocketContext<Self>) {
        if self.said_goodbye.is_none() && self.confirmations.borrow().is_due() {
            self.ask_soon(ctx);
        }
    }

    fn pong(&mut self, payload: &[u8], ctx: &mut ws::WebsocketContext<Self>) {
        let is_answer = self.confirmations.borrow_mut().answered(payload);
        if is_answer {
            self.ask_if_due(ctx);
        } else if !self.may_control() {
            self.fault(Fault::ControlFlood, ctx);
        }
    }

    /// Enters the table, if there is room; else the end.
    fn enter(&self) -> Result<(), Ending> {
        let Accepted { app, user, .. } = self.accepted.as_ref().map_err(|refusal| *refusal)?;
        let capacity = Capacity { process: self.hub.capacity, app: app.connections };
        self.hub.table.enter(&self.link, &app.id, *user, capacity).map_err(|no_entry| {
            let (why, ending) = match no_entry {
                NoEntry::Closed => ("draining", Ending::RESTARTING),
                NoEntry::Full => ("over_capacity", Ending::OVER_CAPACITY),
                NoEntry::OverQuota => ("app_quota", Ending::OVER_QUOTA),
            };
            self.hub.metrics.refused.with_label_values(&[why]).inc();
            ending
        })
    }

    /// Says something of the session's own; what channels say is counted by them, once a broadcast.
    fn say(&self, text: ByteString, ctx: &mut ws::WebsocketContext<Self>) {
        self.hub.metrics.messages_out.inc();
        ctx.text(text);
    }

    /// Says goodbye. The session ends when the client has answered, or when the sentinel's patience does.
    fn end(&mut self, ending: Ending, ctx: &mut ws::WebsocketContext<Self>) {
        if (4_000..4_100).contains(&ending.code) {
            self.departure = Departure::Closed;
        }
        self.link.ending(self.now());
        self.path = None;
        if self.said_goodbye.is_none() {
            self.said_goodbye = Some(ending.code);
            let description = Some(ending.reason.to_owned());
            ctx.close(Some(ws::CloseReason { code: ending.code.into(), description }));
        }
    }

    /// Ends a session that was never entered, so that the sentinel does not watch it.
    fn turn_away(&mut self, ending: Ending, ctx: &mut ws::WebsocketContext<Self>) {
        self.end(ending, ctx);
        ctx.run_later(GOODBYE, |_, ctx| ctx.stop());
    }

    /// Ends the session without waiting for anything.
    fn fault(&mut self, fault: Fault, ctx: &mut ws::WebsocketContext<Self>) {
        self.hub.metrics.refused.with_label_values(&[fault.label()]).inc();
        self.end(fault.ending(), ctx);
        ctx.stop();
    }

    /// The client says goodbye, and gets its own back if it is the first.
    fn goodbye(&mut self, reason: Option<ws::CloseReason>, ctx: &mut ws::WebsocketContext<Self>) {
        self.path = None;
        match self.said_goodbye {
            None => {
                self.departure = departure(reason.as_ref());
                ctx.close(reason);
            }
            // A client answers with the code that it got: it has read everything that we have ever said.
            Some(ours) if reason.is_some_and(|theirs| u16::from(theirs.code) == ours) => {
                self.confirmations.borrow().all_arrived();
            }
            Some(_) => {}
        }
        ctx.stop();
    }

    fn message(&mut self, message: ws::Message, ctx: &mut ws::WebsocketContext<Self>) {
        match message {
            ws::Message::Close(reason) => self.goodbye(reason, ctx),
            ws::Message::Pong(payload) => self.pong(&payload, ctx),
            // What crossed our goodbye on the way is not answered any more.
            _ if self.said_goodbye.is_some() => {}
            ws::Message::Text(text) => self.text(&text, ctx),
            ws::Message::Binary(bytes) => self.binary(bytes, ctx),
            ws::Message::Continuation(item) => self.continuation(item, ctx),
            ws::Message::Ping(_) if !self.may_control() => self.fault(Fault::ControlFlood, ctx),
            ws::Message::Ping(payload) => ctx.pong(&payload),
            ws::Message::Nop => {}
        }
    }

    fn may_control(&mut self) -> bool {
        self.control_frames.admit(Instant::now())
    }

    fn continuation(&mut self, item: actix_http::ws::Item, ctx: &mut ws::WebsocketContext<Self>) {
        use actix_http::ws::Item;
        let joined = match item {
            Item::FirstText(bytes) => self.fragments.first(true, &bytes).map(|()| None),
            Item::FirstBinary(bytes) => self.fragments.first(false, &bytes).map(|()| None),
            Item::Continue(bytes) => self.fragments.more(&bytes).map(|()| None),
            Item::Last(bytes) => self.fragments.last(&bytes).map(Some),
        };
        match joined {
            Ok(None) => {}
            Ok(Some((true, bytes))) => match ByteString::try_from(bytes.freeze()) {
                Ok(text) => self.text(&text, ctx),
                Err(_) => self.fault(Fault::NotUtf8, ctx),
            },
            Ok(Some((false, bytes))) => self.binary(bytes.freeze(), ctx),
            Err(fault) => self.fault(fault, ctx),
        }
    }
}

/// What a client's Close says of whether it will be back.
fn departure(reason: Option<&ws::CloseReason>) -> Departure {
    match reason.map(|reason| reason.code) {
        Some(ws::CloseCode::Away) => Departure::Away,
        _ => Departure::Closed,
    }
}

impl Actor for SessionActor {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.hub.limits.queue_messages + SPARE_SLOTS);
        if let Err(ending) = self.enter() {
            return self.turn_away(ending, ctx);
        }
        self.hub.metrics.connections.inc();
        if let Ok(accepted) = &mut self.accepted {
            let effects = accepted.mind.opened();
            self.carry_out_all(effects, ctx);
        }
        self.link.attach(ctx.address().recipient());
        self.open_path();
    }
}

/// The one goodbye: however a session ends (closed, cut, panicked), it leaves its channels here.
impl Drop for SessionActor {
    fn drop(&mut self) {
        self.link.release();
        if self.hub.table.leave(self.link.socket) {
            self.hub.metrics.connections.dec();
        }
        if let Ok(accepted) = &mut self.accepted {
            self.hub.users.leave(&accepted.app.id, self.link.socket, Instant::now());
            let channels = accepted.mind.take_channels();
            self.hub.leave(&accepted.app.id, self.link.socket, channels, self.departure);
        }
    }
}

impl Handler<ToSession> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        self.link.received();
        if let ToSession::Frame(frame) = &message {
            self.link.taken(frame.text.len(), self.now());
        }
        if self.said_goodbye.is_some() {
            return;
        }
        match message {
            ToSession::Frame(frame) => {
                if let Some(published) = frame.published {
                    self.hub.metrics.publish_to_write.observe(published.elapsed().as_secs_f64());
                }
                self.write(&frame, ctx);
            }
            ToSession::Replay(frames) => frames.iter().for_each(|frame| self.write(frame, ctx)),
            ToSession::Refused(channel, join, frame) => {
                if let Ok(accepted) = &mut self.accepted {
                    accepted.mind.refused(&channel, join);
                }
                self.note_subscriptions();
                self.say(frame.text.clone(), ctx);
            }
            ToSession::Turn => self.ask_if_due(ctx),
            ToSession::Ping => self.say(pusher::ping(), ctx),
            ToSession::End(ending) => self.end(ending, ctx),
        }
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for SessionActor {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        self.link.heard(self.now());
        match message {
            Ok(message) => self.message(message, ctx),
            Err(error) => self.fault(self.fault.get().unwrap_or_else(|| fault_of(&error)), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// What the library found wrong. It reports text that is not UTF-8 as an IO error of the kind "other"; the guard
/// passes no real ones on.
fn fault_of(error: &ws::ProtocolError) -> Fault {
    match error {
        ws::ProtocolError::Overflow => Fault::TooBig,
        ws::ProtocolError::Io(error) if error.kind() == std::io::ErrorKind::Other => Fault::NotUtf8,
        _ => Fault::NoFrame,
    }
}
