//! `Folder`: where the demo's database lives for as long as the demo does.

use crate::domain::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// A new folder among the system's temporary ones, removed with what is in it when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make() -> Result<Self> {
        let name = format!("bellwire-demo-{}", hex::encode(rand::random::<[u8; 6]>()));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|e| {
            Error::new(Code::Unavailable, format!("The folder {} cannot be made.", path.display())).because(e)
        })?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed here, the system's own cleaning of temporary files will.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
