//! `Writers`: those who write to SQLite, in turn, and wait for the disk together.
//!
//! SQLite has one writer, and a commit waits for the disk longer than most transactions work. So who finds others
//! waiting when its work is done does not commit: it leaves the transaction open and waits for another turn, behind
//! them, and each of them works in a savepoint of the same transaction. Whose turn comes again first commits for all.
//! Nobody is answered before that commit, whatever the answer, so what was acknowledged is on the disk; and alone, a
//! writer commits at once.
//!
//! What fails is rolled back to its savepoint and takes nothing of the others along, and so is what is dropped half way.
//! A commit that fails fails all whose work it was; each may ask again.

use super::{Conn, SqliteConn, begin_immediate, commit, finish, on_conn, rollback};
use crate::domain::{Code, Error, Result};
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// Members of a batch, and how old it may be when another joins: so long the first of them waits for the others.
const MOST: usize = 64;
const OLD: Duration = Duration::from_millis(10);

/// See the module. Clones are the same writers.
#[derive(Clone)]
pub(super) struct Writers {
    /// One connection.
    writer: Pool<SqliteConn>,
    /// One connection, of whoever has the turn and need not wait for the disk.
    relaxed: Pool<SqliteConn>,
    /// Whose turn it is, in the order in which they asked; and what is open between two turns.
    turn: Arc<Mutex<Option<Batch>>>,
    waiting: Arc<AtomicUsize>,
    runtime: Handle,
    patience: Duration,
}

/// A transaction of several.
struct Batch {
    conn: Object<SqliteConn>,
    /// Whose work is in it.
    members: usize,
    since: Instant,
    /// What became of it.
    committed: watch::Sender<Option<bool>>,
}

type Turn = OwnedMutexGuard<Option<Batch>>;

impl Writers {
    /// Pools of one connection each; `patience` is how long one waits for a turn before it is told to come back.
    pub(super) fn new(
        (writer, relaxed): (Pool<SqliteConn>, Pool<SqliteConn>),
        runtime: Handle,
        patience: Duration,
    ) -> Self {
        let (turn, waiting) = (Arc::default(), Arc::default());
        Self { writer, relaxed, turn, waiting, runtime, patience }
    }

    /// See [`Db::transaction`](super::Db::transaction).
    pub(super) async fn transaction<T>(&self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let mut working = self.begin().await?;
        let result = working.run(work).await;
        self.end(working, result.is_ok()).await?;
        result
    }

    /// See [`Db::transaction_relaxed`](super::Db::transaction_relaxed).
    pub(super) async fn transaction_relaxed<T>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T>,
    ) -> Result<T> {
        let mut turn = self.turn().await?;
        if let Some(batch) = turn.take() {
            turn = self.commit(turn, batch).await.0?;
        }
        // One that was dropped half way holds the file's lock, as in `begin`.
        drop(self.writer.get().await?);
        let done = finish(begin_immediate(self.relaxed.get().await?).await?, work).await;
        drop(turn);
        done
    }

    async fn begin(&self) -> Result<Working> {
        let mut turn = self.turn().await?;
        let runtime = self.runtime.clone();
        if let Some(batch) = turn.take() {
            return Working::join(turn, batch, runtime).await;
        }
        let connection = self.writer.get().await?;
        // A relaxed transaction that was dropped half way holds the file's lock until its connection is looked at:
        // taking it out of its pool closes it.
        drop(self.relaxed.get().await?);
        let open = Open { members: 0, since: Instant::now(), committed: watch::Sender::new(None) };
        Ok(Working { held: Some((turn, begin_immediate(connection).await?, open)), runtime })
    }

    async fn end(&self, working: Working, keep: bool) -> Result<()> {
        if working.is_alone() && (!keep || self.waiting.load(Relaxed) == 0) {
            return working.finish(keep).await;
        }
        let (turn, batch) = working.leave(keep).await?;
        // Rare enough for a box, which keeps every transaction's future small.
        Box::pin(self.settle(turn, batch)).await
    }

    async fn turn(&self) -> Result<Turn> {
        let _waiting = Waiting::new(&self.waiting);
        tokio::time::timeout(self.patience, self.turn.clone().lock_owned()).await.map_err(|_| {
            Error::new(Code::Unavailable, "The database has too much to write just now. Try again.")
        })
    }

    /// Commits, or leaves that to whoever has the turn after those who wait for one.
    async fn settle(&self, mut turn: Turn, batch: Batch) -> Result<()> {
        let is_full = batch.members >= MOST || batch.since.elapsed() >= OLD;
        if is_full || self.waiting.load(Relaxed) == 0 {
            return self.commit(turn, batch).await.1;
        }
        let committed = batch.committed.subscribe();
        *turn = Some(batch);
        drop(turn);
        // Should this be dropped now, the work is still to be committed, and by nobody, if nobody else waits.
        let unsettled = Unsettled { writers: self, committed };
        let _waiting = Waiting::new(&self.waiting);
        let mut told = unsettled.committed.clone();
        let done = tokio::select! {
            biased;
            done = told.wait_for(Option::is_some) => done.is_ok_and(|done| *done == Some(true)),
            mut turn = self.turn.clone().lock_owned() => match (unsettled.outcome(), turn.take()) {
                (None, Some(batch)) => return self.commit(turn, batch).await.1,
                (outcome, another) => {
                    *turn = another;
                    outcome == Some(true)
                }
            },
        };
        if done { Ok(()) } else { Err(lost()) }
    }

    /// In a task of its own, which nobody drops half way. Gives the turn back, and how it went.
    async fn commit(&self, turn: Turn, batch: Batch) -> (Result<Turn>, Result<()>) {
        match self.runtime.spawn(batch.commit(turn)).await {
            Ok((turn, done)) => (Ok(turn), done),
            Err(_) => (Err(lost()), Err(lost())),
        }
    }
}

impl Batch {
    async fn commit(mut self, turn: Turn) -> (Turn, Result<()>) {
        let done = self.conn.spawn_blocking(AnsiTransactionManager::commit_transaction).await;
        self.committed.send_replace(Some(done.is_ok()));
        (turn, done.map_err(Error::from))
    }
}

/// A member at work, alone or in a batch of others: dropped half way, it is rolled back, and they are not.
struct Working {
    held: Option<(Turn, Conn, Open)>,
    runtime: Handle,
}

/// Of a batch, what is not its connection.
struct Open {
    members: usize,
    since: Instant,
    committed: watch::Sender<Option<bool>>,
}

impl Working {
    async fn join(turn: Turn, batch: Batch, runtime: Handle) -> Result<Self> {
        let Batch { conn, members, since, committed } = batch;
        let open = Open { members, since, committed };
        let mut working = Self { held: Some((turn, Conn::Sqlite(conn), open)), runtime };
        if let Some((_, Conn::Sqlite(conn), _)) = &mut working.held {
            conn.spawn_blocking(AnsiTransactionManager::begin_transaction).await?;
        }
        Ok(working)
    }

    async fn run<T>(&mut self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        match &mut self.held {
            Some((_, conn, _)) => work(conn).await,
            None => Err(lost()),
        }
    }

    /// Nobody else's work is in it.
    fn is_alone(&self) -> bool {
        self.held.as_ref().is_some_and(|(.., open)| open.members == 0)
    }

    /// Ends the whole transaction.
    async fn finish(mut self, keep: bool) -> Result<()> {
        let Some((_, conn, _)) = &mut self.held else { return Err(lost()) };
        let ended = if keep {
            on_conn!(conn, c => commit(c).await).map_err(Error::from)
        } else {
            // A connection that cannot roll back is broken, and the pool will see that.
            let _ = on_conn!(conn, c => rollback(c).await);
            Ok(())
        };
        self.give_up();
        ended
    }

    /// Keeps the work, or takes it back, and leaves the rest open. An error is the end of the batch.
    async fn leave(mut self, keep: bool) -> Result<(Turn, Batch)> {
        let in_savepoint = !self.is_alone();
        if let Some((_, Conn::Sqlite(conn), _)) = &mut self.held
            && in_savepoint
        {
            let ended = conn.spawn_blocking(move |c| leave_savepoint(c, keep)).await;
            if let Err(error) = ended {
                self.give_up();
                return Err(error.into());
            }
        }
        self.into_parts(usize::from(keep)).ok_or_else(lost)
    }

    /// Lets go of the transaction: members hear of it before the turn is another's.
    fn give_up(&mut self) {
        if let Some((turn, conn, open)) = self.held.take() {
            drop(open);
            drop(conn);
            drop(turn);
        }
    }

    fn into_parts(mut self, joined: usize) -> Option<(Turn, Batch)> {
        let (turn, Conn::Sqlite(conn), Open { members, since, committed }) = self.held.take()? else {
            return None;
        };
        Some((turn, Batch { conn, members: members + joined, since, committed }))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.is_alone() {
            return self.give_up();
        }
        let Some((mut turn, Conn::Sqlite(mut conn), open)) = self.held.take() else { return };
        self.runtime.spawn(async move {
            let Open { members, since, committed } = open;
            if conn.spawn_blocking(|c| leave_savepoint(c, false)).await.is_ok() {
                *turn = Some(Batch { conn, members, since, committed });
            } else {
                // The others are told, before the turn is another's.
                drop(committed);
            }
            drop(turn);
        });
    }
}

/// Where the savepoint was not reached, or is left already, there is nothing to leave.
fn leave_savepoint(conn: &mut SqliteConnection, keep: bool) -> QueryResult<()> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    let depth = status.transaction_depth()?.map_or(0, std::num::NonZero::get);
    match (depth, keep) {
        (..=1, _) => Ok(()),
        (_, true) => AnsiTransactionManager::commit_transaction(conn),
        (_, false) => AnsiTransactionManager::rollback_transaction(conn),
    }
}

/// A member whose work is done and not committed.
struct Unsettled<'a> {
    writers: &'a Writers,
    committed: watch::Receiver<Option<bool>>,
}

impl Unsettled<'_> {
    fn outcome(&self) -> Option<bool> {
        outcome(&self.committed)
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if self.outcome().is_some() {
            return;
        }
        let (turn, committed) = (self.writers.turn.clone(), self.committed.clone());
        self.writers.runtime.spawn(async move {
            let mut turn = turn.lock_owned().await;
            if outcome(&committed).is_none()
                && let Some(batch) = turn.take()
            {
                drop(batch.commit(turn).await);
            }
        });
    }
}

/// Whether a batch was committed; none while it is open. One that is gone without a word was not.
fn outcome(committed: &watch::Receiver<Option<bool>>) -> Option<bool> {
    let said = *committed.borrow();
    said.or_else(|| committed.has_changed().is_err().then_some(false))
}

/// One that waits for a turn.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn lost() -> Error {
    Error::new(Code::Unavailable, "The database could not write it down. Try again.")
}
