//! The key of a SQLite database: a file beside it, made once, readable by its owner alone.
//!
//! It is written under another name and linked to its own when it is whole and on the disk: whoever comes at the
//! same time finds either no file or a good one, and of two who make it one is first.

use super::vault::new_key;
use crate::config::SecretKey;
use crate::domain::{Code, Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The key in the file, which is made when there is none.
pub(super) fn make_or_read(path: &Path) -> Result<SecretKey> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let key = new_key()?;
    match place(path, &key) {
        Ok(()) => {
            tracing::info!(file = %path.display(), "made the key that seals secrets; keep it with your backups");
            Ok(key)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => read(path)?.ok_or_else(|| unusable(path, e)),
        Err(e) => Err(unusable(path, e)),
    }
}

/// The key in the file; `None` when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<SecretKey>> {
    match fs::read_to_string(path) {
        Ok(text) => SecretKey::parse(&text).map(Some).map_err(|_| unusable(path, "it does not hold a key")),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unusable(path, e)),
    }
}

fn place(path: &Path, key: &SecretKey) -> std::io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = Draft(path.with_extension(format!("key-{}", uuid::Uuid::now_v7().simple())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0)?;
    file.write_all(key.text().expose().as_bytes())?;
    file.sync_all()?;
    fs::hard_link(&draft.0, path)?;
    // The name is on the disk, too, before anything is sealed with what it leads to.
    File::open(folder)?.sync_all()
}

/// Goes under whatever name it had.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn unusable(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Code::Unavailable, format!("The key file {} cannot be used.", path.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.key");
        assert_eq!(read(&path).unwrap(), None);
        let made = make_or_read(&path).unwrap();
        assert_eq!(make_or_read(&path).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn of_many_who_make_it_at_once_all_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.key");
        let start = |_| {
            let path = path.clone();
            std::thread::spawn(move || make_or_read(&path).unwrap())
        };
        let started: Vec<_> = (0..8).map(start).collect();
        let made: Vec<_> = started.into_iter().map(|t| t.join().unwrap()).collect();
        assert!(made.iter().all(|key| *key == made[0]));
    }

    #[test]
    fn a_file_that_holds_no_key_is_an_error_and_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.key");
        fs::write(&path, "hunter2").unwrap();
        let error = make_or_read(&path).unwrap_err().to_string();
        assert!(error.contains("a.db.key") && !error.contains("hunter2"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "hunter2");
    }
}
