//! What a file system is worth, by its type: whether its calls return at once, and whether its inode numbers name files.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{StatFs, fstatfs, statfs};
use rustix::io::Errno;

/// The kinds that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// On a disk of this machine, or in its memory.
    Local,
    /// Layers of others: its calls return as theirs do, but inode and birth time change when a file is copied up, and
    /// differ between mounts.
    Overlay,
    /// Behind a network or another process (NFS, FUSE, 9p, ...), or unknown: a call may hang, and inode and birth time belong
    /// to the mount.
    Other,
}

/// The types that count as local (`linux/magic.h`, `statfs(2)`).
const LOCAL: [u32; 10] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0xF2F5_2010, // f2fs
    0x2FC1_2FC1, // zfs
    0xCA45_1A4E, // bcachefs
    0x7371_7368, // squashfs
    0xE0F5_E1E2, // erofs
];
const OVERLAY: u32 = 0x794C_7630;

impl FileSystem {
    /// The file system of an open file.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        match fstatfs(file) {
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(Self::Other), // a container's filter of system calls
            system => Ok(Self::from(system?)),
        }
    }

    /// The file system of a folder.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn of_folder(folder: &Path) -> io::Result<Self> {
        Ok(Self::from(statfs(folder)?))
    }

    /// Whether calls return at once, so that the server's thread may make them.
    pub fn is_prompt(self) -> bool {
        self != Self::Other
    }

    /// Whether inode and birth time name a file for all who read it, and as long as it is there.
    pub fn numbers_files(self) -> bool {
        self == Self::Local
    }
}

impl From<StatFs> for FileSystem {
    fn from(stat: StatFs) -> Self {
        match stat.f_type.cast_unsigned() as u32 {
            OVERLAY => Self::Overlay,
            kind if LOCAL.contains(&kind) => Self::Local,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_local_and_what_the_kernel_makes_up_is_not() {
        assert_eq!(FileSystem::of_folder(Path::new("/proc")).unwrap(), FileSystem::Other);
        if Path::new("/dev/shm").is_dir() {
            assert_eq!(FileSystem::of_folder(Path::new("/dev/shm")).unwrap(), FileSystem::Local);
        }
    }
}
