//! Appending whole lines to a file that anybody may truncate, replace or delete meanwhile, on a disk that may be full.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tracing::{info, warn};

use crate::file::lines::{self, Count};
use crate::file::lock::Lock;
use crate::file::status::Doing;
use crate::file::{checkpoint, disk, open, rotation};
use crate::halt::Halt;
use numbers::{LONGEST_LINE, Lines, Numbers};

/// How much is handed to one `write` when lines are batched, in bytes.
const BATCH: usize = 64 * 1024;
/// How many more bytes make it worth while to keep their count for the next start: what is read in some milliseconds.
const WORTH_KEEPING: u64 = 8 << 20;
/// How often a count is kept at most while lines are written.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// The one writer of a file.
///
/// Invariant: what stands in the file after the last newline is the beginning of `rest`, and nothing else. So a torn
/// line is completed by writing `rest`, and dropping `rest` has to be paired with cutting the torn piece off.
pub struct Appender {
    path: PathBuf,
    durable: bool,
    max_size: Option<u64>,
    numbers: Numbers,
    halt: Arc<Halt>,
    /// Made when lines are first batched.
    all: OnceCell<Lines>,
    /// `None` until the file is opened.
    lock: Option<Lock>,
    /// `None` until the file is opened.
    file: Option<File>,
    /// The length that the file has if nobody else touched it, in bytes.
    size: u64,
    /// The complete lines in the file; only kept right where the numbers depend on it.
    lines: u64,
    /// The count that was kept last.
    kept: Count,
    kept_at: Instant,
    /// Whether that failed, and whether there is no companion to lock: each is said once.
    cannot_keep: Once,
    lacks_companion: Once,
    /// Bytes of lines that no `write` has taken yet.
    rest: Vec<u8>,
    /// Whether a durable `write` has failed. What it left behind `size` is in memory, and may never reach the disk.
    in_doubt: bool,
    /// Complete lines that this run has written.
    written: u64,
}

impl Appender {
    /// An appender that has not touched the file yet. With `durable`, every write reaches the disk before the next
    /// begins; `max_size` (in bytes) is where the file is rotated. `halt` ends what takes long.
    pub fn new(path: PathBuf, numbers: Numbers, durable: bool, max_size: Option<u64>, halt: Arc<Halt>) -> Self {
        Self {
            path,
            durable,
            max_size,
            numbers,
            halt,
            all: OnceCell::new(),
            lock: None,
            file: None,
            size: 0,
            lines: 0,
            kept: Count::default(),
            kept_at: Instant::now(),
            cannot_keep: Once::default(),
            lacks_companion: Once::default(),
            rest: Vec::new(),
            in_doubt: false,
            written: 0,
        }
    }

    /// How many complete lines this run has written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends one line, in one `write`. When an earlier line was left torn, that one is finished instead.
    ///
    /// # Errors
    ///
    /// When the file can't be opened, locked or written. Nothing is lost: the next call goes on where this one ended.
    pub fn append_line(&mut self) -> anyhow::Result<()> {
        self.append(1)
    }

    /// Appends as many lines as one large `write` holds, but at most `lines`.
    ///
    /// # Errors
    ///
    /// As [`Appender::append_line`].
    pub fn append_batch(&mut self, lines: u64) -> anyhow::Result<()> {
        self.append(lines.min(BATCH as u64 / LONGEST_LINE))
    }

    /// Ends this run. A line that was left torn is finished or, where there is still no room, cut off. Returns how many
    /// complete lines were written.
    pub fn close(mut self) -> u64 {
        self.let_go(true);
        self.keep(Count { lines: self.lines, bytes: self.size });
        self.written
    }

    fn append(&mut self, lines: u64) -> anyhow::Result<()> {
        let before = self.written;
        self.attach()?;
        // A file that was given up may have got its last lines meanwhile.
        let left = lines.saturating_sub(self.written - before);
        if left > 0 && self.rest.is_empty() {
            self.fill(left)?;
        }
        self.write_rest().with_context(|| format!("cannot append to {}", self.path.display()))?;
        tell(&mut self.lock, Doing::Appending);
        if self.numbers.seeded() && self.kept_at.elapsed() >= KEEP_EVERY {
            self.kept_at = Instant::now();
            self.keep(Count { lines: self.lines, bytes: self.size });
        }
        Ok(())
    }

    /// Puts the next lines into `rest`, up to the size at which the file is rotated.
    fn fill(&mut self, lines: u64) -> anyhow::Result<()> {
        let mut line = self.first_line();
        if self.max_size.is_some_and(|max| self.size + line.len() as u64 > max) {
            self.rotate().with_context(|| format!("cannot rotate {}", self.path.display()))?;
            line = self.first_line();
        }
        self.rest.append(&mut line);
        let room = self.max_size.map_or(u64::MAX, |max| max - self.size);
        let fitting = room.saturating_sub(self.rest.len() as u64) / LONGEST_LINE;
        let more = fitting.min(lines - 1) as usize;
        if more > 0 {
            self.all.get_or_init(Lines::all).push(&mut self.numbers, more, &mut self.rest);
        }
        Ok(())
    }

    /// The line that belongs at the end of the file as it is now, whatever was drawn and dropped before.
    fn first_line(&mut self) -> Vec<u8> {
        let mut line = Vec::with_capacity(LONGEST_LINE as usize);
        self.numbers.seek(self.lines);
        self.numbers.push_line(&mut line);
        line
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while !self.rest.is_empty() {
            match file.write(&self.rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.size += taken as u64;
                    let lines = lines::newlines(&self.rest[..taken]);
                    self.lines += lines;
                    self.written += lines;
                    self.rest.drain(..taken);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.in_doubt = self.durable;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Cuts off what a durable `write` that failed has left: it stands in `rest`, too, and is written once more. The
    /// kernel would not try again by itself. Returns whether there was any.
    fn take_back(&mut self) -> io::Result<bool> {
        let Some(file) = self.file.as_ref().filter(|_| self.in_doubt) else { return Ok(false) };
        let is_longer = file.metadata()?.len() > self.size;
        if is_longer {
            file.set_len(self.size)?;
        }
        self.in_doubt = false;
        Ok(is_longer)
    }

    /// Makes sure that `file` is what the path names, and that nobody else has changed its length.
    ///
    /// # Errors
    ///
    /// When the file can't be opened, locked, read or repaired.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        if self.lock.as_ref().is_some_and(Lock::is_lost) {
            warn!(file = %self.path.display(), "the lock was removed; taking it again");
            self.file = None; // until then, another generator may have it
        }
        let Some(file) = &self.file else { return self.open() };
        let held = match file.metadata() {
            Ok(held) => held,
            Err(error) => {
                // As after another client of a network file system has removed it. It will not come back to life.
                warn!(file = %self.path.display(), "the open file is lost: {error}");
                self.file = None;
                return self.open();
            }
        };
        if !open::names(&self.path, &held)? {
            info!(file = %self.path.display(), "the file was deleted or replaced; going on with a new one");
            self.let_go(held.nlink() > 0);
            return self.open();
        }
        let is_taken_back = self.take_back().with_context(|| format!("cannot repair {}", self.path.display()))?;
        if held.len() != self.size && !is_taken_back {
            let (file, expected, found) = (self.path.display(), self.size, held.len());
            warn!(%file, expected, found, "another program changed the length of the file");
            if let Some(file) = self.file.take() {
                return self.go_on_with(file);
            }
        }
        Ok(())
    }

    /// Gives the current file up. One that can still be read under another name must not keep a torn line.
    fn let_go(&mut self, reachable: bool) {
        if reachable && let Err(error) = self.finish() {
            warn!("the last line could not be finished and is cut off: {error}");
            let taken_back = self.take_back();
            if let Some(file) = &self.file
                && let Err(error) = taken_back.map_err(anyhow::Error::from).and_then(|_| cut_torn(file))
            {
                warn!("it could not be cut off either: {error}");
            }
        }
        self.file = None;
    }

    /// Writes what is left to write where it belongs: behind what this process has written, if that is still there.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.take_back()?;
        match &self.file {
            Some(file) if file.metadata()?.len() != self.size => cut_torn(file),
            _ => Ok(self.write_rest()?),
        }
    }

    fn open(&mut self) -> anyhow::Result<()> {
        // Before the companion, which may be what there is no room for.
        let file = open::to_append(&self.path, self.durable)?;
        let lock = match self.lock.take() {
            Some(lock) if lock.holds() => lock,
            _ => Lock::take(&self.path)?,
        };
        let lock = self.lock.insert(lock);
        lock.cover(&file)?;
        if let Some(reason) = lock.lacks_companion()
            && self.lacks_companion.is_first()
        {
            warn!(file = %self.path.display(), "readers could lock this writer out: {reason}");
        }
        if !open::names(&self.path, &open::stat(&self.path, &file)?)? {
            bail!("{} was replaced while it was opened", self.path.display());
        }
        rotation::undo(&self.path)?;
        rotation::refuse_other_names(&self.path, &file)?;
        if self.durable {
            disk::sync_folder(&self.path)?;
        }
        self.go_on_with(file)
    }

    /// Makes `file` the current one, after reading off it where to go on: behind its last complete line.
    fn go_on_with(&mut self, file: File) -> anyhow::Result<()> {
        self.rest.clear();
        self.in_doubt = false;
        let repaired = self.cut_incomplete_line(&file);
        let (size, cut) = repaired.with_context(|| format!("cannot repair {}", self.path.display()))?;
        if cut > 0 {
            warn!(file = %self.path.display(), bytes = cut, "cut off an incomplete last line");
        }
        if self.durable {
            let synced = disk::make_durable(&self.path, &file, size, BATCH as u64);
            synced.with_context(|| format!("cannot sync {}", self.path.display()))?;
        }
        if self.numbers.seeded() {
            let counted = self.count(&file, size);
            self.lines = counted.with_context(|| format!("cannot count the lines of {}", self.path.display()))?;
        }
        self.size = size;
        self.file = Some(file);
        Ok(())
    }

    fn cut_incomplete_line(&mut self, file: &File) -> anyhow::Result<(u64, u64)> {
        lines::cut_incomplete(file, |_| {
            tell(&mut self.lock, Doing::Counting(0));
            Ok(self.halt.check()?)
        })
    }

    /// Counts the lines in the `size` bytes of `file`, and keeps how far it came, however it ends.
    fn count(&mut self, file: &File, size: u64) -> anyhow::Result<u64> {
        let known = checkpoint::load(&self.path, file, size, &mut self.numbers).unwrap_or_default();
        let mut reached = known;
        let counted = lines::count(file, known, size, |counted, position| {
            reached = counted;
            tell(&mut self.lock, Doing::Counting(position.saturating_mul(100) / size));
            Ok(self.halt.check()?)
        });
        self.kept = known;
        self.keep(*counted.as_ref().unwrap_or(&reached));
        Ok(counted?.lines)
    }

    /// Keeps how many lines were counted or written, if that saves the next start some reading.
    fn keep(&mut self, count: Count) {
        if !self.numbers.seeded() || count.bytes < self.kept.bytes.saturating_add(WORTH_KEEPING) {
            return;
        }
        self.kept = count;
        self.kept_at = Instant::now();
        if let Err(error) = checkpoint::save(&self.path, count)
            && self.cannot_keep.is_first()
        {
            warn!(file = %self.path.display(), "cannot keep the count of lines, so each start counts them all: {error}");
        }
    }

    /// Goes on with an empty file, after giving the full one the name `PATH.1`.
    fn rotate(&mut self) -> anyhow::Result<()> {
        let lock = self.lock.as_ref();
        let file = match rotation::rotate(&self.path, self.durable, |fresh| {
            lock.map_or(Ok(()), |lock| lock.cover(fresh))
        }) {
            Err(error) if rotation::is_hopeless(&error) => {
                warn!(file = %self.path.display(), "going on without rotating, as that can't be done here: {error:#}");
                self.max_size = None;
                return Ok(());
            }
            rotated => rotated?,
        };
        info!(file = %self.path.display(), rotated = %rotation::rotated(&self.path).display(), bytes = self.size, "rotated");
        self.file = None; // where the folder can't be synced, opening the file tries that again
        (self.size, self.lines, self.kept) = (0, 0, Count::default());
        if self.durable {
            disk::sync_folder(&self.path)?;
        }
        self.file = Some(file);
        Ok(())
    }
}

/// Something that is said once.
#[derive(Default)]
struct Once(bool);

impl Once {
    fn is_first(&mut self) -> bool {
        !mem::replace(&mut self.0, true)
    }
}

/// Lets a probe know that this writer is alive.
fn tell(lock: &mut Option<Lock>, doing: Doing) {
    if let Some(lock) = lock {
        lock.tell(doing);
    }
}

/// Leaves no incomplete line in a `file` that is given up.
fn cut_torn(file: &File) -> anyhow::Result<()> {
    lines::cut_incomplete(file, |_| Ok(())).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::Path;

    use super::*;

    /// An appender that has written 3 lines durably, and whose write of the 4th has failed after the kernel took it.
    fn in_doubt(folder: &Path) -> Appender {
        let mut appender = appender(folder.join("data"));
        for _ in 0..3 {
            appender.append_line().unwrap();
        }
        appender.fill(1).unwrap();
        let mut others = OpenOptions::new().append(true).open(folder.join("data")).unwrap();
        others.write_all(&appender.rest).unwrap();
        appender.in_doubt = true;
        appender
    }

    fn appender(path: PathBuf) -> Appender {
        Appender::new(path, Numbers::new(Some(42)).unwrap(), true, None, Arc::default())
    }

    /// What a file of so many lines holds.
    fn lines(lines: u64) -> Vec<u8> {
        let folder = tempfile::TempDir::new().unwrap();
        let mut appender = appender(folder.path().join("data"));
        appender.append_batch(lines).unwrap();
        fs::read(folder.path().join("data")).unwrap()
    }

    #[test]
    fn what_a_failed_durable_write_left_is_written_once_more() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut appender = in_doubt(folder.path());
        appender.attach().unwrap();
        assert_eq!(fs::read(folder.path().join("data")).unwrap(), lines(3));
        appender.append_line().unwrap();
        assert_eq!(fs::read(folder.path().join("data")).unwrap(), lines(4));
        assert_eq!(appender.written(), 4);
    }

    #[test]
    fn what_a_failed_durable_write_left_is_not_there_twice_in_the_end() {
        let folder = tempfile::TempDir::new().unwrap();
        in_doubt(folder.path()).close();
        assert_eq!(fs::read(folder.path().join("data")).unwrap(), lines(4));
    }

    #[test]
    fn what_others_cut_off_is_not_made_up_for_by_zeros() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut appender = in_doubt(folder.path());
        let one = lines(1);
        OpenOptions::new().write(true).open(folder.path().join("data")).unwrap().set_len(one.len() as u64).unwrap();
        appender.append_line().unwrap();
        assert_eq!(fs::read(folder.path().join("data")).unwrap(), lines(2));
    }
}
