//! The watchdog: asks the actors that everything hangs on whether they are there, once a second, and ends the
//! process when one is silent for too long. A panic leaves an actor dead in silence, and messages to it vanish;
//! a process that ends is restarted by whoever runs it, and loses nothing, because rows are truth.

use crate::domain::Probe;
use actix::Recipient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often they are asked.
const EVERY: Duration = Duration::from_secs(1);

/// `EX_SOFTWARE` of sysexits.h: what the process ends with.
const EXIT_CODE: i32 = 70;

/// Watches for as long as it is held.
#[derive(Debug, Default)]
pub struct Watchdog {
    released: Arc<AtomicBool>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.released.store(true, Ordering::SeqCst);
    }
}

/// Watches from a thread of its own, so that no busy runtime can hold it up. `patience` is how long an actor
/// may be silent.
pub fn start(
    watched: Vec<(&'static str, Recipient<Probe>)>,
    patience: Duration,
) -> std::io::Result<Watchdog> {
    let watchdog = Watchdog::default();
    let released = watchdog.released.clone();
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(watch(&watched, patience, &released)),
            Err(error) => tracing::error!(%error, "the watchdog could not start"),
        }
    })?;
    Ok(watchdog)
}

async fn watch(watched: &[(&'static str, Recipient<Probe>)], patience: Duration, released: &AtomicBool) {
    loop {
        for (name, recipient) in watched {
            let fault = silent(recipient, patience).await;
            if released.load(Ordering::SeqCst) {
                return;
            }
            if let Some(fault) = fault {
                tracing::error!(
                    actor = name,
                    fault,
                    "an actor that everything hangs on is gone; ending the process"
                );
                std::process::exit(EXIT_CODE);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Why the actor counts as gone, if it does.
async fn silent(recipient: &Recipient<Probe>, patience: Duration) -> Option<&'static str> {
    match tokio::time::timeout(patience, recipient.send(Probe)).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("its mailbox is closed"),
        Err(_) => Some("it does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::prelude::*;

    struct Sound;

    impl Actor for Sound {
        type Context = Context<Self>;
    }

    impl Handler<Probe> for Sound {
        type Result = ();

        fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
    }

    struct Stuck;

    impl Actor for Stuck {
        type Context = Context<Self>;
    }

    impl Handler<Probe> for Stuck {
        type Result = ResponseFuture<()>;

        fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
            Box::pin(std::future::pending())
        }
    }

    #[actix::test]
    async fn an_actor_that_answers_is_sound_and_one_that_does_not_is_gone() {
        let wait = Duration::from_millis(50);
        assert_eq!(silent(&Sound.start().recipient(), wait).await, None);
        assert_eq!(silent(&Stuck.start().recipient(), wait).await, Some("it does not answer"));
    }

    #[actix::test]
    async fn an_actor_that_ended_is_gone() {
        let arbiter = Arbiter::new();
        let recipient = Sound::start_in_arbiter(&arbiter.handle(), |_| Sound).recipient();
        arbiter.stop();
        arbiter.join().unwrap();
        assert_eq!(silent(&recipient, Duration::from_secs(5)).await, Some("its mailbox is closed"));
    }

    const CHILD: &str = "BELLWIRE_TEST_WATCHDOG_CHILD";

    /// Not a test of its own: the process that the next test starts and that the watchdog ends.
    #[actix::test]
    async fn child() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let _watchdog = start(vec![("stuck", Stuck.start().recipient())], Duration::from_millis(50)).unwrap();
        tokio::time::sleep(Duration::from_mins(1)).await;
    }

    #[test]
    fn a_silent_actor_ends_the_process() {
        let this = std::env::current_exe().unwrap();
        let name = concat!(module_path!(), "::child");
        let name = name.split_once("::").unwrap().1;
        let status = std::process::Command::new(this)
            .args(["--exact", name])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .status();
        assert_eq!(status.unwrap().code(), Some(EXIT_CODE));
    }
}
