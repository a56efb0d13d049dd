//! The file at one instant: what answers are made from. Whatever happens to the file meanwhile, an answer stays the one
//! that was begun.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tracing::warn;

use crate::file::age::Came;
use crate::file::disk::{elsewhere, within_patience};
use crate::file::generation::Generation;
use crate::file::identity::{Identity, Name};
use crate::file::lines::read;
use crate::file::offset::{self, Gone, Offset};
use crate::file::view::View;

/// Whether the log has it that the kernel can't say what is in memory.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// The state of the file that an answer is about.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) view: View,
    pub(super) identity: Identity,
    pub(super) name: Name,
    pub(super) epoch: u64,
    pub(super) newest_line: Came,
}

impl Snapshot {
    /// The number of bytes up to and including the last newline.
    pub fn length(&self) -> u64 {
        self.name.length
    }

    /// The identity of the file.
    pub fn generation(&self) -> Generation {
        self.name.generation
    }

    /// The number of the epoch: of two snapshots in one epoch, the later one has the bytes of the earlier, and maybe more.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When the file was last written; of a mirror that has caught up, when the upstream's was.
    pub fn modified(&self) -> SystemTime {
        self.name.date.unwrap_or_else(|| self.view.stamp.modified())
    }

    /// When the bytes here last changed: a mirror's are younger than their date.
    pub fn changed(&self) -> SystemTime {
        let stamp = &self.view.stamp;
        if self.name.copy.is_some() { stamp.changed().max(stamp.modified()) } else { stamp.modified() }
    }

    /// The time since the newest line came; `None` while there is no line.
    pub fn newest_line_age(&self) -> Option<Duration> {
        (self.length() > 0).then(|| self.newest_line.age())
    }

    /// Whether any change since would show in another snapshot. Until then, bytes that are not held in memory may change
    /// unnoticed, where somebody writes over what is there.
    pub fn is_settled(&self) -> bool {
        self.view.is_settled
    }

    /// The offset of the end.
    pub fn end(&self) -> String {
        offset::token(self.generation(), self.length())
    }

    /// The position that `offset` means. It may lie past the end, where a replica lags behind another.
    ///
    /// # Errors
    ///
    /// When the offset is of another file.
    pub fn position_of(&self, offset: &Offset) -> Result<u64, Gone> {
        match *offset {
            Offset::Start => Ok(0),
            Offset::Now => Ok(self.length()),
            Offset::At { generation, position } if generation == self.generation() => Ok(position),
            Offset::At { .. } => Err(Gone),
        }
    }

    /// Whether the bytes from `start` to the end are held in memory.
    pub fn holds(&self, start: u64) -> bool {
        start >= self.view.lines.held_from()
    }

    /// The bytes of `range`, if they are held in memory. Those of a small file are, and the last ones of any other.
    pub fn read_from_memory(&self, range: Range<u64>) -> Option<&[u8]> {
        self.view.lines.held(range)
    }

    /// Fills the beginning of `buffer` with bytes from position `at` on, if that takes no waiting for a disk; returns how
    /// many, at least one.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the bytes are not there any more.
    pub fn read_at_once(&self, buffer: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        if let Some(held) = self.view.lines.held(at..at + buffer.len() as u64) {
            buffer.copy_from_slice(held);
            return Ok(Some(buffer.len()));
        }
        let opened = &self.view.opened;
        if !opened.system.is_prompt() {
            return Ok(None);
        }
        match preadv2(&opened.file, &mut [IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => {
                // Not for us to judge: the read that waits fails, too, if it must.
                if !IS_TOLD.swap(true, Ordering::Relaxed) {
                    warn!("cannot ask what is in memory, and so wait for the disk each time: preadv2: {error}");
                }
                Ok(None)
            }
        }
    }

    /// Fills the beginning of `buffer` with bytes from position `at` on, which lie within the length; returns how many, at
    /// least one. Waits as long as the disk does, which harms nobody else.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the bytes are not there any more; any error of reading the file.
    pub async fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if let Some(count) = self.read_at_once(buffer, at)? {
            return Ok(count);
        }
        let (opened, range) = (Arc::clone(&self.view.opened), at..at + buffer.len() as u64);
        let bytes = elsewhere(move || read(&opened.file, range)).await?;
        buffer.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// The bytes of `range`, which lies within the length.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the disk does not answer as long as a client waits; those of [`Snapshot::read`].
    pub async fn read_within(&self, range: Range<u64>) -> io::Result<Bytes> {
        if let Some(held) = self.view.lines.held(range.clone()) {
            return Ok(self.view.lines.shared(held));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut count = 0;
        while count < bytes.len() {
            let (rest, at) = (&mut bytes[count..], range.start + count as u64);
            count += match self.read_at_once(rest, at)? {
                Some(count) => count,
                None => within_patience(self.read(rest, at)).await?,
            };
        }
        Ok(bytes.into())
    }

    /// Whether `other` is of the same file on the disk.
    pub fn is_of_same_file(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.view, &other.view);
        Arc::ptr_eq(&ours.opened, &theirs.opened)
            || ours.opened.system.numbers_files() && ours.stamp.file() == theirs.stamp.file()
    }

    /// The same file as it is now, though it may have lost its name.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the disk does not answer as long as a client waits; any error of reading the file.
    pub async fn again(&self) -> io::Result<Self> {
        let (view, identity) = (self.view.clone(), self.identity.clone());
        let look = move || {
            let mut view = view.again()?;
            loop {
                match identity.name(&view)? {
                    Some(name) => return Ok((view, name)),
                    None => view = view.again()?,
                }
            }
        };
        let (view, name) = within_patience(elsewhere(look)).await?;
        Ok(Self { view, identity: self.identity.clone(), name, ..*self })
    }
}
