//! `FanOutActor`: the last stretch of a broadcast. One on each worker thread: a channel gives it a frame and the
//! subscribers whose connections live on that thread, so that a broadcast crosses threads once a worker and not once a
//! subscriber. The hot path.
//!
//! A subscriber for whom nothing waits, neither in its mailbox nor at its socket, has the frame written to it at once,
//! past its session ([`DirectPath`](super::direct_path)); any other gets it through its mailbox, behind what waits there.
//! So the order of frames holds, and who reads slowly is found and cut off as ever
//! ([`Link::deliver`](super::link::Link::deliver)). Frames that came while others were written go out together, in
//! one write a subscriber.
//!
//! Mailbox and queue: 1,024 frames each. A channel that finds the mailbox full still sends what it was at, and does
//! nothing else until that is taken: then its own mailbox fills, and publishers are told. When this actor dies, channels
//! hand frames to the mailboxes of sessions themselves, as they do for sessions without a direct path.

mod batch;

use super::channel::message::{CutOff, Room};
use super::direct_path::DirectPaths;
use super::frame::Frame;
use super::link::Link;
use crate::domain::SocketId;
use crate::telemetry::Metrics;
use actix::WeakRecipient;
use actix::prelude::*;
use batch::Batch;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Frames that may wait: in the mailbox, and in the queue behind it.
const WAITING: usize = 1_024;

/// Subscribers served in a row, in one or two milliseconds, before others on the thread have their turn.
const STRETCH: usize = 256;

/// A batch that takes so long is one to a crowd.
const LONG: Duration = Duration::from_millis(1);

/// What a frame may have to wait for more to go out with it.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

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
    queue: Rc<Queue>,
}

/// What the actor has taken and its task has not come to.
#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<FanOut>>,
    /// Whether the task is there.
    is_served: Cell<bool>,
    /// When the next batch may begin, after one to a crowd.
    pause_until: Cell<Option<Instant>>,
    has_room: Notify,
}

impl FanOutActor {
    /// Starts on this thread, for the sessions with these paths.
    pub(super) fn start_here(paths: DirectPaths) -> FanOutAddr {
        Self { paths, queue: Rc::default() }.start()
    }
}

impl Actor for FanOutActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING);
    }
}

impl Handler<FanOut> for FanOutActor {
    type Result = ();

    /// Queues it for a task beside the actor, which has its turn when the mailbox is empty: by then all is there that
    /// can go out together.
    fn handle(&mut self, fan_out: FanOut, ctx: &mut Self::Context) {
        self.queue.waiting.borrow_mut().push_back(fan_out);
        if !self.queue.is_served.replace(true) {
            actix::spawn(serve(self.paths.clone(), self.queue.clone()));
        }
        if self.queue.waiting.borrow().len() >= WAITING {
            let queue = self.queue.clone();
            let until_room = async move { queue.has_room.notified().await };
            ctx.wait(until_room.into_actor(self));
        }
    }
}

impl Handler<Room> for FanOutActor {
    type Result = ();

    fn handle(&mut self, _: Room, _: &mut Self::Context) {}
}

/// Serves all that waits, a batch after another. After a batch to a crowd as much time as it took is the others' on the
/// thread: what comes meanwhile goes out together and costs a fraction, and what comes later never waits.
async fn serve(paths: DirectPaths, queue: Rc<Queue>) {
    let mut in_a_row = 0;
    loop {
        let pause = queue.pause_until.get().map(|until| until.saturating_duration_since(Instant::now()));
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            tokio::time::sleep(pause).await;
        }
        let began = Instant::now();
        let batch = Batch::first_of(&mut queue.waiting.borrow_mut());
        let Some(batch) = batch else { break };
        queue.has_room.notify_one();
        for links in batch.links.chunks(STRETCH) {
            if in_a_row + links.len() > STRETCH {
                tokio::task::yield_now().await;
                in_a_row = 0;
            }
            paths.with(|paths| batch.serve(links, &paths));
            in_a_row += links.len();
        }
        let took = began.elapsed();
        let pause = (took >= LONG).then(|| took.min(LONGEST_PAUSE));
        queue.pause_until.set(pause.map(|pause| began + took + pause));
    }
    queue.is_served.set(false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelName, TokenId};
    use crate::realtime::client_socket::ClientSocket;
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
        _socket: Rc<ClientSocket>,
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
            let socket = Rc::new(ClientSocket::default());
            socket.inherit(accepted, true);
            let (tell, mailbox) = mpsc::unbounded_channel();
            let link = Arc::new(Link::new(SocketId::from_bits(rand::random()), None, budget, None, 0));
            link.attach(Session(tell).start().recipient());
            let confirmations = Rc::default();
            let path = Some(self.shard.open(&link, socket.clone(), &confirmations, asks_at_once));
            Subscriber { link, path, confirmations, client, mailbox, _socket: socket }
        }

        fn message(&self, frame: &Arc<Frame>, links: Arc<Vec<Arc<Link>>>) -> FanOut {
            let (frame, bytes) = (frame.clone(), framing::text(&frame.text));
            let channel = Arc::new(self.channel.downgrade().recipient());
            FanOut { frame, bytes, links, except: None, channel, metrics: self.metrics.clone() }
        }

        /// Has the frame handed to the subscriber.
        async fn fan_out(&self, frame: &Arc<Frame>, to: &Subscriber) {
            let fan_out = self.message(frame, Arc::new(vec![to.link.clone()]));
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
        let two = scene.subscriber(100, true).await;
        assert_eq!(two.link.path_place(), one.link.path_place(), "it has the place that became free");
        scene.fan_out(&frame("late"), &one).await;
        assert!(matches!(one.mailbox.recv().await, Some(ToSession::Frame(_))));
        for client in [&one.client, &two.client] {
            assert!(client.try_read(&mut [0; 1]).is_err(), "nothing was written");
        }
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

    #[actix_rt::test]
    async fn frames_that_came_together_are_written_together_and_only_to_those_who_get_all_of_them() {
        let scene = Scene::new();
        let (mut one, mut two) = (scene.subscriber(100, true).await, scene.subscriber(100, true).await);
        let both = Arc::new(vec![one.link.clone(), two.link.clone()]);
        let fan_out = one.link.fan_out().unwrap().clone();
        fan_out.do_send(scene.message(&frame("a"), both.clone()));
        fan_out.do_send(scene.message(&frame("b"), both.clone()));
        fan_out.do_send(scene.message(&frame("c"), Arc::new(vec![two.link.clone()])));
        fan_out.do_send(scene.message(&frame("d"), both));
        fan_out.send(Room).await.unwrap();
        let frames = |texts: &[&str]| texts.iter().flat_map(|text| framing::text(text)).collect::<Vec<u8>>();
        assert_eq!(one.read(9).await, frames(&["a", "b", "d"]));
        assert_eq!(two.read(12).await, frames(&["a", "b", "c", "d"]));
        assert_eq!(scene.metrics.messages_out.get(), 7);
    }

    #[actix_rt::test]
    async fn a_flood_is_taken_as_fast_as_it_is_served_and_nothing_of_it_is_lost() {
        let scene = Scene::new();
        let mut one = scene.subscriber(100, true).await;
        let links = Arc::new(vec![one.link.clone()]);
        let fan_out = one.link.fan_out().unwrap().clone();
        for n in 0..3 * WAITING {
            fan_out.do_send(scene.message(&frame(&format!("{n:04}")), links.clone()));
        }
        fan_out.send(Room).await.unwrap();
        for n in 0..3 * WAITING {
            assert_eq!(one.read(6).await, framing::text(&format!("{n:04}")));
        }
    }
}
