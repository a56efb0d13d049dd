//! The file at one instant: opened once, its length fixed, never looked at beyond it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::{FileType, OFlags, Stat, fstat, stat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::generation::Generation;
use crate::identity::Identity;

/// How much of the file's end is read, and kept for answers, when a snapshot is taken, in bytes.
const END: u64 = 16 * 1024;
/// Two writes within one tick of the kernel's clock can leave the same stamp, so a stamp younger than this proves nothing.
/// Ticks last 10 ms at most.
const SETTLED: Duration = Duration::from_millis(50);
/// How often a file that is truncated just while we look at it is looked at again.
const ATTEMPTS: u32 = 10;

/// What an answer is made from. Whatever happens to the file meanwhile, the answer stays the one that was begun.
#[derive(Debug)]
pub struct Snapshot {
    file: Arc<File>,
    identity: Identity,
    /// When the file was made, where the file system tells.
    born: Option<SystemTime>,
    /// What the file system said when the snapshot was taken.
    pub stamp: Stamp,
    /// Whether the stamp is old enough for any change since to show in another one.
    pub is_settled: bool,
    /// The number of bytes up to and including the last newline.
    pub length: u64,
    /// The identity of the file.
    pub generation: Generation,
    /// Of a mirror's file, the number of the copy that it is.
    pub copy: Option<u64>,
    /// The number of the file's edition, which the source gives to what it has seen.
    pub edition: u64,
    /// The last bytes up to the length, which most clients want.
    end: Bytes,
}

/// What in a file's metadata tells one state of a file from another.
#[derive(Debug, PartialEq, Eq)]
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
    /// The stamp of what `path` names now.
    ///
    /// # Errors
    ///
    /// When it names nothing that can be looked at.
    pub fn of_path(path: &Path) -> io::Result<Self> {
        Ok(Self::from(stat(path)?))
    }

    /// What names the file as long as it is there or open, whatever its path.
    pub fn file(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether `other` is of the same file, and whoever may open the one may open the other.
    fn is_same_file(&self, other: &Self) -> bool {
        (self.file(), self.access) == (other.file(), other.access)
    }

    fn is_regular_file(&self) -> bool {
        FileType::from_raw_mode(self.access.0) == FileType::RegularFile
    }

    /// Whether the file was last changed, in any way, so long ago that any change since shows in another stamp.
    fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(time(self.modified.max(self.changed))).is_ok_and(|age| age >= SETTLED)
    }
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

/// Times before the epoch count as the epoch itself.
fn time((seconds, nanoseconds): Time) -> SystemTime {
    UNIX_EPOCH + Duration::new(u64::try_from(seconds).unwrap_or_default(), nanoseconds as u32)
}

impl Snapshot {
    /// Takes a snapshot of the file that `path` names now, and whose generation `identity` knows.
    ///
    /// # Errors
    ///
    /// When the file can't be opened or read, or is not a regular file.
    pub fn take(path: &Path, identity: &Identity) -> io::Result<Self> {
        // Without O_NONBLOCK, opening a FIFO would wait for its writer.
        let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
        let born = file.metadata()?.created().ok();
        Self::refreshed(&Arc::new(file), identity, born)
    }

    /// Takes a newer snapshot of a file whose name now leads to what is `found`; `None` if that is another file. All
    /// snapshots of a file share one file descriptor.
    pub fn again(&self, found: Stamp) -> Option<io::Result<Self>> {
        found.is_same_file(&self.stamp).then(|| match Self::of(&self.file, found, &self.identity, self.born) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.refresh(),
            taken => taken,
        })
    }

    /// Takes another snapshot of the same file, even if it has lost its name meanwhile.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub fn refresh(&self) -> io::Result<Self> {
        Self::refreshed(&self.file, &self.identity, self.born)
    }

    fn refreshed(file: &Arc<File>, identity: &Identity, born: Option<SystemTime>) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::of(file, Stamp::from(fstat(file)?), identity, born) {
                // The file shrank between two of our looks at it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && attempt < ATTEMPTS => attempt += 1,
                taken => return taken,
            }
        }
    }

    fn of(file: &Arc<File>, stamp: Stamp, identity: &Identity, born: Option<SystemTime>) -> io::Result<Self> {
        if !stamp.is_regular_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let is_settled = stamp.is_settled();
        let (length, end) = last_lines(file, stamp.size)?;
        let generation = identity.generation(file, stamp.inode, born, length, &end)?;
        let copy = identity.copy(stamp.inode, born);
        let (file, identity) = (Arc::clone(file), identity.clone());
        Ok(Self { file, identity, born, stamp, is_settled, length, generation, copy, edition: 0, end })
    }

    /// Whether `other` is of the same state of the file, as far as can be told without reading all of it.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.stamp, self.length, self.generation) == (&other.stamp, other.length, other.generation)
            && self.end == other.end
    }

    /// Whether the bytes from `start` on were read when the snapshot was taken.
    pub fn holds(&self, start: u64) -> bool {
        start >= self.end_begins()
    }

    fn end_begins(&self) -> u64 {
        self.length - self.end.len() as u64
    }

    /// When the file was last written.
    pub fn modified(&self) -> SystemTime {
        time(self.stamp.modified)
    }

    /// Fills `buffer` with the bytes from `offset` on, if that takes no waiting for a disk; returns whether it did. It does
    /// not where the file system can't tell.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the bytes are not there any more; any error of reading the file.
    pub fn read_from_memory(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        match preadv2(&*self.file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(count == buffer.len()),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes in `range`, which lies within the length.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when they are not there any more; any error of reading the file.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let end_begins = self.end_begins();
        match range.start.checked_sub(end_begins) {
            Some(start) => Ok(self.end.slice(start as usize..(range.end - end_begins) as usize)),
            None => read(&self.file, range).map(Bytes::from),
        }
    }
}

/// The bytes of `file` in `range`.
///
/// # Errors
///
/// `UnexpectedEof` when they are not all there; any error of reading the file.
pub fn read(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// The number of bytes up to and including the last newline before `size`.
///
/// # Errors
///
/// When the file can't be read.
pub fn end_of_last_line(file: &File, size: u64) -> io::Result<u64> {
    last_lines(file, size).map(|(length, _)| length)
}

/// The number of bytes up to and including the last newline before `size`, and the last of those bytes. Reads
/// backwards, only as far as it must.
fn last_lines(file: &File, size: u64) -> io::Result<(u64, Bytes)> {
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(END);
        let mut chunk = read(file, start..end)?;
        if let Some(newline) = memchr::memrchr(b'\n', &chunk) {
            chunk.truncate(newline + 1);
            return Ok((start + chunk.len() as u64, chunk.into()));
        }
        end = start;
    }
    Ok((0, Bytes::new()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// A file with one line, and the folder that it goes away with.
    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "1\n").unwrap();
        (folder, path)
    }

    fn append(path: &Path, text: &str) {
        io::Write::write_all(&mut OpenOptions::new().append(true).open(path).unwrap(), text.as_bytes()).unwrap();
    }

    fn truncate(path: &Path, length: u64) {
        OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
    }

    #[test]
    fn a_file_is_settled_a_moment_after_its_last_change_of_any_kind() {
        let (_folder, path) = file();
        let set_modified = |time| OpenOptions::new().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let is_settled = || Stamp::of_path(&path).unwrap().is_settled();
        set_modified(SystemTime::now() + Duration::from_mins(1));
        assert!(!is_settled(), "it has no age yet");
        let changed = Instant::now();
        set_modified(UNIX_EPOCH);
        while !is_settled() {
            assert!(changed.elapsed() < Duration::from_mins(1));
            thread::yield_now();
        }
        assert!(changed.elapsed() > SETTLED / 2, "a change of its metadata is one, too");
    }

    #[test]
    fn a_file_that_shrank_after_the_look_at_it_is_looked_at_again() {
        let (_folder, path) = file();
        let snapshot = Snapshot::take(&path, &Identity::Own).unwrap();
        append(&path, "22\n");
        let found = Stamp::of_path(&path).unwrap();
        truncate(&path, 3);
        assert_eq!(snapshot.again(found).unwrap().unwrap().length, 2);
    }

    /// Now and then a look meets with a truncation, which must not be seen by anybody.
    #[test]
    fn a_file_that_shrinks_all_the_time_can_be_read_all_the_time() {
        let (_folder, path) = file();
        let snapshot = Snapshot::take(&path, &Identity::Own).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..3000 {
                    append(&path, &"2\n".repeat(5000));
                    thread::sleep(Duration::from_micros(100));
                    truncate(&path, 2);
                }
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                snapshot.refresh().unwrap();
            }
        });
    }
}
