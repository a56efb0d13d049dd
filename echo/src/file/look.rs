//! One look at the file after another: what the path names now, and whether that is news.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::file::age::Came;
use crate::file::epoch::Epochs;
use crate::file::filesystem::FileSystem;
use crate::file::generation::Generation;
use crate::file::identity::{Identity, Name};
use crate::file::open::{Links, must_be_regular};
use crate::file::snapshot::Snapshot;
use crate::file::view::View;
use crate::permissions::folder_of;

/// How often a file that is truncated just while we look at it is looked at again.
const ATTEMPTS: u32 = 10;

/// Looks at the file, and remembers what the last look found.
pub struct Looker {
    path: PathBuf,
    identity: Identity,
    links: Links,
    /// The file as the last look found it. It may be ahead of the latest snapshot, while the end of the lines is sought.
    view: Option<View>,
    latest: Latest,
    epochs: Epochs,
    generation_changes: u64,
    /// Where the folder is, as of the last look that opened a file or found none.
    folder: Option<FileSystem>,
}

enum Latest {
    Unknown,
    Missing { reason: String },
    Taken { snapshot: Arc<Snapshot> },
}

impl Looker {
    /// Looks at the file at `path`, which may not be there yet.
    pub fn new(path: PathBuf, identity: Identity, links: Links) -> Self {
        let (view, latest, epochs) = (None, Latest::Unknown, Epochs::default());
        Self { path, identity, links, view, latest, epochs, generation_changes: 0, folder: None }
    }

    /// How often the file was seen to have become another one, or empty.
    pub fn generation_changes(&self) -> u64 {
        self.generation_changes
    }

    /// The file as it is now; `None` if this look was not enough, and the next one goes on from where it ended.
    ///
    /// # Errors
    ///
    /// When there is no file, or none that may be read.
    pub fn look(&mut self) -> io::Result<Option<Arc<Snapshot>>> {
        let mut attempt = 1;
        let found = loop {
            match self.snapshot() {
                // The file shrank between two of our calls.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && attempt < ATTEMPTS => attempt += 1,
                found => break found.transpose(),
            }
        };
        if let Some(found) = &found
            && !self.is_known(found)
        {
            self.note(found);
        }
        found.transpose()
    }

    fn snapshot(&mut self) -> io::Result<Option<Arc<Snapshot>>> {
        let found = self.links.stamp(&self.path)?;
        if let Latest::Taken { snapshot } = &self.latest
            && snapshot.view.is_settled
            && snapshot.view.stamp == found
            && self.identity.still_names(&snapshot.view, snapshot.name)
        {
            return Ok(Some(Arc::clone(snapshot)));
        }
        must_be_regular(&found)?;
        let view = match self.view.take() {
            Some(view) if view.may_read_on(&found) => view.next(Arc::clone(&view.opened), found)?,
            before => {
                let opened = Arc::new(self.links.open(&self.path)?);
                self.folder = FileSystem::of_folder(folder_of(&self.path)).ok();
                match before {
                    Some(before) => before.reopened(opened)?,
                    None => View::new(opened)?,
                }
            }
        };
        let name = self.identity.name(&view);
        self.view = Some(view.clone());
        name?.map(|name| self.finish(view, name)).transpose()
    }

    /// The snapshot of a view with this name: the last one, if it is the same.
    fn finish(&mut self, view: View, name: Name) -> io::Result<Arc<Snapshot>> {
        let epoch = self.epochs.number(&view, name)?;
        let mut newest_line = Came::now(name.date.unwrap_or_else(|| view.stamp.modified()));
        if let Latest::Taken { snapshot } = &self.latest
            && (epoch, name) == (snapshot.epoch, snapshot.name)
        {
            if view.stamp == snapshot.view.stamp && !view.is_settled {
                return Ok(Arc::clone(snapshot));
            }
            // A time of another size is that of an incomplete line. A time that was set is believed, as a mirror sets it.
            let before = &snapshot.view.stamp;
            if before.size() != view.stamp.size() || before.modified() == view.stamp.modified() {
                newest_line = snapshot.newest_line;
            }
        }
        Ok(Arc::new(Snapshot { view, identity: self.identity.clone(), name, epoch, newest_line }))
    }

    fn is_known(&self, found: &io::Result<Arc<Snapshot>>) -> bool {
        matches!((&self.latest, found), (Latest::Taken { snapshot }, Ok(found)) if Arc::ptr_eq(snapshot, found))
    }

    /// Remembers what a look found, and logs it if it is news.
    fn note(&mut self, found: &io::Result<Arc<Snapshot>>) {
        if self.latest.tell(&self.path, found) {
            self.generation_changes += 1;
        }
        self.latest = match found {
            Ok(snapshot) => Latest::Taken { snapshot: Arc::clone(snapshot) },
            Err(error) => Latest::Missing { reason: error.to_string() },
        };
        if found.is_err() {
            self.view = None; // or a deleted file would stay on the disk
            self.folder = FileSystem::of_folder(folder_of(&self.path)).ok();
        }
    }

    /// Whether the next look will return at once, as far as can be told.
    pub fn is_prompt(&self) -> bool {
        let is_known = |view: &View| view.lines.length().is_some() && view.opened.system.is_prompt();
        self.folder.is_some_and(FileSystem::is_prompt) && self.view.as_ref().is_none_or(is_known)
    }
}

impl Latest {
    /// Logs what `next` changes, and nothing if the file only grew. Returns whether the generation is another one.
    fn tell(&self, path: &Path, next: &io::Result<Arc<Snapshot>>) -> bool {
        let file = path.display();
        match (self, next) {
            (Self::Taken { snapshot: old }, Ok(new)) => {
                let began = old.generation() == Generation::NONE;
                if old.generation() != new.generation() && !began {
                    info!(%file, length = new.length(), generation = %new.generation(), "the file was replaced or emptied");
                    return true;
                }
                if new.length() < old.length() {
                    warn!(%file, length = new.length(), before = old.length(), "the file was truncated");
                }
            }
            (_, Ok(new)) => info!(%file, length = new.length(), generation = %new.generation(), "found the file"),
            (Self::Missing { reason }, Err(error)) if *reason == error.to_string() => {}
            (Self::Taken { .. }, Err(error)) => warn!(%file, "lost the file: {error}"),
            (_, Err(error)) => info!(%file, "waiting for the file: {error}"),
        }
        false
    }
}
