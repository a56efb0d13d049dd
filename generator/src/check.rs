//! `generator check`: is the generator that writes this file alive? A probe for an image that has no shell.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use crate::access::folder_of;

/// Returns a sentence that says why all is well.
///
/// # Errors
///
/// When the file has not been written for three intervals and a second, although there was room to write.
pub fn check(file: &Path, interval: Duration) -> anyhow::Result<String> {
    let allowed = interval.saturating_mul(3).saturating_add(Duration::from_secs(1));
    let age = std::fs::metadata(file).and_then(|metadata| metadata.modified()).map(age_of);
    match age {
        Ok(age) if age <= allowed => Ok(format!("{} was written {age:.1?} ago", file.display())),
        // A restart frees no space, so a generator that waits for some is left alone.
        _ if is_full(folder_of(file)) => {
            Ok(format!("the disk is full; the generator waits to write {}", file.display()))
        }
        Ok(age) => bail!("{} was last written {age:.1?} ago, which is more than {allowed:?}", file.display()),
        Err(error) => Err(error).with_context(|| format!("cannot stat {}", file.display())),
    }
}

/// The time since `modified`; none at all if that is in the future, as after the clock was set back.
fn age_of(modified: SystemTime) -> Duration {
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

/// Whether an unprivileged process finds no free block, or no free inode, on the file system of `folder`.
fn is_full(folder: &Path) -> bool {
    // Some file systems have no fixed number of blocks (ramfs) or inodes (btrfs), and say that they have none at all.
    rustix::fs::statvfs(folder)
        .is_ok_and(|fs| (fs.f_blocks > 0 && fs.f_bavail == 0) || (fs.f_files > 0 && fs.f_favail == 0))
}
