//! The names of a file that is rotated, and how they pass from one file to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::append::names;

/// Gives the file at `path` the name `rotated`, too. What had that name has it until then.
///
/// # Errors
///
/// When a name can't be changed.
pub fn link(path: &Path, rotated: &Path) -> anyhow::Result<()> {
    let linked = with_suffix(rotated, ".new");
    remove(&linked)?;
    if fs::hard_link(path, &linked).is_err() {
        return Ok(fs::rename(path, rotated)?); // a file system without links: for an instant no file has the name
    }
    fs::rename(&linked, rotated)?;
    remove(&linked) // still there if both are names of the file already
}

/// Takes back a rotation that was interrupted when the file had both names: it would grow under both.
///
/// # Errors
///
/// When a name can't be looked up or removed.
pub fn undo(path: &Path) -> anyhow::Result<()> {
    let Ok(path) = fs::canonicalize(path) else { return Ok(()) };
    let (rotated, fresh) = (rotated(&path), fresh(&path));
    if fresh.exists()
        && let Ok(there) = fs::symlink_metadata(&rotated)
        && names(&path, &there)?
    {
        remove(&rotated)?;
        remove(&fresh)?;
    }
    Ok(())
}

/// The name of what was rotated away.
pub fn rotated(path: &Path) -> PathBuf {
    with_suffix(path, ".1")
}

/// The name of the file that will take the place of `path`.
pub fn fresh(path: &Path) -> PathBuf {
    with_suffix(path, ".new")
}

/// Removes `path`, if it is there.
///
/// # Errors
///
/// When that can't be done.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
