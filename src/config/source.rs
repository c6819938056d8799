//! Where settings come from: defaults < file < environment. Flags are laid over by the command line.
//!
//! What is wrong is told by key, place and rule, never by value: any value may be a secret, and one that is misspelt
//! is seldom recognised as one.

use super::Config;
use crate::domain::{Code, Error, Result};
use figment::error::{Actual, Kind, OneOf};
use figment::providers::Env;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;
use std::path::Path;

/// The file that is read when no other is named and it exists.
const DEFAULT_FILE: &str = "config.toml";

/// Reads the settings: `file` (which must exist when named), then `BELLWIRE__SECTION__KEY`, then the
/// conventional `DATABASE_URL`. Errors name the key and where it came from.
pub fn load(file: Option<&Path>) -> Result<Config> {
    if let Some(path) = file
        && !path.is_file()
    {
        return Err(Error::new(Code::Invalid, format!("There is no configuration file {}.", path.display())));
    }
    let file = file.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|default| default.exists()));
    let figment = match file {
        Some(path) => Figment::from(File::read(path)?),
        None => Figment::new(),
    };
    let config: Config = extract(
        &figment
            .merge(Env::prefixed("BELLWIRE__").split("__"))
            .merge(Env::raw().only(&["DATABASE_URL"]).map(|_| "database.url".into()).split(".")),
    )?;
    config.validate()?;
    Ok(config)
}

/// Reads what was gathered; the error has a sentence for everything that is wrong.
pub(super) fn extract<T: DeserializeOwned>(figment: &Figment) -> Result<T> {
    let sentences = |errors: figment::Error| errors.into_iter().map(|e| sentence(&e)).collect::<Vec<_>>();
    figment.extract().map_err(|errors| wrong(&sentences(errors).join("; ")))
}

/// The settings of a file. `figment` could read it too, but puts the line where it broke into its error.
pub(super) struct File<'a> {
    path: &'a Path,
    values: Dict,
}

impl<'a> File<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let unreadable = |e| wrong(&format!("{} cannot be read: {e}", path.display()));
        Self::parse(path, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// `path` is where the text came from.
    pub(super) fn parse(path: &'a Path, text: &str) -> Result<Self> {
        let values = toml::from_str(text).map_err(|e| {
            let (line, column) = position(text, e.span().map_or(0, |span| span.start));
            // The parser's own words: a rule, or the key that stands twice.
            let rule = e.message().lines().collect::<Vec<_>>().join(", ");
            wrong(&format!("{} is no TOML at line {line}, column {column}: {rule}", path.display()))
        })?;
        Ok(Self { path, values })
    }
}

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", self.path).interpolater(|_, keys| keys.join("."))
    }

    fn data(&self) -> std::result::Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// Line and column of a byte, both counted from one.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// One of figment's errors with its key and source, and without the value.
fn sentence(error: &figment::Error) -> String {
    let rule = rule(&error.kind);
    let Some(metadata) = &error.metadata else { return rule };
    let source = metadata.source.as_ref().map_or_else(|| metadata.name.to_string(), ToString::to_string);
    if error.path.is_empty() {
        return format!("{rule} in {source}");
    }
    let profile = error.profile.clone().unwrap_or_default();
    format!("{rule} for key \"{}\" in {source}", metadata.interpolate(&profile, &error.path))
}

fn rule(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) => {
            format!("invalid type: found {}, expected {expected}", type_of(found))
        }
        Kind::InvalidValue(found, expected) => format!("invalid {}, expected {expected}", type_of(found)),
        Kind::UnknownVariant(_, known) => format!("unknown value, expected {}", OneOf(known)),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "the number is out of range".to_owned(),
        Kind::Unsupported(found) => format!("unsupported {}", type_of(found)),
        Kind::UnsupportedKey(found, expected) => {
            format!("unsupported {} for a key, expected {expected}", type_of(found))
        }
        Kind::Message(_)
        | Kind::InvalidLength(..)
        | Kind::UnknownField(..)
        | Kind::MissingField(_)
        | Kind::DuplicateField(_) => kind.to_string(),
    }
}

/// What kind of value it is; figment's own `Display` adds which.
const fn type_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "integer",
        Actual::Float(_) => "float",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "string",
        Actual::Seq => "array",
        Actual::Map => "table",
        _ => "value",
    }
}

fn wrong(what: &str) -> Error {
    Error::new(Code::Invalid, format!("The configuration is wrong: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"k\"\n";

    fn refused(text: &str) -> String {
        match File::parse(Path::new("a.toml"), text) {
            Ok(file) => extract::<Config>(&Figment::from(file)).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_by_place_and_rule_and_not_by_its_text() {
        for (line, told) in [
            ("secret = \"canary", "a.toml is no TOML at line 4, column 17: invalid basic string"),
            ("secret = \"canary\nmore\"", "a.toml is no TOML at line 4, column 17: invalid basic string"),
            ("secret = canary", "a.toml is no TOML at line 4, column 10: "),
            ("secret = \"canary\" canary", "a.toml is no TOML at line 4, column 19: "),
            ("é = \"\\canary\"", "a.toml is no TOML at line 4, column "),
            ("secret = \"canary\"\nsecret = \"canary\"", "line 5, column 1: duplicate key `secret`"),
        ] {
            let error = refused(&format!("{APP}{line}\n"));
            assert!(error.contains(told) && !error.contains("canary"), "{line}: {error}");
        }
    }

    #[test]
    fn a_wrong_value_is_told_by_key_and_file_and_not_by_itself() {
        for (text, told) in [
            (
                format!("{APP}secret = [\"canary\"]"),
                "invalid type: found array, expected a string for key \"apps.0.secret\" in a.toml",
            ),
            (format!("{APP}secret = 4711"), "found integer, expected a string for key \"apps.0.secret\""),
            (format!("{APP}secrets = \"canary\""), "unknown field: found `secrets`, expected"),
            (APP.to_owned(), "missing field `secret`"),
            ("apps = \"canary\"".to_owned(), "found string, expected a sequence for key \"apps\""),
            ("[log]\nformat = \"canary\"".to_owned(), "expected one of `auto`, `human`, `json`"),
            ("[webhooks]\nallowed_networks = [\"canary\"]".to_owned(), "\"webhooks.allowed_networks.0\""),
            ("[server]\nworkers = -4711".to_owned(), "\"server.workers\" in a.toml"),
        ] {
            let error = refused(&text);
            let silent = !error.contains("canary") && !error.contains("4711");
            assert!(error.contains(told) && error.contains("a.toml") && silent, "{text}: {error}");
        }
    }
}
