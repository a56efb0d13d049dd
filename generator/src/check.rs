//! `generator check`: is the generator that writes this file alive? A probe for an image that has no shell.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::file::lock;
use crate::file::status::{Doing, Status};
use crate::permissions::folder_of;

/// How long a disk may take to say anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns a sentence that says why all is well.
///
/// # Errors
///
/// When the file has not been written for three intervals and a second, although there was room to write and nothing to count;
/// and when the disk does not say.
pub async fn check(file: PathBuf, interval: Duration) -> anyhow::Result<String> {
    let name = file.display().to_string();
    let looked = timeout(PATIENCE, spawn_blocking(move || look(&file, interval))).await;
    looked
        .with_context(|| format!("the disk of {name} has not answered for {PATIENCE:?}"))?
        .context("the probe failed")?
}

fn look(file: &Path, interval: Duration) -> anyhow::Result<String> {
    let allowed = interval.saturating_mul(3).saturating_add(Duration::from_secs(1));
    let written = std::fs::metadata(file).and_then(|metadata| metadata.modified()).map(Age::of);
    let status = Status::read(&lock::of(file));
    let said = status.as_ref().and_then(Status::age);
    let file_name = file.display();
    match (written, status.map(|status| status.doing)) {
        (Ok(Age::Past(age)), _) if age <= allowed => Ok(format!("{file_name} was written {age:.1?} ago")),
        (Ok(Age::Future(age)), _) if age <= allowed => Ok(format!("{file_name} was written just now")),
        (Ok(_), Some(Doing::Counting(percent))) if said.is_some_and(|age| age <= allowed) => {
            Ok(format!("the generator is counting the lines of {file_name}: {percent} %"))
        }
        (Ok(Age::Future(_)), Some(Doing::Appending))
            if let Some(age) = said
                && age <= allowed =>
        {
            Ok(format!("{file_name} was written {age:.1?} ago"))
        }
        // A restart frees no space, so a generator that waits for some is left alone.
        _ if is_full(folder_of(file)) => Ok(format!("the disk is full; the generator waits to write {file_name}")),
        (Ok(Age::Past(age)), _) => bail!("{file_name} was last written {age:.1?} ago, which is more than {allowed:?}"),
        // Its next line would have put that right.
        (Ok(Age::Future(age)), _) => {
            bail!("{file_name} was last written before the clock was set back by {age:.1?} or more")
        }
        (Err(error), _) => Err(error).with_context(|| format!("cannot stat {file_name}")),
    }
}

/// How far a date is from now.
enum Age {
    Past(Duration),
    /// As after the clock was set back.
    Future(Duration),
}

impl Age {
    fn of(date: SystemTime) -> Self {
        SystemTime::now().duration_since(date).map_or_else(|error| Self::Future(error.duration()), Self::Past)
    }
}

/// Whether an unprivileged process finds no free block, or no free inode, on the file system of `folder`.
fn is_full(folder: &Path) -> bool {
    // Some file systems have no fixed number of blocks (ramfs) or inodes (btrfs), and say that they have none at all.
    rustix::fs::statvfs(folder)
        .is_ok_and(|fs| (fs.f_blocks > 0 && fs.f_bavail == 0) || (fs.f_files > 0 && fs.f_favail == 0))
}
