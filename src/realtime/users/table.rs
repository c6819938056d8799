//! `Users`: the directories of all apps, with the links to tell connections on.
//!
//! Shared state and not an actor: a session enters it as it signs in and leaves it from `Drop`. News is handed
//! over under the app's lock, so that nobody hears of two changes in the wrong order; handing over never waits,
//! and an app's lock holds up that app's sign-ins alone.

use super::directory::{Directory, News};
use super::user::User;
use crate::config::App;
use crate::domain::{AppId, SocketId};
use crate::realtime::channel::roster::cut_off;
use crate::realtime::frame::Frame;
use crate::realtime::link::{Link, Undelivered};
use crate::realtime::protocol::pusher;
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who is signed in, by app. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Users {
    apps: Arc<HashMap<AppId, Mutex<Room>>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Room {
    directory: Directory,
    links: HashMap<SocketId, Arc<Link>>,
}

impl Users {
    /// Nobody, in each of these apps; a user stays online for `grace` after their last connection ended.
    pub fn new(apps: &[Arc<App>], grace: Duration, metrics: Arc<Metrics>) -> Self {
        let room = || Mutex::new(Room { directory: Directory::new(grace), links: HashMap::new() });
        let apps = apps.iter().map(|app| (app.id.clone(), room())).collect();
        Self { apps: Arc::new(apps), metrics }
    }

    /// A connection signed in: it is told how its watchlist stands, and others that the user is online.
    pub fn sign_in(&self, app: &AppId, link: &Arc<Link>, user: &User) {
        let Some(mut room) = self.room(app) else { return };
        room.links.insert(link.socket, link.clone());
        let news = room.directory.sign_in(link.socket, &user.id, &user.watchlist);
        self.tell(&room, news);
    }

    /// A connection ended, whether or not it had signed in.
    pub fn leave(&self, app: &AppId, socket: SocketId, now: Instant) {
        let Some(mut room) = self.room(app) else { return };
        if room.links.remove(&socket).is_some() {
            let news = room.directory.leave(socket, now);
            self.tell(&room, news);
        }
    }

    /// Time has passed: tells who went offline and did not come back. The sentinel calls it.
    pub fn tick(&self, now: Instant) {
        for mut room in self.apps.values().map(lock) {
            let news = room.directory.tick(now);
            self.tell(&room, news);
        }
    }

    /// The connections that are signed in as this user.
    pub fn links_of(&self, app: &AppId, user: &str) -> Vec<Arc<Link>> {
        let Some(room) = self.room(app) else { return Vec::new() };
        let sockets = room.directory.sockets_of(user);
        sockets.iter().filter_map(|socket| room.links.get(socket).cloned()).collect()
    }

    fn room(&self, app: &AppId) -> Option<MutexGuard<'_, Room>> {
        self.apps.get(app).map(lock)
    }

    fn tell(&self, room: &Room, news: impl IntoIterator<Item = News>) {
        for News { to, online, offline } in news {
            let frame = Frame::answer(pusher::watchlist_events(&online, &offline));
            for link in to.iter().filter_map(|socket| room.links.get(socket)) {
                match link.deliver(&frame) {
                    Ok(()) => self.metrics.messages_out.inc(),
                    Err(Undelivered::Slow) => {
                        self.metrics.refused.with_label_values(&["slow_consumer"]).inc();
                        cut_off(link);
                    }
                    Err(Undelivered::Gone) => {}
                }
            }
        }
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    // A panic while the lock was held cannot have left a map half changed.
    room.lock().unwrap_or_else(PoisonError::into_inner)
}
