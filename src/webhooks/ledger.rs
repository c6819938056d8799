//! `LedgerActor`: writes what the endpoint actors claim and what became of their attempts, many at a time: while
//! one transaction runs, whatever comes waits for the next (group commit), so load makes batches and not queues.
//!
//! Spoken to by every endpoint actor and attempt of the process, through [`Ledger`]. Mailbox: 1,024; when it is
//! full the sender waits, nothing is lost. What waits inside is bounded by its senders: an endpoint has one
//! claim open, and an attempt holds its permit (`webhooks.concurrency`) until it is written. When the database
//! is away or full, attempts are kept and written later while claims fail at once; so sending stops by itself.
//! When this actor or the process dies, leases run out and the deliveries are sent again, with their ids.

use super::books::{Books, Claim, Claimed, Entry, Request};
use super::delivery::Lease;
use super::delivery_log::Attempt;
use crate::domain::{Code, EndpointId, Error, Probe, Result};
use actix::prelude::*;
use std::time::Duration;
use tokio::sync::oneshot;

const MAILBOX: usize = 1_024;

/// Written in one transaction at most, of each kind.
const BATCH: usize = 256;

/// After so long a commit that somebody stopped waiting for has ended, if the database is well.
const COMMITTED: Duration = Duration::from_secs(1);

/// Before a transaction that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The front door.
#[derive(Clone)]
pub(super) struct Ledger(Addr<LedgerActor>);

impl Ledger {
    /// Starts the actor on this arbiter.
    pub(super) fn start(books: Books, on: &ArbiterHandle) -> Self {
        Self(LedgerActor::start_in_arbiter(on, |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            LedgerActor {
                books,
                claims: Vec::new(),
                attempts: Vec::new(),
                unwanted: Vec::new(),
                closed: false,
                closing: None,
                busy: false,
            }
        }))
    }

    /// Leases up to `room` due deliveries of the endpoint.
    pub(super) async fn claim(&self, endpoint: EndpointId, room: usize, look_ahead: bool) -> Result<Claimed> {
        self.0.send(Claim { endpoint, room, look_ahead }).await.unwrap_or_else(|_| Err(gone()))
    }

    /// Writes the attempt; comes back when it is committed, or when it never will be. It is in the mailbox when
    /// this returns (unless that is full), and no claim that is sent after it overtakes it.
    pub(super) fn write(&self, attempt: Attempt) -> impl Future<Output = ()> + use<> {
        let sent = self.0.send(Write(attempt));
        async move {
            if sent.await.is_err() {
                tracing::error!("an attempt was not written down: the ledger has ended");
            }
        }
    }

    /// Hands back leases on deliveries that will not be sent now. When the mailbox is full they run out instead.
    pub(super) fn hand_back(&self, leases: Vec<Lease>) {
        if !leases.is_empty() {
            let _ = self.0.try_send(HandBack(leases));
        }
    }

    /// The same a little later, of leases whose transaction may not have ended: a hand-back that comes before its commit
    /// finds no row, and then the lease would run its course.
    pub(super) fn hand_back_later(&self, leases: Vec<Lease>) {
        let _ = self.0.try_send(HandBackLater(leases));
    }

    /// Takes no more claims, writes what there is, and hands all leases back.
    pub(super) async fn close(&self) -> Result<()> {
        self.0.send(Close).await.unwrap_or_else(|_| Err(gone()))
    }

    /// Where the watchdog asks whether the actor answers.
    pub(super) fn probe(&self) -> Recipient<Probe> {
        self.0.clone().recipient()
    }
}

impl Message for Claim {
    type Result = Result<Claimed>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Write(Attempt);

#[derive(Message)]
#[rtype(result = "()")]
struct HandBack(Vec<Lease>);

#[derive(Message)]
#[rtype(result = "()")]
struct HandBackLater(Vec<Lease>);

#[derive(Message)]
#[rtype(result = "Result<()>")]
struct Close;

struct LedgerActor {
    books: Books,
    claims: Vec<Request>,
    attempts: Vec<Entry>,
    /// Leased, and not to be sent now. If the database is away they are forgotten: the leases run out.
    unwanted: Vec<Lease>,
    closed: bool,
    closing: Option<oneshot::Sender<Result<()>>>,
    busy: bool,
}

impl LedgerActor {
    /// Begins the next transaction, unless one runs or there is nothing to write.
    fn turn(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        if self.claims.is_empty() && self.attempts.is_empty() && self.unwanted.is_empty() {
            self.finish(ctx);
            return;
        }
        self.busy = true;
        let attempts = first(&mut self.attempts);
        // What is claimed depends on all that was attempted.
        let claims = if self.attempts.is_empty() { first(&mut self.claims) } else { Vec::new() };
        let unwanted = first(&mut self.unwanted);
        let books = self.books.clone();
        let page = async move { books.write(claims, attempts, unwanted).await };
        ctx.spawn(page.into_actor(self).map(|unwritten, actor, ctx| actor.turned(unwritten, ctx)));
    }

    /// Hands the leases back, if that is what is waited for.
    fn finish(&mut self, ctx: &mut Context<Self>) {
        if let Some(tell) = self.closing.take() {
            let books = self.books.clone();
            let release = async move { drop(tell.send(books.release().await)) };
            ctx.spawn(release.into_actor(self));
        }
    }

    fn turned(&mut self, mut unwritten: Vec<Entry>, ctx: &mut Context<Self>) {
        if unwritten.is_empty() {
            self.busy = false;
            self.turn(ctx);
        } else {
            unwritten.append(&mut self.attempts);
            self.attempts = unwritten;
            ctx.run_later(PAUSE, |actor, ctx| {
                actor.busy = false;
                actor.turn(ctx);
            });
        }
    }
}

impl Actor for LedgerActor {
    type Context = Context<Self>;
}

impl Handler<Claim> for LedgerActor {
    type Result = ResponseFuture<Result<Claimed>>;

    fn handle(&mut self, claim: Claim, ctx: &mut Self::Context) -> Self::Result {
        if self.closed {
            return Box::pin(async { Err(gone()) });
        }
        let (tell, told) = oneshot::channel();
        self.claims.push((claim, tell));
        self.turn(ctx);
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(gone())) })
    }
}

impl Handler<Write> for LedgerActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Write(attempt): Write, ctx: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        self.attempts.push((attempt, tell));
        self.turn(ctx);
        Box::pin(async move { told.await.unwrap_or_default() })
    }
}

impl Handler<HandBack> for LedgerActor {
    type Result = ();

    fn handle(&mut self, HandBack(leases): HandBack, ctx: &mut Self::Context) {
        self.unwanted.extend(leases);
        self.turn(ctx);
    }
}

impl Handler<HandBackLater> for LedgerActor {
    type Result = ();

    fn handle(&mut self, HandBackLater(leases): HandBackLater, ctx: &mut Self::Context) {
        ctx.run_later(COMMITTED, |actor, ctx| {
            actor.unwanted.extend(leases);
            actor.turn(ctx);
        });
    }
}

impl Handler<Close> for LedgerActor {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        self.closed = true;
        self.closing = Some(tell);
        self.turn(ctx);
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(gone())) })
    }
}

impl Handler<Probe> for LedgerActor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}

fn first<T>(waiting: &mut Vec<T>) -> Vec<T> {
    let later = waiting.split_off(waiting.len().min(BATCH));
    std::mem::replace(waiting, later)
}

fn gone() -> Error {
    Error::new(Code::Unavailable, "Webhooks are shutting down.")
}
