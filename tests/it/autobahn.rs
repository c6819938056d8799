//! The conformance cases of the Autobahn test suite (RFC 6455), against the hub's own read and write path with
//! an echo behind it.

use crate::support::echo::start_echo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The largest message of the suite.
const MESSAGE_BYTES: usize = 16 << 20;

#[actix_rt::test]
async fn the_cases_of_rfc_6455_pass() {
    pass(&["-x", "12.*", "-x", "13.*"], 301).await;
}

#[actix_rt::test]
async fn the_cases_of_permessage_deflate_pass() {
    // Messages of 256 bytes under each kind of offer, and of 128 KiB in fragments: all 216 take minutes.
    pass(
        &[
            "-i", "13.1.3", "-i", "13.2.3", "-i", "13.3.3", "-i", "13.4.3", "-i", "13.5.3", "-i", "13.6.3",
            "-i", "13.7.3", "-i", "12.1.10", "-i", "12.1.18",
        ],
        9,
    )
    .await;
}

/// Insists that the selected cases, so many, all pass and end in clean closes.
async fn pass(selection: &'static [&str], number: usize) {
    let hub = start_echo(|c| {
        c.limits.message_bytes = MESSAGE_BYTES;
        c.limits.message_fragments = MESSAGE_BYTES;
        c.limits.queue_bytes = MESSAGE_BYTES;
        c.limits.auth_timeout_seconds = 0;
        c.server.compression = true;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let cases = run_cases(hub.address.to_string() + "/echo", selection, folder.path()).await;
    let (verdicts, closes) = (count(&cases, "behavior"), count(&cases, "behaviorClose"));
    println!("{verdicts:?}; closes {closes:?}");
    println!("not strict: {:?}", named(&cases, "behavior", "NON-STRICT"));
    assert_eq!(cases.len(), number, "{verdicts:?}");
    for bad in ["FAILED", "UNIMPLEMENTED"] {
        assert_eq!(verdicts.get(bad), None, "{:?}", named(&cases, "behavior", bad));
    }
    assert_eq!(closes.keys().filter(|kind| !["OK", "INFORMATIONAL"].contains(kind)).count(), 0, "{closes:?}");
    hub.stop().await;
}

/// Runs the cases and returns what became of each, by its number.
async fn run_cases(address: String, selection: &'static [&str], folder: &Path) -> BTreeMap<String, Value> {
    let kosoku = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/kosoku");
    assert!(kosoku.exists(), "tests/run installs kosoku into target/python");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(kosoku).args([
        "-m",
        "fuzzingclient",
        &address,
        "-p",
        "8",
    ]);
    command.args(selection).arg("-o").arg(folder);
    let output = actix_rt::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let index = std::fs::read_to_string(folder.join("index.json"));
    let index = index.unwrap_or_else(|e| panic!("{e}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(&index).unwrap();
    index.into_values().next().unwrap()
}

fn count<'a>(cases: &'a BTreeMap<String, Value>, what: &str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for case in cases.values() {
        *counts.entry(case[what].as_str().unwrap()).or_default() += 1;
    }
    counts
}

fn named<'a>(cases: &'a BTreeMap<String, Value>, what: &str, is: &str) -> Vec<&'a String> {
    cases.iter().filter(|(_, case)| case[what] == is).map(|(name, _)| name).collect()
}
