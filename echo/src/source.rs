//! The served file over time: the latest snapshot, and what an operator should know of the file's fate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::yield_now;
use tracing::{info, warn};

use crate::edition::Editions;
use crate::generation::Generation;
use crate::identity::Identity;
use crate::snapshot::{Snapshot, Stamp};

/// The file that is served.
///
/// Invariant: what [`Source::snapshot`] and [`Source::shared_snapshot`] return is as fresh as the file. Every call asks
/// the file system what the path names now, or waits for one that is yet to ask; a snapshot is used again only while
/// nothing has changed.
pub struct Source {
    path: PathBuf,
    identity: Identity,
    seen: Mutex<Seen>,
    generation_changes: AtomicU64,
}

struct Seen {
    latest: Latest,
    editions: Editions,
    /// How often the file was looked at.
    looks: u64,
}

enum Latest {
    Unknown,
    Missing { reason: String },
    Taken { snapshot: Arc<Snapshot> },
}

impl Source {
    /// The file at `path`, which may not be there yet.
    pub fn new(path: PathBuf, identity: Identity) -> Self {
        let seen = Mutex::new(Seen { latest: Latest::Unknown, editions: Editions::default(), looks: 0 });
        Self { path, identity, seen, generation_changes: AtomicU64::new(0) }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often the file was seen to have become another one, or empty.
    pub fn generation_changes(&self) -> u64 {
        self.generation_changes.load(Ordering::Relaxed)
    }

    /// The file as it is now.
    ///
    /// # Errors
    ///
    /// When there is no file, or none that can be read.
    pub fn snapshot(&self) -> io::Result<Arc<Snapshot>> {
        self.look(&mut self.seen())
    }

    /// The same, by one look at the file for all who ask at the same time: it is put off until all tasks that can run
    /// have had their turn, and so comes after whatever their clients know of the file.
    ///
    /// # Errors
    ///
    /// As [`Source::snapshot`].
    pub async fn shared_snapshot(&self) -> io::Result<Arc<Snapshot>> {
        let asked = self.seen().looks;
        yield_now().await;
        let mut seen = self.seen();
        match &seen.latest {
            Latest::Taken { snapshot } if seen.looks > asked => Ok(Arc::clone(snapshot)),
            _ => self.look(&mut seen),
        }
    }

    fn look(&self, seen: &mut Seen) -> io::Result<Arc<Snapshot>> {
        seen.looks += 1;
        let again = match (Stamp::of_path(&self.path), &seen.latest) {
            (Ok(found), Latest::Taken { snapshot }) if snapshot.is_settled && snapshot.stamp == found => {
                return Ok(Arc::clone(snapshot));
            }
            (Ok(found), Latest::Taken { snapshot }) => snapshot.again(found),
            _ => None,
        };
        let taken = match (again.unwrap_or_else(|| Snapshot::take(&self.path, &self.identity)), &seen.latest) {
            (Ok(new), Latest::Taken { snapshot }) if !new.is_settled && new.is_same(snapshot) => {
                return Ok(Arc::clone(snapshot));
            }
            (taken, _) => taken.map(|mut new| {
                new.edition = seen.editions.number(&new);
                Arc::new(new)
            }),
        };
        if seen.latest.tell(&self.path, &taken) {
            self.generation_changes.fetch_add(1, Ordering::Relaxed);
        }
        seen.latest = match &taken {
            Ok(snapshot) => Latest::Taken { snapshot: Arc::clone(snapshot) },
            Err(error) => Latest::Missing { reason: error.to_string() },
        };
        taken
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latest {
    /// Logs what `next` changes, and nothing if the file only grew. Returns whether the generation is another one.
    fn tell(&self, path: &Path, next: &io::Result<Arc<Snapshot>>) -> bool {
        let file = path.display();
        match (self, next) {
            (Self::Taken { snapshot: old }, Ok(new)) => {
                let began = old.generation == Generation::NONE;
                if old.generation != new.generation && !began {
                    info!(%file, length = new.length, generation = %new.generation, "the file was replaced or emptied");
                    return true;
                }
                if new.length < old.length {
                    warn!(%file, length = new.length, before = old.length, "the file was truncated");
                }
            }
            (_, Ok(new)) => info!(%file, length = new.length, generation = %new.generation, "found the file"),
            (Self::Missing { reason }, Err(error)) if *reason == error.to_string() => {}
            (Self::Taken { .. }, Err(error)) => warn!(%file, "lost the file: {error}"),
            (_, Err(error)) => info!(%file, "waiting for the file: {error}"),
        }
        false
    }
}
