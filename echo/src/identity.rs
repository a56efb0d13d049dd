//! Who says which generation a file is: the file itself or, for a mirror, its upstream.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::generation::{FIRST_LINE, Generation};

/// How many files a mirror is remembered to have had: the present one, the next, and what live clients still read.
const REMEMBERED: usize = 4;

/// Where the generation of a file is known from.
#[derive(Debug, Clone)]
pub enum Identity {
    /// From the file: inode, birth time and first line.
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

#[derive(Debug)]
struct Known {
    id: FileId,
    generation: Generation,
    /// Which of the mirror's copies it is, or is the beginning of.
    copy: u64,
    /// Whether the upstream's file had no line when this one had none. If it had, this one is not empty: its lines have
    /// not come yet, and whoever took it for empty would believe the upstream's to be emptied.
    was_empty: bool,
}

impl Announced {
    /// Says that this file is of this generation, and the mirror's copy of this number.
    pub fn announce(&self, file: &Metadata, generation: Generation, copy: u64) {
        self.set(id(file), generation, copy);
    }

    fn set(&self, id: FileId, generation: Generation, copy: u64) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = generation == Generation::NONE || files.iter().any(|known| known.id == id && known.was_empty);
        files.retain(|known| known.id != id);
        files.push(Known { id, generation, copy, was_empty });
        if files.len() > REMEMBERED {
            files.remove(0);
        }
    }

    /// Says that this file is not to be believed any more.
    pub fn forget(&self, file: &Metadata) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known.id != id(file));
    }

    fn copy(&self, id: FileId) -> Option<u64> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().find(|known| known.id == id).map(|known| known.copy)
    }

    fn of(&self, id: FileId, length: u64) -> io::Result<Generation> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match files.iter().find(|known| known.id == id) {
            Some(known) if length > 0 => Ok(known.generation),
            Some(known) if known.was_empty => Ok(Generation::NONE),
            Some(_) => Err(io::Error::other("the mirror has none of its lines yet")),
            None => Err(io::Error::other("it is not the file that the mirror has written")),
        }
    }
}

fn id(file: &Metadata) -> FileId {
    (file.ino(), file.created().ok())
}

impl Identity {
    /// Which of a mirror's copies a file is; nothing for a file that is not a mirror's.
    pub fn copy(&self, inode: u64, born: Option<SystemTime>) -> Option<u64> {
        match self {
            Self::Own => None,
            Self::Announced(announced) => announced.copy((inode, born)),
        }
    }

    /// The generation of a file with this inode, made at that time, and with `length` bytes of complete lines, which end
    /// in `end`.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or is not the mirror's.
    pub fn generation(
        &self,
        file: &File,
        inode: u64,
        born: Option<SystemTime>,
        length: u64,
        end: &[u8],
    ) -> io::Result<Generation> {
        let generation = |start: &[u8]| Generation::new(inode, born, first_line(start));
        match self {
            Self::Own if length == 0 => Ok(Generation::NONE),
            Self::Own if end.len() as u64 == length => Ok(generation(end)),
            Self::Own => {
                let mut start = [0; FIRST_LINE];
                let start = &mut start[..length.min(FIRST_LINE as u64) as usize];
                file.read_exact_at(start, 0)?;
                Ok(generation(start))
            }
            Self::Announced(announced) => announced.of((inode, born), length),
        }
    }
}

/// The first line in `start`, or all of it if no line ends there.
pub fn first_line(start: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', start).map_or(start, |newline| &start[..=newline])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_file_is_empty_only_if_the_upstreams_was() {
        let announced = Announced::default();
        let generation = Generation::of_line(b"1\n");
        let (one, two) = ((1, Some(UNIX_EPOCH)), (2, None));
        assert!(announced.of(one, 0).is_err() && announced.of(one, 2).is_err());
        announced.set(one, generation, 0);
        assert!(announced.of(one, 0).is_err());
        assert_eq!(announced.of(one, 2).unwrap(), generation);
        announced.set(two, Generation::NONE, 1);
        assert_eq!(announced.of(two, 0).unwrap(), Generation::NONE);
        announced.set(two, generation, 1); // its first line is on the way
        assert_eq!(announced.of(two, 0).unwrap(), Generation::NONE);
        // Another file that has got the inode since.
        assert!(announced.of((1, Some(UNIX_EPOCH + Duration::from_secs(1))), 2).is_err());
    }
}
