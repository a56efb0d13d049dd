//! What a file system says of a file, by which one state of it is told from another.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat, fstat, lstat, stat};

/// The metadata of a file at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// The type of the file and its permissions, its user and its group.
    access: (u32, u32, u32),
    size: u64,
    modified: Time,
    /// The last change of content or of metadata, such as permissions.
    changed: Time,
}

/// Seconds since the epoch, and nanoseconds.
type Time = (i64, u64);

impl Stamp {
    /// Of what `path` names, through all links.
    ///
    /// # Errors
    ///
    /// When it names nothing that can be looked at.
    pub fn of_path(path: &Path) -> io::Result<Self> {
        Ok(Self::from(stat(path)?))
    }

    /// Of what `path` names, which may be a link.
    ///
    /// # Errors
    ///
    /// When it names nothing that can be looked at.
    pub fn of_name(path: &Path) -> io::Result<Self> {
        Ok(Self::from(lstat(path)?))
    }

    /// Of an open file.
    ///
    /// # Errors
    ///
    /// When the file system does not answer.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(fstat(file)?))
    }

    /// What names the file as long as it is there or open, whatever its path.
    pub fn file(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// The inode number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The number of bytes, of complete lines or not.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the content was last written. Times before the epoch count as the epoch itself.
    pub fn modified(&self) -> SystemTime {
        time(self.modified)
    }

    /// When anything of the file last changed, its metadata among that. Nobody can set this time.
    pub fn changed(&self) -> SystemTime {
        time(self.changed)
    }

    /// Whether `next` is of the same file, which has only grown since, and whoever may open the one may open the other.
    pub fn has_grown_into(&self, next: &Self) -> bool {
        (self.file(), self.access) == (next.file(), next.access) && self.size < next.size
    }

    /// Whether both times are of whole seconds, as those of file systems are that know no parts of one.
    pub fn is_coarse(&self) -> bool {
        (self.modified.1, self.changed.1) == (0, 0)
    }

    /// Whether this is a link.
    pub fn is_link(&self) -> bool {
        self.kind() == FileType::Symlink
    }

    /// Whether this is a regular file.
    pub fn is_regular_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.access.0)
    }
}

fn time((seconds, nanoseconds): Time) -> SystemTime {
    UNIX_EPOCH + Duration::new(u64::try_from(seconds).unwrap_or_default(), nanoseconds as u32)
}

impl From<Stat> for Stamp {
    fn from(stat: Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            access: (stat.st_mode, stat.st_uid, stat.st_gid),
            size: stat.st_size.cast_unsigned(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}
