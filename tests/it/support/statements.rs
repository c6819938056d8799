//! `Statements`: what a database is asked, written down by a listener on its connections.

use super::TestDb;
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use std::collections::HashMap;
use std::sync::Mutex;

/// Statements by the address of their database, as tests may share a process.
static STATEMENTS: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

/// Writes down what one connection is asked.
struct Listener {
    url: String,
}

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                address(url).clone_into(&mut self.url);
            }
            InstrumentationEvent::StartQuery { query, .. } => {
                let statement = in_brief(&query.to_string());
                // Of a new connection, whenever the pool wants one.
                if !["PRAGMA", "SET"].contains(&statement.as_str()) {
                    let mut all = STATEMENTS.lock().unwrap();
                    all.get_or_insert_default().entry(self.url.clone()).or_default().push(statement);
                }
            }
            _ => {}
        }
    }
}

/// Of a database, without what a pool adds to it.
fn address(url: &str) -> &str {
    let place = url.strip_prefix("sqlite:").unwrap_or(url);
    place.split('?').next().unwrap_or(place)
}

/// `SELECT products`: what is done, and to which table.
fn in_brief(sql: &str) -> String {
    let sql = outermost(&sql.replace(['`', '"'], " "));
    let mut words = sql.split_whitespace();
    let verb = words.next().unwrap_or_default().to_owned();
    let table = match verb.as_str() {
        "SELECT" | "DELETE" => words.skip_while(|word| *word != "FROM").nth(1),
        "INSERT" => words.nth(1),
        "UPDATE" => words.next(),
        _ => None,
    };
    format!("{verb} {}", table.unwrap_or_default()).trim().to_owned()
}

/// Without what stands in parentheses, such as another query.
fn outermost(sql: &str) -> String {
    let mut depth = 0;
    let mut outside = String::new();
    for c in sql.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    outside
}

/// Writes down what databases are asked that are opened from now on: call it before a test opens its own. Those that
/// another test opens meanwhile are written down under their own address.
pub(crate) fn listen() {
    set_default_instrumentation(|| Some(Box::new(Listener { url: String::new() }))).unwrap();
}

/// What `work` asks of the database.
pub(crate) async fn statements<T>(db: &TestDb, work: impl Future<Output = T>) -> Vec<String> {
    let take = || STATEMENTS.lock().unwrap().as_mut().and_then(|all| all.remove(address(db.url())));
    take();
    work.await;
    take().unwrap_or_default()
}
