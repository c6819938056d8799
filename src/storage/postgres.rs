//! The pool of PostgreSQL connections.

use super::DbOptions;
use crate::domain::{Code, Error, Result};
use diesel::ConnectionError;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::runtime::Handle;

/// No statement of ours takes long; one that does must not hold a request, or a lock, for ever.
const SESSION: &str = "SET statement_timeout = '30s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '30s'; SET timezone = 'UTC'";

/// Of a server that has gone without a word nothing comes, not even an end: the system asks after it, and gives the
/// connection up when for so long nothing is acknowledged. Seconds, unless the URL says other.
const LIVENESS: [(&str, &str); 4] = [
    ("tcp_user_timeout", "20"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_retries", "3"),
];

pub(super) fn pool(options: &DbOptions, handle: &Handle) -> Result<Pool<AsyncPgConnection>> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let handle = handle.clone();
    let wait = options.wait;
    config.custom_setup = Box::new(move |url| {
        // On the connections' own runtime: the task that drives a connection must outlive whoever asked for it.
        let opening = handle.spawn(open(url.to_owned(), wait));
        async move { opening.await.unwrap_or_else(|e| Err(ConnectionError::BadConnection(e.to_string()))) }
            .boxed()
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config(watched(&options.url), config))
        .max_size(options.pool_size)
        // A transaction that was dropped half way holds its locks until its connection is taken out again, and closed:
        // let that be soon.
        .queue_mode(deadpool::managed::QueueMode::Lifo)
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(options.wait))
        .create_timeout(Some(options.wait))
        .recycle_timeout(Some(options.wait))
        .build()
        .map_err(|e| Error::new(Code::Internal, "The database pool could not be made.").because(e))
}

/// The URL, with what it does not say of [`LIVENESS`].
fn watched(url: &str) -> String {
    // A password may have a question mark in it.
    let place = url.rsplit('@').next().unwrap_or(url);
    let said = place.split_once('?').map(|(_, said)| said);
    let mut watched = url.trim_end_matches(['?', '&']).to_owned();
    let mut has_any = said.is_some_and(|said| !said.is_empty());
    let is_said =
        |key: &str| said.is_some_and(|said| said.split('&').any(|one| one.split('=').next() == Some(key)));
    for (key, seconds) in LIVENESS.iter().filter(|(key, _)| !is_said(key)) {
        watched += if std::mem::replace(&mut has_any, true) { "&" } else { "?" };
        watched += key;
        watched += "=";
        watched += seconds;
    }
    watched
}

async fn open(url: String, wait: Duration) -> diesel::ConnectionResult<AsyncPgConnection> {
    let open = async {
        let mut conn = AsyncPgConnection::establish(&url).await?;
        conn.batch_execute(SESSION).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    };
    tokio::time::timeout(wait, open)
        .await
        .map_err(|_| ConnectionError::BadConnection("PostgreSQL did not answer in time".to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_what_it_says_of_the_connections_liveness() {
        let plain = watched("postgres://shop:p%40ss@db.internal/shop");
        assert_eq!(
            plain,
            "postgres://shop:p%40ss@db.internal/shop?tcp_user_timeout=20&keepalives_idle=10&keepalives_interval=5\
             &keepalives_retries=3"
        );
        let own = watched("postgres://db/shop?sslmode=disable&tcp_user_timeout=3");
        assert!(own.contains("tcp_user_timeout=3&keepalives_idle=10"), "{own}");
        assert_eq!(own.matches("tcp_user_timeout").count(), 1);
        assert!(
            watched("postgres://u:pa?ss@db/shop").starts_with("postgres://u:pa?ss@db/shop?tcp_user_timeout=")
        );
        assert!(watched("postgres://db/shop?").starts_with("postgres://db/shop?tcp_user_timeout="));
    }
}
