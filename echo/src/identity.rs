//! Who says which generation a file is: the file itself or, for a mirror, its upstream.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, PoisonError};

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
    by_inode: Mutex<Vec<(u64, Generation)>>,
}

impl Announced {
    /// Says that the file with this inode is of this generation.
    pub fn announce(&self, inode: u64, generation: Generation) {
        let mut by_inode = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        by_inode.retain(|(known, _)| *known != inode);
        by_inode.push((inode, generation));
        if by_inode.len() > REMEMBERED {
            by_inode.remove(0);
        }
    }

    fn of(&self, inode: u64) -> Option<Generation> {
        let by_inode = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        by_inode.iter().find(|(known, _)| *known == inode).map(|(_, generation)| *generation)
    }
}

impl Identity {
    /// The generation of a file with `length` bytes of complete lines.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or is not the mirror's.
    pub fn generation(&self, file: &File, metadata: &Metadata, length: u64) -> io::Result<Generation> {
        if length == 0 {
            return Ok(Generation::NONE);
        }
        match self {
            Self::Own => {
                let mut start = [0; FIRST_LINE];
                let start = &mut start[..length.min(FIRST_LINE as u64) as usize];
                file.read_exact_at(start, 0)?;
                Ok(Generation::new(metadata.ino(), metadata.created().ok(), first_line(start)))
            }
            Self::Announced(announced) => announced
                .of(metadata.ino())
                .ok_or_else(|| io::Error::other("it is not the file that the mirror has written")),
        }
    }
}

/// The first line in `start`, or all of it if no line ends there.
pub fn first_line(start: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', start).map_or(start, |newline| &start[..=newline])
}
