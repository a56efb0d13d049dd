//! One writer a file: who holds the lock of the companion `PATH.lock` is the one.
//!
//! The lock is not on the file itself, since whoever may read that could lock it, and so keep its writer out. Only the user
//! who made the companion may open it. Where no companion can be made, or it is another user's, the file itself is locked.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tracing::warn;

use crate::file::open;
use crate::file::status::{Doing, Status};

/// How often a writer says at most that it is alive.
const PULSE: Duration = Duration::from_millis(500);

/// The right to write a file, for as long as this lives.
pub struct Lock {
    path: PathBuf,
    /// The companion, or why there is none.
    companion: Result<Companion, io::Error>,
}

struct Companion {
    file: File,
    status: Status,
    told: Instant,
}

impl Lock {
    /// Takes the lock of the file at `path`, as far as a companion can be had.
    ///
    /// # Errors
    ///
    /// When another process has it, or there is something else in the companion's place.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        let companion = of(path);
        for _ in 0..3 {
            let file = match open_or_make(&companion) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue, // made, or removed, just now
                Err(error) if is_no_companion(&error) => {
                    return Err(error).with_context(|| format!("cannot use {} as a lock", companion.display()));
                }
                Err(error) => return Ok(Self { path: path.to_owned(), companion: Err(error) }),
            };
            if !try_lock(&file, &companion) {
                let who = Status::read(&companion).map(|status| format!(": process {} on {}", status.pid, status.host));
                bail!("another generator is appending to {}{}", path.display(), who.unwrap_or_default());
            }
            // Somebody may have removed it between the open and the lock.
            if open::names(&companion, &open::stat(&companion, &file)?)? {
                let status = Status::now(Doing::Counting(0));
                let _ = status.write(&file); // on a full disk it says nothing
                return Ok(Self {
                    path: path.to_owned(),
                    companion: Ok(Companion { file, status, told: Instant::now() }),
                });
            }
        }
        bail!("{} is removed again and again", companion.display())
    }

    /// Locks the `file` itself, too: it keeps out those who have no companion, and matters where there is none.
    ///
    /// # Errors
    ///
    /// When this is the only lock, and another process has it.
    pub fn cover(&self, file: &File) -> anyhow::Result<()> {
        if self.companion.is_ok() {
            let _ = flock(file, FlockOperation::NonBlockingLockExclusive);
        } else if !try_lock(file, &self.path) {
            bail!("another generator is appending to {}, or somebody else has locked it", self.path.display());
        }
        Ok(())
    }

    /// Why there is no companion, if there is none.
    pub fn lacks_companion(&self) -> Option<String> {
        let error = self.companion.as_ref().err()?;
        Some(format!("cannot make {}: {error}", of(&self.path).display()))
    }

    /// Whether there is a companion, and it is the one that others find.
    pub fn holds(&self) -> bool {
        self.companion.is_ok() && !self.is_lost()
    }

    /// Whether somebody has removed the companion, so that another process could make and lock a new one.
    pub fn is_lost(&self) -> bool {
        self.companion.as_ref().is_ok_and(|companion| companion.file.metadata().is_ok_and(|held| held.nlink() == 0))
    }

    /// Says that the writer is alive, and what it does.
    pub fn tell(&mut self, doing: Doing) {
        if let Ok(companion) = &mut self.companion
            && (companion.told.elapsed() >= PULSE || doing.is_other_than(companion.status.doing))
        {
            companion.told = Instant::now();
            companion.status.renew(doing);
            let _ = companion.status.write(&companion.file); // a probe goes by the file's own date then
        }
    }
}

/// The companion of `path`.
pub fn of(path: &Path) -> PathBuf {
    open::with_suffix(path, ".lock")
}

fn open_or_make(companion: &Path) -> io::Result<File> {
    match open::companion(companion)? {
        Some(file) => Ok(file),
        None => open::new_companion(companion),
    }
}

/// Whether something stands there that can never become a companion, rather than nothing, or what may not be touched.
fn is_no_companion(error: &io::Error) -> bool {
    let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    is_link || matches!(error.kind(), io::ErrorKind::Other | io::ErrorKind::IsADirectory)
}

/// Locks `file`, which `path` names. Returns whether nobody else has the lock.
fn try_lock(file: &File, path: &Path) -> bool {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return false,
        Err(error) => warn!("cannot lock {}, so nothing keeps a second generator out: {error}", path.display()),
        Ok(()) => {}
    }
    true
}
