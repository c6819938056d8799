//! The command line as scripts use it: the real program, its output and its exit codes.

use crate::support::{Program, TestDb};
use bellwire::auth::Tokens;
use bellwire::domain::{Clock, UserId};
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    each_verb_prints_one_object,
    a_token_verifies_until_it_is_revoked,
    lists_show_what_was_made,
    a_webhook_is_disabled,
    many_at_once_find_a_new_database_and_all_succeed,
);

async fn each_verb_prints_one_object(db: TestDb) {
    let program = Program::on(db.url());
    assert_eq!(program.json(&["migrate"]).await, json!({"ran": [], "templates": 0}));
    assert_eq!(program.json(&["tenant", "create", "--name", "Shop"]).await, json!({"id": 1}));
    let user = ["user", "create", "--tenant", "1", "--name", "Ann", "--email", "ann@shop.example"];
    assert_eq!(program.json(&user).await, json!({"id": 1}));
    let token = program.json(&["token", "create", "--user", "1", "--name", "laptop"]).await;
    assert_eq!(token["id"], 1);
    assert!(token["token"].as_str().unwrap().starts_with("1|"), "{token}");
    let hook =
        ["webhook", "create", "--tenant", "1", "--url", "https://a.example/h", "--events", "order:*,*"];
    let hook = program.json(&hook).await;
    assert_eq!(hook["id"], 1);
    assert!(hook["secret"].as_str().unwrap().starts_with("whsec_"), "{hook}");
}

async fn a_token_verifies_until_it_is_revoked(db: TestDb) {
    let program = with_user(&db).await;
    let args = ["token", "create", "--user", "1", "--name", "x", "--abilities", "a,b", "--expires-in", "30d"];
    let bearer = program.json(&args).await["token"].as_str().unwrap().to_owned();
    let tokens = Tokens::new(db.clone(), Clock::System, &bellwire::config::Auth::default());
    let identity = tokens.authenticate(&bearer).await.unwrap();
    assert_eq!(identity.user_id, UserId(1));
    assert_eq!(identity.abilities.to_vec(), ["a", "b"]);
    let left = identity.expires_at.unwrap().since(Clock::System.now());
    assert!((Duration::from_hours(719)..=Duration::from_hours(720)).contains(&left), "{left:?}");
    assert_eq!(program.json(&["token", "revoke", "1"]).await, json!({"id": 1, "revoked": true}));
    assert!(tokens.authenticate(&bearer).await.is_err());
    let again = program.run(&["token", "revoke", "1"]).await;
    assert_eq!((again.code, again.stderr.as_str()), (1, "bellwire: No such token.\n"));
}

async fn lists_show_what_was_made(db: TestDb) {
    let program = with_user(&db).await;
    program.json(&["token", "create", "--user", "1", "--name", "laptop"]).await;
    assert_eq!(
        program.json(&["tenant", "list"]).await,
        json!({"data": [
            {"id": 1, "name": "Shop", "timezone": "UTC", "locale": "en"},
        ]})
    );
    let users = program.json(&["user", "list", "--tenant", "1"]).await;
    assert_eq!(
        users,
        json!({"data": [{
            "id": 1, "name": "Ann", "email": "ann@shop.example", "role": null, "timezone": null, "locale": null,
        }]})
    );
    let tokens = program.json(&["token", "list", "--user", "1"]).await;
    assert_eq!(tokens["data"][0]["abilities"], json!(["*"]));
    assert_eq!(tokens["data"][0].get("token"), None, "a token is shown once");
    let human = program.run(&["user", "list", "--tenant", "1"]).await.stdout;
    assert_eq!(
        human,
        "id  name  email             role  timezone  locale\n1   Ann   ann@shop.example  -     -         -\n"
    );
    assert_eq!(program.run(&["webhook", "list", "--tenant", "1"]).await.stdout, "There are none yet.\n");
}

async fn a_webhook_is_disabled(db: TestDb) {
    let program = with_user(&db).await;
    program
        .json(&["webhook", "create", "--tenant", "1", "--url", "https://a.example/h", "--events", "*"])
        .await;
    let disable = ["webhook", "disable", "1", "--tenant", "1"];
    assert_eq!(program.json(&disable).await, json!({"id": 1, "is_active": false}));
    let hooks = program.json(&["webhook", "list", "--tenant", "1"]).await;
    assert_eq!(hooks["data"][0]["is_active"], false);
    assert_eq!(hooks["data"][0].get("secret"), None, "a secret is shown once");
    assert_eq!(program.run(&["webhook", "disable", "1", "--tenant", "2"]).await.code, 1);
}

/// Also the migrations: on SQLite the file is not there yet, on PostgreSQL the schema is dropped first.
async fn many_at_once_find_a_new_database_and_all_succeed(db: TestDb) {
    let program = if db.is_sqlite() { Program::new() } else { Program::on(db.url()) };
    if !db.is_sqlite() {
        db.drop_schema().await;
    }
    let start = |_| program.command(&["tenant", "create", "--name", "Shop", "--json"]).spawn().unwrap();
    let running: Vec<_> = (0..6).map(start).collect();
    for process in running {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let made = program.json(&["tenant", "list"]).await["data"].as_array().unwrap().len();
    assert_eq!(made, 6);
}

async fn with_user(db: &TestDb) -> Program {
    let program = Program::on(db.url());
    program.json(&["tenant", "create", "--name", "Shop"]).await;
    program.json(&["user", "create", "--tenant", "1", "--name", "Ann", "--email", "ann@shop.example"]).await;
    program
}

#[actix_rt::test]
async fn global_flags_may_stand_before_or_after_the_verb() {
    let program = Program::new();
    std::fs::write(program.folder().join("other.toml"), "[database]\nurl = \"sqlite:other.db\"").unwrap();
    let made = program.run(&["--json", "--config", "other.toml", "tenant", "create", "--name", "A"]).await;
    assert_eq!(made.stdout, "{\"id\":1}\n");
    let made = program.run(&["tenant", "create", "--config", "other.toml", "--name", "B", "--json"]).await;
    assert_eq!(made.stdout, "{\"id\":2}\n");
    assert!(program.folder().join("other.db").exists());
    assert!(!program.folder().join("data").exists());
}

#[actix_rt::test]
async fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    let program = Program::new();
    for args in [
        &["tenant", "create"][..],
        &["tenant", "create", "--name", "A", "--colour", "red"],
        &["user", "create", "--tenant", "one", "--name", "A", "--email", "a@b.example"],
        &["token", "create", "--user", "1", "--name", "A", "--expires-in", "soon"],
        &["fly"],
        &[],
    ] {
        let answer = program.run(args).await;
        assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{args:?}");
        let answer = program.run(&[args, &["--json"]].concat()).await;
        let error: Value = serde_json::from_str(&answer.stderr).unwrap();
        assert!(!error["error"]["message"].as_str().unwrap().is_empty(), "{args:?}: {error}");
    }
}

#[actix_rt::test]
async fn a_failure_is_exit_code_1_and_one_sentence() {
    let program = Program::new();
    let nobodys = ["user", "create", "--tenant", "7", "--name", "A", "--email", "a@b.example"];
    let answer = program.run(&nobodys).await;
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""));
    assert!(answer.stderr.starts_with("bellwire: There is no tenant 7."), "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    let answer = program.run(&[&nobodys[..], &["--json"]].concat()).await;
    let error: Value = serde_json::from_str(&answer.stderr).unwrap();
    assert_eq!(error["error"]["errors"]["tenant_id"], json!(["There is no tenant 7."]));
}

#[actix_rt::test]
async fn wrong_fields_are_named() {
    let program = Program::new();
    program.json(&["tenant", "create", "--name", "Shop"]).await;
    let hook = ["webhook", "create", "--tenant", "1", "--url", "ftp://x", "--events", "a b", "--json"];
    let error: Value = serde_json::from_str(&program.run(&hook).await.stderr).unwrap();
    let fields: Vec<&String> = error["error"]["errors"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["events.0", "url"]);
    assert_eq!(program.run(&["tenant", "create", "--name", ""]).await.code, 1);
}

#[actix_rt::test]
async fn the_app_that_is_printed_can_be_pasted() {
    let program = Program::new();
    let block = program.run(&["app", "create"]).await.stdout;
    let program = program.with_config(&block);
    let check = program.json(&["config", "check"]).await;
    assert_eq!(check["apps"].as_array().unwrap().len(), 1);
    let listed = program.json(&["app", "list"]).await;
    assert_eq!(listed["data"][0]["id"], check["apps"][0]);
    assert_eq!(listed["data"][0].get("secret"), None);
    let made = program.json(&["app", "create"]).await;
    let keys: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "key", "secret"]);
}

#[actix_rt::test]
async fn the_environment_overrides_the_file() {
    let file = "[limits]\nqueue_bytes = 5000\n[database]\nurl = \"sqlite:file.db\"";
    let good = Program::new().with_config(file);
    assert_eq!(good.run(&["config", "check"]).await.code, 0);
    let zero = Program::new().with_config(file).with_env("BELLWIRE__LIMITS__QUEUE_BYTES", "0");
    let answer = zero.run(&["config", "check"]).await;
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("limits.queue_bytes"), "{answer:?}");
    let conventional = Program::new().with_config(file).with_env("DATABASE_URL", "sqlite:env.db");
    conventional.json(&["tenant", "create", "--name", "A"]).await;
    assert!(conventional.folder().join("env.db").exists());
    assert!(!conventional.folder().join("file.db").exists());
}

#[actix_rt::test]
async fn an_app_can_come_from_the_environment_alone() {
    let apps = r#"[{id="7",key="k",secret="s"}]"#;
    let program = Program::new().with_env("BELLWIRE__APPS", apps);
    assert_eq!(program.json(&["config", "check"]).await["apps"], json!(["7"]));
}

#[actix_rt::test]
async fn a_configuration_that_is_wrong_says_where() {
    let says = async |program: Program| {
        let answer = program.run(&["config", "check"]).await;
        assert_eq!(answer.code, 1, "{answer:?}");
        answer.stderr
    };
    assert!(says(Program::new().with_config("[server]\nbnd = 1")).await.contains("bnd"));
    assert!(says(Program::new().with_config("[server")).await.contains("config.toml"));
    assert!(says(Program::new().with_env("BELLWIRE__LIMITS__QUEUE", "1")).await.contains("queue"));
    let missing = Program::new().run(&["config", "check", "--config", "nowhere.toml"]).await;
    assert!(missing.stderr.contains("nowhere.toml"), "{missing:?}");
}

#[actix_rt::test]
async fn a_database_that_is_away_is_a_clear_failure() {
    let away = Program::on("postgres://nobody@127.0.0.1:1/none").run(&["tenant", "list"]).await;
    assert_eq!((away.code, away.stderr.lines().count()), (1, 1), "{away:?}");
    let unknown = Program::on("mysql://localhost/shop").run(&["tenant", "list"]).await;
    assert!(unknown.stderr.contains("sqlite:PATH or postgres://"), "{unknown:?}");
}
