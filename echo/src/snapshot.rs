//! The file at one instant: opened once, its length fixed, never looked at beyond it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::OFlags;
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
    /// What the file system said when the snapshot was taken.
    pub stamp: Stamp,
    /// Whether the stamp is old enough for any change since to show in another one.
    pub is_settled: bool,
    /// The number of bytes up to and including the last newline.
    pub length: u64,
    /// The identity of the file.
    pub generation: Generation,
    /// The last bytes up to the length, which most clients want.
    end: Bytes,
}

/// What in a file's metadata tells one state of a file from another.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    access: (u32, u32, u32),
    size: u64,
    modified: SystemTime,
    /// The last change of content or of metadata, such as permissions.
    changed: SystemTime,
}

impl Stamp {
    /// The stamp in `metadata`.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            access: (metadata.mode(), metadata.uid(), metadata.gid()),
            size: metadata.size(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether `other` is of the same file, and whoever may open the one may open the other.
    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode, self.access) == (other.device, other.inode, other.access)
    }

    /// When the file was last changed in any way.
    fn last_change(&self) -> SystemTime {
        self.modified.max(self.changed)
    }
}

/// The time so many seconds and nanoseconds after the epoch; times before it count as the epoch itself.
fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or_default())
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
        Self::refreshed(&Arc::new(file), identity)
    }

    /// Takes a newer snapshot of a file whose name now leads to what is `found`; `None` if that is another file. All
    /// snapshots of a file share one file descriptor.
    pub fn again(&self, found: &Metadata) -> Option<io::Result<Self>> {
        Stamp::of(found).is_same_file(&self.stamp).then(|| match Self::of(&self.file, found, &self.identity) {
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
        Self::refreshed(&self.file, &self.identity)
    }

    fn refreshed(file: &Arc<File>, identity: &Identity) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::of(file, &file.metadata()?, identity) {
                // The file shrank between two of our looks at it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && attempt < ATTEMPTS => attempt += 1,
                taken => return taken,
            }
        }
    }

    fn of(file: &Arc<File>, metadata: &Metadata, identity: &Identity) -> io::Result<Self> {
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let stamp = Stamp::of(metadata);
        let is_settled = SystemTime::now().duration_since(stamp.last_change()).is_ok_and(|age| age >= SETTLED);
        let (length, end) = last_lines(file, metadata.len())?;
        let generation = identity.generation(file, metadata, length, &end)?;
        Ok(Self { file: Arc::clone(file), identity: identity.clone(), stamp, is_settled, length, generation, end })
    }

    /// When the file was last written.
    pub fn modified(&self) -> SystemTime {
        self.stamp.modified
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
        let end_begins = self.length - self.end.len() as u64;
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
