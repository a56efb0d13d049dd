//! The names of a file that is rotated, and how they pass from one file to the next.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::file::open::{names, new, remove, stat, with_suffix};

/// Gives the file at `path` the name `PATH.1`, and a new and empty one the name `path`.
///
/// The new file is made under a name of its own first, and the old one gets its second name before it loses its first:
/// whoever looks finds a file under the name at every instant. What has the name `PATH.1` keeps it until the old file takes
/// it. `prepare` is called with the new file before it has its name.
///
/// # Errors
///
/// When a name can't be changed. Then all names are as they were.
pub fn rotate(path: &Path, durable: bool, prepare: impl FnOnce(&File) -> anyhow::Result<()>) -> anyhow::Result<File> {
    let fresh = fresh(path);
    remove(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?; // left by a rotation that failed
    let file = new(&fresh, durable).with_context(|| format!("cannot make {}", fresh.display()))?;
    let rotated = prepare(&file).and_then(|()| link(path)).and_then(|()| Ok(fs::rename(&fresh, path)?));
    if let Err(error) = rotated {
        let _ = undo(path);
        let _ = remove(&fresh);
        return Err(error);
    }
    Ok(file)
}

/// Whether a rotation that failed so will never succeed: the path is a mount of its own, or the folder is closed to us.
pub fn is_hopeless(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy))
}

/// Gives the file at `path` the name `PATH.1`, too. What had that name has it until then.
fn link(path: &Path) -> anyhow::Result<()> {
    let (rotated, linked) = (rotated(path), linked(path));
    let replaced = || -> io::Result<()> {
        remove(&linked)?;
        if fs::hard_link(path, &linked).is_err() {
            return fs::rename(path, &rotated); // a file system without links: for an instant no file has the name
        }
        fs::rename(&linked, &rotated)?;
        remove(&linked) // still there if both are names of the file already
    };
    replaced().with_context(|| format!("cannot replace {}", rotated.display()))
}

/// Takes back a rotation of `file` that was interrupted when it had both names: it would grow under both.
///
/// # Errors
///
/// When a name can't be looked up or removed.
pub fn undo(path: &Path) -> anyhow::Result<()> {
    let Ok(held) = fs::symlink_metadata(path) else { return Ok(()) };
    let take_away = |name: &Path| remove(name).with_context(|| format!("cannot remove {}", name.display()));
    if names(&linked(path), &held)? {
        take_away(&linked(path))?;
    }
    let (rotated, fresh) = (rotated(path), fresh(path));
    if fs::symlink_metadata(&fresh).is_ok() && names(&rotated, &held)? {
        take_away(&rotated)?;
        take_away(&fresh)?;
    }
    Ok(())
}

/// A file that has another name may be somebody's who does not want our lines in it.
///
/// # Errors
///
/// When `file`, which `path` names, has a name beside that and `PATH.1`.
pub fn refuse_other_names(path: &Path, file: &File) -> anyhow::Result<()> {
    let held = stat(path, file)?;
    let own = if names(&rotated(path), &held)? { 2 } else { 1 };
    if held.nlink() > own {
        bail!("{} has another name somewhere (a hard link), so it may be somebody else's file", path.display());
    }
    Ok(())
}

/// The name of what was rotated away.
pub fn rotated(path: &Path) -> PathBuf {
    with_suffix(path, ".1")
}

/// The name of the file that will take the place of `path`.
fn fresh(path: &Path) -> PathBuf {
    with_suffix(path, ".new")
}

/// The name of the old file that will take the place of `PATH.1`.
fn linked(path: &Path) -> PathBuf {
    with_suffix(path, ".1.new")
}
