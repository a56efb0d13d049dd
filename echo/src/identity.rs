//! Who says which generation a file is: the file itself or, for a mirror, its upstream.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
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

/// The generations of a mirror's files, by their inodes. A file that took the name without the mirror's doing is none.
#[derive(Debug, Default)]
pub struct Announced {
    by_inode: Mutex<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    inode: u64,
    generation: Generation,
    /// Whether the upstream's file had no line when this one had none. If it had, this one is not empty: its lines have
    /// not come yet, and whoever took it for empty would believe the upstream's to be emptied.
    was_empty: bool,
}

impl Announced {
    /// Says that the file with this inode is of this generation.
    pub fn announce(&self, inode: u64, generation: Generation) {
        let mut by_inode = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty =
            generation == Generation::NONE || by_inode.iter().any(|known| known.inode == inode && known.was_empty);
        by_inode.retain(|known| known.inode != inode);
        by_inode.push(Known { inode, generation, was_empty });
        if by_inode.len() > REMEMBERED {
            by_inode.remove(0);
        }
    }

    /// Says that the file with this inode is not to be believed any more.
    pub fn forget(&self, inode: u64) {
        self.by_inode.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known.inode != inode);
    }

    fn of(&self, inode: u64, length: u64) -> io::Result<Generation> {
        let by_inode = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        match by_inode.iter().find(|known| known.inode == inode) {
            Some(known) if length > 0 => Ok(known.generation),
            Some(known) if known.was_empty => Ok(Generation::NONE),
            Some(_) => Err(io::Error::other("the mirror has none of its lines yet")),
            None => Err(io::Error::other("it is not the file that the mirror has written")),
        }
    }
}

impl Identity {
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
            Self::Announced(announced) => announced.of(inode, length),
        }
    }
}

/// The first line in `start`, or all of it if no line ends there.
pub fn first_line(start: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', start).map_or(start, |newline| &start[..=newline])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_empty_only_if_the_upstreams_was() {
        let announced = Announced::default();
        let generation = Generation::of_line(b"1\n");
        assert!(announced.of(1, 0).is_err() && announced.of(1, 2).is_err());
        announced.announce(1, generation);
        assert!(announced.of(1, 0).is_err());
        assert_eq!(announced.of(1, 2).unwrap(), generation);
        announced.announce(2, Generation::NONE);
        assert_eq!(announced.of(2, 0).unwrap(), Generation::NONE);
        announced.announce(2, generation); // its first line is on the way
        assert_eq!(announced.of(2, 0).unwrap(), Generation::NONE);
        announced.forget(2);
        assert!(announced.of(2, 0).is_err() && announced.of(2, 2).is_err());
    }
}
