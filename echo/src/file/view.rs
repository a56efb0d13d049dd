//! The file as one look found it, and how the next look begins from there instead of from nothing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::file::lines::Lines;
use crate::file::open::Opened;
use crate::file::stamp::Stamp;

/// Two writes within one tick of the kernel's clock can leave the same stamp, so a stamp that was first seen less than this
/// ago proves nothing. Ticks last 10 ms at most.
const SETTLED: Duration = Duration::from_millis(50);
/// The same where stamps may come from another clock, be cached, or hold whole seconds alone.
const SETTLED_ELSEWHERE: Duration = Duration::from_secs(3);

/// What is known of the file.
#[derive(Debug, Clone)]
pub struct View {
    /// The file. Views of one file share a descriptor as long as they may.
    pub opened: Arc<Opened>,
    /// What the file system said.
    pub stamp: Stamp,
    /// Its lines, or how far they were sought.
    pub lines: Lines,
    /// The same in all views that were made by reading on, each from where the one before ended.
    pub thread: Arc<()>,
    /// When this stamp was first seen.
    since: Instant,
    /// Whether the bytes were read so long after that, that any change since shows in another stamp.
    pub is_settled: bool,
}

impl View {
    /// The view of a file that was just opened.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file shrinks meanwhile; any error of reading it.
    pub fn new(opened: Arc<Opened>) -> io::Result<Self> {
        let stamp = Stamp::of(&opened.file)?;
        let lines = Lines::look(&opened.file, stamp.size())?;
        Ok(Self { opened, stamp, lines, thread: Arc::default(), since: Instant::now(), is_settled: false })
    }

    /// The view of a file that was opened at the same path.
    ///
    /// # Errors
    ///
    /// As [`View::new`].
    pub fn reopened(&self, opened: Arc<Opened>) -> io::Result<Self> {
        let stamp = Stamp::of(&opened.file)?;
        self.next(opened, stamp)
    }

    /// Whether the open file can tell what the path names now, which is `found`. Where inode numbers mean nothing, only
    /// the path can. A file that changed and did not grow may be another one, too.
    pub fn may_read_on(&self, found: &Stamp) -> bool {
        self.opened.system.numbers_files() && (self.stamp == *found || self.stamp.has_grown_into(found))
    }

    /// The view of what is `opened` now and has this stamp.
    ///
    /// # Errors
    ///
    /// As [`View::new`].
    pub fn next(&self, opened: Arc<Opened>, stamp: Stamp) -> io::Result<Self> {
        let may_be_same_file = Arc::ptr_eq(&self.opened, &opened) || !opened.system.numbers_files();
        let is_same_stamp = self.stamp == stamp;
        let file = &opened.file;
        let read_on = match () {
            () if !may_be_same_file => None,
            () if is_same_stamp => self.lines.still_hold(file)?.then(|| self.lines.go_on(file)).transpose()?,
            () if stamp.size() > self.stamp.size() => self.lines.grown(file, stamp.size())?,
            () => None,
        };
        let Some(lines) = read_on else {
            let lines = Lines::look(file, stamp.size())?;
            return Ok(Self { opened, stamp, lines, thread: Arc::default(), since: Instant::now(), is_settled: false });
        };
        let since = if is_same_stamp { self.since } else { Instant::now() };
        let is_exact = opened.system.numbers_files() && !stamp.is_coarse();
        let is_settled = since.elapsed() >= if is_exact { SETTLED } else { SETTLED_ELSEWHERE };
        Ok(Self { opened, stamp, lines, thread: Arc::clone(&self.thread), since, is_settled })
    }

    /// The next view of the same file, whatever name it has by now.
    ///
    /// # Errors
    ///
    /// As [`View::new`].
    pub fn again(&self) -> io::Result<Self> {
        self.next(Arc::clone(&self.opened), Stamp::of(&self.opened.file)?)
    }
}
