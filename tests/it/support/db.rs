//! `TestDb`: a migrated database that belongs to one test, and the macro that runs a test on both kinds.

use super::opening_time;
use super::postgres::Postgres;
use bellwire::config::SecretKeys;
use bellwire::notifications::templates;
use bellwire::storage::{Db, DbOptions, migrate};
use diesel_async::RunQueryDsl;
use std::ops::Deref;
use std::time::Duration;
use tempfile::TempDir;

/// For servers on PostgreSQL, which have no place for a file of their own.
pub(crate) const SECRET_KEY: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Runs each named `async fn name(db: TestDb)` twice: as `name::sqlite` and as `name::postgres`.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use $crate::support::TestDb;

            #[actix_rt::test]
            async fn sqlite() {
                super::$test(TestDb::sqlite().await).await;
            }

            #[actix_rt::test]
            async fn postgres() {
                super::$test(TestDb::postgres().await).await;
            }
        }
    )+};
}

/// A query written once for either kind of connection: `on_conn!(conn, c => users::table.first(c).await)`.
macro_rules! on_conn {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            bellwire::storage::Conn::Postgres(object) => {
                let $c = &mut **object;
                $body
            }
            bellwire::storage::Conn::Sqlite(object) => {
                let $c = &mut **object;
                $body
            }
        }
    };
}

/// A migrated `Db` (it dereferences to one) whose database goes when this goes.
pub(crate) struct TestDb {
    // Dropped in this order: connections, server, files.
    db: Db,
    url: String,
    server: Option<Postgres>,
    _folder: Option<TempDir>,
}

impl TestDb {
    /// A file in a folder of its own.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let db = open_migrated(&url).await;
        Self { db, url, server: None, _folder: Some(folder) }
    }

    /// A server of its own.
    pub(crate) async fn postgres() -> Self {
        let server = Postgres::start();
        let url = server.url();
        let db = open_migrated(&url).await;
        Self { db, url, server: Some(server), _folder: None }
    }

    /// What `[database] url` would say.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The keys that secrets in it are sealed with: on SQLite there is a file for that.
    pub(crate) fn secret_keys(&self) -> SecretKeys {
        let keys = if self.is_sqlite() { SecretKeys::parse([]) } else { SecretKeys::parse([SECRET_KEY]) };
        keys.unwrap()
    }

    /// The server behind it, for tests that stop and start it.
    pub(crate) fn server(&mut self) -> Option<&mut Postgres> {
        self.server.as_mut()
    }

    /// Makes a PostgreSQL database as empty as a new one.
    pub(crate) async fn drop_schema(&self) {
        let mut conn = self.db.read().await.unwrap();
        for statement in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
            on_conn!(&mut conn, c => diesel::sql_query(statement).execute(c).await).unwrap();
        }
    }

    /// A second `Db` on the same database, as another process would have it.
    pub(crate) fn open_another(&self) -> Db {
        open(self.url())
    }
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

/// Opens pools on a database, without migrating it.
pub(crate) fn open(url: &str) -> Db {
    Db::open(DbOptions { url: url.to_owned(), pool_size: 8, wait: Duration::from_secs(5) }).unwrap()
}

async fn open_migrated(url: &str) -> Db {
    let db = open(url);
    migrate::run(&db).await.unwrap();
    templates::seed(&db, opening_time()).await.unwrap();
    db
}
