//! Where settings come from: defaults < file < environment. Flags are laid over by the command line.

use super::Config;
use crate::domain::{Code, Error, Result};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
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
    let figment = file
        .map_or_else(Figment::new, |path| Figment::from(Toml::file_exact(path)))
        .merge(Env::prefixed("BELLWIRE__").split("__"))
        .merge(Env::raw().only(&["DATABASE_URL"]).map(|_| "database.url".into()).split("."));
    let config: Config = figment
        .extract()
        .map_err(|e| Error::new(Code::Invalid, format!("The configuration is wrong: {e}")))?;
    config.validate()?;
    Ok(config)
}
