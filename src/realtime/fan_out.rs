//! `FanOutActor`: the last stretch of a broadcast. One on each worker thread: a channel gives it a frame and the
//! subscribers whose connections live on that thread, so that a broadcast crosses threads once a worker and not once a
//! subscriber. The hot path.
//!
//! A subscriber for whom nothing waits, neither in its mailbox nor at its socket, has the frame written to it at once,
//! past its session ([`DirectPath`]); any other gets it through its mailbox, behind what waits there. So the order
//! of frames holds, and who reads slowly is found and cut off as ever ([`Link::deliver`]).
//!
//! Mailbox: 1,024 fan-outs. A channel that finds it full still sends what it was at, and does nothing else until that
//! is done: then its own mailbox fills, and publishers are told. When this actor dies, channels hand frames to the
//! mailboxes of sessions themselves, as they do for sessions without a direct path.

use super::channel::message::{CutOff, Room};
use super::channel::roster::cut_off;
use super::direct_path::{DirectPath, DirectPaths};
use super::frame::Frame;
use super::link::{Link, Undelivered};
use crate::domain::SocketId;
use crate::telemetry::Metrics;
use actix::WeakRecipient;
use actix::prelude::*;
use bytes::Bytes;
use std::sync::Arc;

const MAILBOX: usize = 1_024;

/// Subscribers served in a row, in one or two milliseconds, before others on the thread have their turn.
const STRETCH: usize = 256;

/// The way to the actor of a thread.
pub type FanOutAddr = Addr<FanOutActor>;

/// A frame for subscribers of one thread.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FanOut {
    /// What.
    pub frame: Arc<Frame>,
    /// The same as a WebSocket frame ([`super::framing`]).
    pub bytes: Bytes,
    /// Whom.
    pub links: Arc<Vec<Arc<Link>>>,
    /// The connection that is not told.
    pub except: Option<SocketId>,
    /// The channel, which is told who was cut off, if it is still there.
    pub channel: Arc<WeakRecipient<CutOff>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// See the module.
pub struct FanOutActor {
    paths: DirectPaths,
}

impl FanOutActor {
    /// Starts on this thread, for the sessions with these paths.
    pub(super) fn start_here(paths: DirectPaths) -> FanOutAddr {
        Self { paths }.start()
    }
}

impl Actor for FanOutActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<FanOut> for FanOutActor {
    type Result = ();

    fn handle(&mut self, fan_out: FanOut, ctx: &mut Self::Context) {
        if fan_out.links.len() <= STRETCH {
            return fan_out.serve(&self.paths, 0);
        }
        let paths = self.paths.clone();
        let in_stretches = async move {
            for from in (0..fan_out.links.len()).step_by(STRETCH) {
                fan_out.serve(&paths, from);
                tokio::task::yield_now().await;
            }
        };
        // The next one waits until this is done.
        ctx.wait(in_stretches.into_actor(self));
    }
}

impl Handler<Room> for FanOutActor {
    type Result = ();

    fn handle(&mut self, _: Room, _: &mut Self::Context) {}
}

impl FanOut {
    /// Serves a stretch of the subscribers.
    fn serve(&self, paths: &DirectPaths, from: usize) {
        let (mut served, mut slow) = (0, Vec::new());
        paths.with(|paths| {
            for link in self.links[from..].iter().take(STRETCH) {
                if self.except == Some(link.socket) {
                    continue;
                }
                match self.hand(link, paths.get(&link.socket)) {
                    Ok(()) => served += 1,
                    Err(Undelivered::Slow) => {
                        cut_off(link);
                        slow.push(link.socket);
                    }
                    // It leaves by itself, and then says how.
                    Err(Undelivered::Gone) => {}
                }
            }
        });
        self.metrics.messages_out.inc_by(served);
        if let Some(channel) = self.channel.upgrade().filter(|_| !slow.is_empty()) {
            // Like a leave: one a subscription, and a lost one would leave a ghost.
            channel.do_send(CutOff(slow));
        }
    }

    fn hand(&self, link: &Arc<Link>, path: Option<&DirectPath>) -> Result<(), Undelivered> {
        let direct = path.filter(|_| link.is_idle());
        if !direct.is_some_and(|path| path.write(&self.frame, &self.bytes, link)) {
            return link.deliver(&self.frame);
        }
        if let Some(published) = self.frame.published {
            self.metrics.publish_to_write.observe(published.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelName, TokenId};
    use crate::realtime::client_stream::ClientStream;
    use crate::realtime::cursor::{Cursor, Identity};
    use crate::realtime::direct_path::{OpenPath, WorkerShard};
    use crate::realtime::frame::ToSession;
    use crate::realtime::framing;
    use crate::realtime::session::confirmations::Confirmations;
    use std::cell::RefCell;
    use std::rc::Rc;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    /// A session that passes on what reaches its mailbox.
    struct Session(mpsc::UnboundedSender<ToSession>);

    impl Actor for Session {
        type Context = Context<Self>;
    }

    impl Handler<ToSession> for Session {
        type Result = ();

        fn handle(&mut self, message: ToSession, _: &mut Self::Context) {
            self.0.send(message).unwrap();
        }
    }

    /// A channel that passes on who was cut off.
    struct Channel(mpsc::UnboundedSender<Vec<SocketId>>);

    impl Actor for Channel {
        type Context = Context<Self>;
    }

    impl Handler<CutOff> for Channel {
        type Result = ();

        fn handle(&mut self, CutOff(slow): CutOff, _: &mut Self::Context) {
            self.0.send(slow).unwrap();
        }
    }

    struct Scene {
        shard: WorkerShard,
        channel: Addr<Channel>,
        cut_off: mpsc::UnboundedReceiver<Vec<SocketId>>,
        metrics: Arc<Metrics>,
    }

    /// A subscriber with a direct path, its client, and its session's mailbox.
    struct Subscriber {
        link: Arc<Link>,
        path: Option<OpenPath>,
        confirmations: Rc<RefCell<Confirmations>>,
        client: TcpStream,
        mailbox: mpsc::UnboundedReceiver<ToSession>,
        _stream: ClientStream,
    }

    impl Scene {
        fn new() -> Self {
            let (tell, cut_off) = mpsc::unbounded_channel();
            let metrics = Arc::new(Metrics::new().unwrap());
            Self { shard: WorkerShard::start(), channel: Channel(tell).start(), cut_off, metrics }
        }

        async fn subscriber(&self, budget: usize, asks_at_once: bool) -> Subscriber {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            accepted.writable().await.unwrap();
            let stream = ClientStream::new(accepted);
            let (tell, mailbox) = mpsc::unbounded_channel();
            let link = Arc::new(Link::new(SocketId::from_bits(rand::random()), None, budget, None, 0));
            link.attach(Session(tell).start().recipient());
            let confirmations = Rc::default();
            let path = self.shard.open(&link, &stream.handle().writer, &confirmations, asks_at_once);
            Subscriber { link, path, confirmations, client, mailbox, _stream: stream }
        }

        /// Has the frame handed to the subscriber, and waits until it is.
        async fn fan_out(&self, frame: &Arc<Frame>, to: &Subscriber) {
            let fan_out = FanOut {
                frame: frame.clone(),
                bytes: framing::text(&frame.text),
                links: Arc::new(vec![to.link.clone()]),
                except: None,
                channel: Arc::new(self.channel.downgrade().recipient()),
                metrics: self.metrics.clone(),
            };
            to.link.fan_out().unwrap().send(fan_out).await.unwrap();
        }
    }

    impl Subscriber {
        async fn read(&mut self, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            self.client.read_exact(&mut bytes).await.unwrap();
            bytes
        }
    }

    fn frame(text: &str) -> Arc<Frame> {
        Frame::answer(text.to_owned().into())
    }

    #[actix_rt::test]
    async fn a_frame_for_whom_nothing_waits_goes_to_the_socket_and_not_to_the_session() {
        let scene = Scene::new();
        let mut one = scene.subscriber(100, true).await;
        scene.fan_out(&frame("hello"), &one).await;
        assert_eq!(one.read(7).await, framing::text("hello"));
        assert!(one.mailbox.try_recv().is_err());
        assert_eq!(scene.metrics.messages_out.get(), 1);
    }

    #[actix_rt::test]
    async fn a_frame_queues_behind_what_the_session_has_not_taken_yet() {
        let scene = Scene::new();
        let mut one = scene.subscriber(100, true).await;
        // This session never says that it has taken what it got.
        one.link.deliver(&frame("first")).unwrap();
        scene.fan_out(&frame("second"), &one).await;
        for expected in ["first", "second"] {
            let Some(ToSession::Frame(frame)) = one.mailbox.recv().await else { panic!("no frame") };
            assert_eq!(&*frame.text, expected);
        }
        assert!(one.client.try_read(&mut [0; 1]).is_err(), "nothing was written");
    }

    #[actix_rt::test]
    async fn a_session_that_has_closed_its_path_gets_everything_itself() {
        let scene = Scene::new();
        let mut one = scene.subscriber(100, true).await;
        one.path = None;
        scene.fan_out(&frame("late"), &one).await;
        assert!(matches!(one.mailbox.recv().await, Some(ToSession::Frame(_))));
        assert!(one.client.try_read(&mut [0; 1]).is_err(), "nothing was written");
    }

    #[actix_rt::test]
    async fn what_does_not_fit_is_left_to_a_turn_of_the_session_and_the_next_queues_until_the_budget_is_spent()
     {
        let mut scene = Scene::new();
        let mut one = scene.subscriber(15_000_000, true).await;
        let long = frame(&"x".repeat(10_000_000));
        scene.fan_out(&long, &one).await;
        assert!(matches!(one.mailbox.recv().await, Some(ToSession::Turn)));
        one.link.received();
        scene.fan_out(&long, &one).await;
        assert!(matches!(one.mailbox.recv().await, Some(ToSession::Frame(_))));
        scene.fan_out(&long, &one).await;
        assert_eq!(scene.cut_off.recv().await, Some(vec![one.link.socket]));
        assert_eq!(scene.metrics.messages_out.get(), 2);
    }

    #[actix_rt::test]
    async fn a_client_that_can_be_known_again_is_asked_behind_the_frame_whether_it_has_arrived() {
        let scene = Scene::new();
        let channel = ChannelName::parse("news").unwrap();
        let placed = Arc::new(Frame { text: "x".into(), published: None, place: Some((channel.clone(), 7)) });
        let cursor = || Cursor::new(Identity::Token(TokenId(1), None));
        for asks_at_once in [true, false] {
            let mut one = scene.subscriber(100, asks_at_once).await;
            let cursor = one.confirmations.borrow_mut().follow(&channel, cursor);
            scene.fan_out(&placed, &one).await;
            assert_eq!(one.read(3).await, framing::text("x"));
            if asks_at_once {
                let ping = one.read(10).await;
                assert!(one.confirmations.borrow_mut().answered(&ping[2..]));
                assert_eq!(cursor.confirmed(), 7);
            } else {
                assert!(matches!(one.mailbox.recv().await, Some(ToSession::Turn)), "its session asks");
            }
        }
    }
}
