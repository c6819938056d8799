//! Reads `src/` and holds it to the rules of the house: what may use what, and what no file may do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The bands, lowest first. A folder uses folders of lower bands; folders of one band never name each other.
/// The ground has a floor of its own: `telemetry` and `storage` may be set up from `config`. The roof is three:
/// `main` runs `cli`, which builds `app`.
const BANDS: [&[&str]; 8] = [
    &["domain"],
    &["config"],
    &["telemetry", "storage"],
    &["auth", "catalog", "notifications", "realtime", "webhooks"],
    &["http"],
    &["app"],
    &["cli"],
    &["main"],
];

/// What no file may contain, why, and the files that may all the same. Tests inside a file are not judged.
const BANS: [(&str, &str, &[&str]); 8] = [
    // Joins and leaves: one a subscription, and a lost one would leave a ghost. Batches: there was room when it began.
    // Cut off: one a subscription. A broadcast that meets a full worker: its channel waits for room before the next.
    // Each place says so.
    (
        ".do_send(",
        "it ignores the bound of the mailbox",
        &[
            "realtime/hub.rs",
            "realtime/registry.rs",
            "realtime/publishing.rs",
            "realtime/fan_out/batch.rs",
            "realtime/channel/roster.rs",
        ],
    ),
    ("Utc::now", "the time is an argument", &["domain/clock.rs"]),
    ("SystemTime::now", "the time is an argument", &[]),
    ("println!", "standard output belongs to the command line's answers", &[]),
    ("static mut", "nothing is global", &[]),
    ("actix_web_actors", "it is deprecated upstream and walled in", &["realtime/session/actor.rs"]),
    ("#[allow(", "an exception is expected, with its reason", &[]),
    ("TODO", "an unfinished thing has no place on main", &[]),
];

/// Files whose one long function is a table.
const TABLES: [&str; 1] = ["telemetry/metrics.rs"];

/// Beside these, only names that begin with a dot.
const TOP_LEVEL: [&str; 15] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "config.toml",
    "deny.toml",
    "diesel.toml",
    "load-tests",
    "migrations",
    "src",
    "tests",
    // Never committed: what builds and servers leave.
    "target",
    "data",
];

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 60;

struct Source {
    /// Below `src/`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The text before the file's own tests.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
    }

    /// The folder, or the name of a file right under `src/`.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Lines of code, numbered, without those that only comment.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code().lines().enumerate().map(|(i, line)| (i + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_under(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    files_under(&src, &mut paths);
    paths.sort();
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

/// Fails with every line that `judge` found, so that one run shows all there is to mend.
fn report(judge: impl Fn(&Source, &mut String)) {
    let mut faults = String::new();
    for source in sources() {
        judge(&source, &mut faults);
    }
    assert!(faults.is_empty(), "\n{faults}");
}

fn band(room: &str) -> Option<usize> {
    BANDS.iter().position(|rooms| rooms.contains(&room))
}

/// The names after `crate::` in a line: `use crate::{a::B, c}` counts as `a` and `c`.
fn rooms_named(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let word = |text: &str| -> String {
            text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(list.split(',').map(|item| word(item.trim()))),
            None => rooms.push(word(rest)),
        }
    }
    rooms.retain(|room| band(room).is_some());
    rooms
}

#[test]
fn every_folder_has_a_band() {
    for source in sources().iter().filter(|s| s.path != "lib.rs") {
        assert!(band(source.room()).is_some(), "src/{} belongs to no band", source.path);
    }
}

#[test]
fn a_folder_uses_only_folders_of_lower_bands() {
    report(|source, faults| {
        let Some(own) = band(source.room()) else { return };
        for (number, line) in source.lines() {
            for room in rooms_named(line).iter().filter(|room| *room != source.room()) {
                if band(room).is_some_and(|other| other >= own) {
                    writeln!(faults, "src/{}:{number} uses {room}", source.path).unwrap();
                }
            }
        }
    });
}

#[test]
fn no_file_does_what_is_banned() {
    report(|source, faults| {
        for (number, line) in source.lines() {
            for (pattern, why, excepted) in BANS {
                if line.contains(pattern) && !excepted.contains(&source.path.as_str()) {
                    writeln!(faults, "src/{}:{number} has {pattern}: {why}", source.path).unwrap();
                }
            }
        }
    });
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    report(|source, faults| {
        if !source.text.starts_with("//! ") {
            writeln!(faults, "src/{} does not start with //!", source.path).unwrap();
        }
        let lines = source.text.lines().count();
        if lines > MAX_FILE_LINES {
            writeln!(faults, "src/{} has {lines} lines", source.path).unwrap();
        }
    });
}

/// Whether a function starts in this line.
fn starts_function(line: &str) -> bool {
    const BEFORE: [&str; 6] = ["pub", "pub(super)", "pub(crate)", "const", "async", "unsafe"];
    let mut words = line.split_whitespace().skip_while(|word| BEFORE.contains(word));
    words.next() == Some("fn") && !line.ends_with(';')
}

/// `rustfmt` puts a function's closing brace below its first letter, so the length can be read off.
fn long_functions(source: &Source) -> BTreeMap<String, usize> {
    let mut long = BTreeMap::new();
    let lines: Vec<&str> = source.code().lines().collect();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| starts_function(line)) {
        let close = format!("{}}}", " ".repeat(line.len() - line.trim_start().len()));
        let length = lines[start..].iter().position(|l| **l == close).unwrap_or(0) + 1;
        if length > MAX_FUNCTION_LINES {
            long.insert(format!("{}:{}", source.path, start + 1), length);
        }
    }
    long
}

#[test]
fn every_function_fits_a_screen() {
    report(|source, faults| {
        if TABLES.contains(&source.path.as_str()) {
            return;
        }
        for (place, length) in long_functions(source) {
            writeln!(faults, "src/{place} is a function of {length} lines").unwrap();
        }
    });
}

#[test]
fn the_top_level_holds_what_it_may_and_nothing_else() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let allowed = name.starts_with('.') || TOP_LEVEL.contains(&&*name);
        assert!(allowed, "{name} has no place at the top level");
    }
}
