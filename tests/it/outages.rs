//! What the server stands on goes away and comes back: the disk is full, the database is stopped. Requests are
//! answered 503, nothing is half-written, and no restart is needed.

use crate::support::{Caller, Program, Server, TestDb, server, until};
use bellwire::storage::schema::{events, products};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A server whose database lies on a small file system of its own, which nobody else sees.
fn serve_on_small_disk(program: &Program) -> Server {
    let serve = program.command(&["serve", "--bind", "127.0.0.1:0"]);
    let script = "mount -t tmpfs -o size=4m none disk && cp seed.db disk/small.db \
        && exec setpriv --pdeathsig KILL -- \"$@\"";
    let namespace = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let mut command = Command::new("unshare");
    command.args([namespace, "sh", "-c", script, "sh"]).arg(serve.get_program()).args(serve.get_args());
    command.current_dir(program.folder()).env("DATABASE_URL", "sqlite:disk/small.db");
    std::fs::create_dir(program.folder().join("disk")).unwrap();
    Server::run(&command)
}

/// The path of a file on that disk, seen from here.
fn on_disk(server: &Server, program: &Program, name: &str) -> PathBuf {
    let inside = program.folder().join("disk").join(name);
    PathBuf::from(format!("/proc/{}/root", server.pid())).join(inside.strip_prefix("/").unwrap())
}

/// Takes all the room that is left.
fn fill(path: &PathBuf) {
    let mut ballast = File::create(path).unwrap();
    let mut size = 65_536;
    while size > 0 {
        match ballast.write(&vec![1; size]) {
            Ok(written) if written > 0 => {}
            _ => size /= 2,
        }
    }
}

#[actix_rt::test]
async fn a_full_disk_is_a_503_and_nothing_is_half_written() {
    let seeding = Program::on("sqlite:seed.db").with_config(server::CONFIG);
    let caller = Caller::made_by(&seeding).await;
    let server = serve_on_small_disk(&seeding);
    let new = json!({"name": "Tea", "sku": "TEA", "price": 0, "description": "x".repeat(2_000)});
    let (status, made) = caller.post(&server.url("/api/v1/products"), &new).await.unwrap();
    assert_eq!(status, 201, "{made}");
    let product = server.url(&format!("/api/v1/products/{}", made["data"]["id"]));

    let ballast = on_disk(&server, &seeding, "ballast");
    fill(&ballast);
    let last = write_until_refused(&caller, &product).await;

    let (status, read) = caller.get(&product).await.unwrap();
    assert_eq!(
        (status, &read["data"]["price"]),
        (200, &json!(last)),
        "reads go on, of what was acknowledged"
    );
    let (status, _) = caller.get(&server.url("/up")).await.unwrap();
    assert_eq!(status, 200);

    std::fs::remove_file(ballast).unwrap();
    until("writes go through again", async || {
        caller.patch(&product, &json!({"price": 1_000_000})).await.unwrap().0 == 200
    })
    .await;
    let copy = seeding.folder().join("copy.db");
    for part in ["", "-wal"] {
        let from = on_disk(&server, &seeding, &format!("small.db{part}"));
        std::fs::copy(from, format!("{}{part}", copy.display())).unwrap();
    }
    assert_eq!(told_and_kept(&format!("sqlite:{}", copy.display())).await, (last + 2, 1_000_000));
    assert!(server.terminate().await.success());
}

/// Prices 1, 2, 3 … until one is refused; the last that was acknowledged.
async fn write_until_refused(caller: &Caller, product: &str) -> i64 {
    for price in 1..10_000 {
        match caller.patch(product, &json!({ "price": price })).await.unwrap() {
            (200, _) => {}
            (503, body) => {
                assert!(body["message"].as_str().is_some_and(|m| m.contains("try again")), "{body}");
                return price - 1;
            }
            (status, body) => panic!("{status}: {body}"),
        }
    }
    panic!("the disk does not fill");
}

/// How many events there are, and the price in the product's row.
async fn told_and_kept(url: &str) -> (i64, i64) {
    let db = crate::support::db::open(url);
    let mut conn = db.read().await.unwrap();
    let told = on_conn!(&mut conn, c => events::table.count().get_result(c).await).unwrap();
    let kept = on_conn!(&mut conn, c => products::table.select(products::price).first(c).await).unwrap();
    (told, kept)
}

#[actix_rt::test]
async fn a_database_that_goes_away_is_a_503_until_it_is_back() {
    let mut db = TestDb::postgres().await;
    let program = Program::on(db.url()).with_config(server::CONFIG);
    let caller = Caller::made_by(&program).await;
    let server = Server::start(&program);
    let products = server.url("/api/v1/products");
    let status = async |url: &str| caller.get(url).await.unwrap().0;
    assert_eq!(status(&server.url("/ready")).await, 200);
    let (made, _) = caller.post(&products, &json!({"name": "Tea", "sku": "TEA", "price": 1})).await.unwrap();
    assert_eq!(made, 201);

    db.server().unwrap().stop();
    assert_eq!(status(&products).await, 503);
    let (refused, body) =
        caller.post(&products, &json!({"name": "Ale", "sku": "ALE", "price": 1})).await.unwrap();
    assert_eq!(refused, 503, "{body}");
    assert_eq!(status(&server.url("/ready")).await, 503);
    assert_eq!(status(&server.url("/up")).await, 200, "the process itself is well");

    db.server().unwrap().start_again();
    until("the server is ready again", async || status(&server.url("/ready")).await == 200).await;
    let (made, body) =
        caller.post(&products, &json!({"name": "Ale", "sku": "ALE", "price": 1})).await.unwrap();
    assert_eq!(made, 201, "{body}");
    let (_, all) = caller.get(&products).await.unwrap();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2), "{all}");
    let secrets = [caller.token.split_once('|').unwrap().1, "7ad3773142a6692b25b8"];
    let log = server.log();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "a secret is in the log: {log}");
    assert!(server.terminate().await.success());
}

#[actix_rt::test]
async fn a_server_whose_database_is_away_does_not_start() {
    let program = Program::on("postgres://nobody@127.0.0.1:1/none").with_config(server::CONFIG);
    let answer = program.run(&["serve", "--bind", "127.0.0.1:0"]).await;
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{answer:?}");
    assert!(answer.stderr.lines().last().unwrap().starts_with("bellwire: "), "{answer:?}");
}

#[actix_rt::test]
async fn a_server_without_an_app_says_how_to_make_one() {
    let answer = Program::new().run(&["serve", "--bind", "127.0.0.1:0"]).await;
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("bellwire app create"), "{answer:?}");
}
