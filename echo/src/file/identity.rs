//! Who says which generation a file is: the file itself or, for a mirror, its upstream.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::file::generation::Generation;
use crate::file::view::View;

/// How many files a mirror is remembered to have had: the present one, the next, and what live clients still read.
const REMEMBERED: usize = 4;

/// Where the generation of a file is known from.
#[derive(Debug, Clone)]
pub enum Identity {
    /// From the file: its first line and, where they name it for all who read it, inode and birth time.
    Own,
    /// From the upstream that it mirrors.
    Announced(Arc<Announced>),
}

/// What tells a file from others, also from one that gets its inode later, where the file system tells when it was made.
type FileId = (u64, Option<SystemTime>);

/// The generations of a mirror's files. A file that took the name without the mirror's doing is none.
#[derive(Debug, Default)]
pub struct Announced {
    files: Mutex<Vec<Known>>,
}

/// What a mirror says of a file.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// The generation of the lines.
    pub generation: Generation,
    /// Which of the mirror's copies it is, or is the beginning of.
    pub copy: u64,
    /// How many bytes of whole lines the mirror has written. What lies behind them is not the upstream's.
    pub length: u64,
    /// When the upstream's file was last written, if this one has all of it.
    pub date: Option<SystemTime>,
}

#[derive(Debug)]
struct Known {
    id: FileId,
    copied: Copied,
    /// Whether the upstream's file had no line when this one had none. If it had, this one is not empty: its lines have
    /// not come yet, and whoever took it for empty would believe the upstream's to be emptied.
    was_empty: bool,
}

impl Announced {
    /// Says what is to be known of this file.
    pub fn announce(&self, file: &Metadata, copied: Copied) {
        self.set(id(file), copied);
    }

    fn set(&self, id: FileId, copied: Copied) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty =
            copied.generation == Generation::NONE || files.iter().any(|known| known.id == id && known.was_empty);
        files.retain(|known| known.id != id);
        files.push(Known { id, copied, was_empty });
        if files.len() > REMEMBERED {
            files.remove(0);
        }
    }

    /// Says that this file is not to be believed any more.
    pub fn forget(&self, file: &Metadata) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known.id != id(file));
    }

    /// Names the file, which has `length` bytes of whole lines.
    fn name(&self, id: FileId, length: u64) -> io::Result<Name> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Known { copied, was_empty, .. }) = files.iter().find(|known| known.id == id) else {
            return Err(io::Error::other("it is not the file that the mirror has written"));
        };
        let length = length.min(copied.length);
        let generation = match length {
            0 if *was_empty => Generation::NONE,
            0 => return Err(io::Error::other("the mirror has none of its lines yet")),
            _ => copied.generation,
        };
        Ok(Name { length, generation, copy: Some(copied.copy), date: copied.date })
    }
}

fn id(file: &Metadata) -> FileId {
    (file.ino(), file.created().ok())
}

/// What a file is called, and up to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The number of bytes up to and including the last newline.
    pub length: u64,
    /// What clients know the file by.
    pub generation: Generation,
    /// Of a mirror's file, the number of the copy that it is.
    pub copy: Option<u64>,
    /// When it was last written, where that is not for the file system to say: a mirror's file is as old as the upstream's.
    pub date: Option<SystemTime>,
}

impl Identity {
    /// Names the file of a view; `None` while the end of its lines is sought.
    ///
    /// # Errors
    ///
    /// When the file is not the mirror's.
    pub fn name(&self, view: &View) -> io::Result<Option<Name>> {
        let Some(length) = view.lines.length() else { return Ok(None) };
        let (opened, first_line) = (&view.opened, view.lines.first());
        let id = (view.stamp.inode(), opened.born);
        let generation = match self {
            Self::Announced(announced) => return announced.name(id, length).map(Some),
            Self::Own if length == 0 => Generation::NONE,
            Self::Own if opened.system.numbers_files() => Generation::new(id.0, id.1, first_line),
            // Inode and birth time are the mount's: other readers see others. That they agree is worth more than that a
            // replacement with the same first line shows.
            Self::Own => Generation::of_line(first_line),
        };
        Ok(Some(Name { length, generation, copy: None, date: None }))
    }

    /// Whether that is still the name of the file, which has not changed itself.
    pub fn still_names(&self, view: &View, name: Name) -> bool {
        match self {
            Self::Own => true,
            Self::Announced(_) => self.name(view).is_ok_and(|now| now == Some(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const ONE: FileId = (1, Some(UNIX_EPOCH));
    const TWO: FileId = (2, None);

    fn copied(generation: Generation, length: u64) -> Copied {
        Copied { generation, copy: 0, length, date: None }
    }

    #[test]
    fn a_file_is_empty_only_if_the_upstreams_was() {
        let announced = Announced::default();
        let generation_of = |id, length| announced.name(id, length).map(|name| name.generation).ok();
        let generation = Generation::of_line(b"1\n");
        assert_eq!((generation_of(ONE, 0), generation_of(ONE, 2)), (None, None));
        announced.set(ONE, copied(generation, 2));
        assert_eq!((generation_of(ONE, 0), generation_of(ONE, 2)), (None, Some(generation)));
        announced.set(TWO, copied(Generation::NONE, 0));
        assert_eq!(generation_of(TWO, 0), Some(Generation::NONE));
        announced.set(TWO, copied(generation, 0)); // its first line is on the way
        assert_eq!(generation_of(TWO, 0), Some(Generation::NONE));
        // Another file that has got the inode since.
        assert_eq!(generation_of((1, Some(UNIX_EPOCH + Duration::from_secs(1))), 2), None);
    }

    #[test]
    fn what_the_mirror_has_not_written_does_not_count() {
        let announced = Announced::default();
        announced.set(ONE, copied(Generation::of_line(b"1\n"), 2));
        assert_eq!(announced.name(ONE, 100).unwrap().length, 2);
        announced.set(ONE, copied(Generation::of_line(b"1\n"), 4));
        assert_eq!(announced.name(ONE, 100).unwrap().length, 4);
        assert_eq!(announced.name(ONE, 3).unwrap().length, 3, "somebody has truncated it");
    }
}
