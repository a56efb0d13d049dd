//! The served file over time: who asks at the same time shares one look at it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{spawn_blocking, yield_now};

use crate::file::disk::within_patience;
use crate::file::identity::Identity;
use crate::file::look::Looker;
use crate::file::open::Links;
use crate::file::snapshot::Snapshot;

/// The file that is served.
///
/// Invariant: what [`Source::snapshot`] returns is as fresh as the file. It comes from a look that began after the question.
pub struct Source {
    path: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    /// Locked while a look is under way; then nobody else wants it.
    looker: Mutex<Looker>,
    board: Mutex<Board>,
    /// The number of looks that have ended on another thread.
    ended: watch::Sender<u64>,
}

/// What is known of the looks.
struct Board {
    /// How many have begun.
    begun: u64,
    /// The number of the look that `latest` is from.
    number: u64,
    latest: Result<Arc<Snapshot>, Trouble>,
    /// Whether one is under way on another thread.
    is_away: bool,
    /// Whether the next one returns at once, so that it can be made here.
    is_prompt: bool,
    generation_changes: u64,
}

/// Why there is no snapshot.
#[derive(Clone)]
struct Trouble {
    kind: io::ErrorKind,
    reason: Arc<str>,
}

impl Source {
    /// The file at `path`, which may not be there yet.
    pub fn new(path: PathBuf, identity: Identity, links: Links) -> Self {
        let unknown = Trouble { kind: io::ErrorKind::NotFound, reason: "nobody has looked yet".into() };
        let board = Board {
            begun: 0,
            number: 0,
            latest: Err(unknown),
            is_away: false,
            is_prompt: false,
            generation_changes: 0,
        };
        let looker = Mutex::new(Looker::new(path.clone(), identity, links));
        let shared = Shared { looker, board: Mutex::new(board), ended: watch::Sender::new(0) };
        Self { path, shared: Arc::new(shared) }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often the file was seen to have become another one, or empty.
    pub fn generation_changes(&self) -> u64 {
        self.shared.board().generation_changes
    }

    /// The file as the last look found it; `None` if it found none. This does not wait for a disk.
    pub fn last_known(&self) -> Option<Arc<Snapshot>> {
        self.shared.board().latest.as_ref().ok().cloned()
    }

    /// The time since the newest line came, as the last look found it; `None` while there is no line.
    pub fn newest_line_age(&self) -> Option<Duration> {
        self.last_known()?.newest_line_age()
    }

    /// The file as it is now.
    ///
    /// Yields once, then one look serves all who wait. It is made here where the file system answers at once, else on
    /// another thread: one look at a time, however many wait for it.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the disk does not answer as long as a client waits; when there is no file, or none that may be read.
    pub async fn snapshot(&self) -> io::Result<Arc<Snapshot>> {
        let asked = self.shared.board().begun;
        yield_now().await;
        match self.shared.look_here(asked) {
            Some(found) => found.map_err(io::Error::from),
            None => within_patience(self.look_elsewhere(asked)).await,
        }
    }

    /// Waits for a look on another thread that began after `asked` others.
    async fn look_elsewhere(&self, asked: u64) -> io::Result<Arc<Snapshot>> {
        let mut ended = self.shared.ended.subscribe();
        loop {
            if let Some(found) = self.shared.board().since(asked) {
                return found.map_err(io::Error::from);
            }
            if self.shared.board().begin() {
                let shared = Arc::clone(&self.shared);
                spawn_blocking(move || shared.look_away());
            }
            ended.changed().await.map_err(io::Error::other)?;
        }
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looker(&self) -> MutexGuard<'_, Looker> {
        self.looker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a look found that began after `asked` others, or finds now; `None` if that takes another thread.
    fn look_here(&self, asked: u64) -> Option<Result<Arc<Snapshot>, Trouble>> {
        let mut board = self.board();
        if let Some(found) = board.since(asked) {
            return Some(found);
        }
        if !board.is_prompt || !board.begin() {
            return None;
        }
        self.look(board);
        self.board().since(asked)
    }

    fn look_away(&self) {
        self.look(self.board());
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Makes the look that has begun.
    fn look(&self, board: MutexGuard<'_, Board>) {
        let number = board.begun;
        drop(board);
        let mut looker = self.looker();
        let found = looker.look();
        let is_prompt = looker.is_prompt();
        let mut board = self.board();
        if let Some(found) = found.transpose() {
            board.latest = found.map_err(Trouble::from);
            board.number = number;
        }
        board.generation_changes = looker.generation_changes();
        (board.is_prompt, board.is_away) = (is_prompt, false);
    }
}

impl Board {
    /// What was found by a look that began after `asked` others.
    fn since(&self, asked: u64) -> Option<Result<Arc<Snapshot>, Trouble>> {
        (self.number > asked).then(|| self.latest.clone())
    }

    /// Begins a look, unless one is under way.
    fn begin(&mut self) -> bool {
        if self.is_away {
            return false;
        }
        self.is_away = true;
        self.begun += 1;
        true
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self { kind: error.kind(), reason: error.to_string().into() }
    }
}

impl From<Trouble> for io::Error {
    fn from(Trouble { kind, reason }: Trouble) -> Self {
        Self::new(kind, &*reason)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_one_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "1\n").unwrap();
        let source = Source::new(path.clone(), Identity::Own, Links::Beneath);
        let looks = || source.shared.board().begun;
        // The first of them looks on another thread, because nothing is known of the file system; the second does not.
        for length in [2, 4] {
            let before = looks();
            let snapshots = join_all((0..10).map(|_| source.snapshot())).await;
            assert!(snapshots.iter().all(|found| found.as_ref().unwrap().length() == length));
            assert_eq!(looks() - before, 1);
            std::fs::write(&path, "1\n2\n").unwrap();
        }
        assert_eq!(source.last_known().unwrap().length(), 4);
        std::fs::remove_file(&path).unwrap();
        let before = looks();
        let lost = join_all((0..10).map(|_| source.snapshot())).await;
        assert!(lost.iter().all(|lost| lost.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)));
        assert_eq!(looks() - before, 1, "a failure is shared, too");
        assert!(source.last_known().is_none());
    }
}
