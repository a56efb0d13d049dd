//! Appending whole lines to a file that anybody may truncate, replace or delete meanwhile, on a disk that may be full.

use std::cell::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, OFlags, flock};
use tracing::{info, warn};

use crate::disk;
use crate::numbers::{LONGEST_LINE, Lines, Numbers};
use crate::rotation;

/// How much is handed to one `write` when lines are batched, in bytes.
const BATCH: usize = 64 * 1024;

/// The one writer of a file.
///
/// Invariant: what stands in the file after the last newline is the beginning of `rest`, and nothing else. So a torn
/// line is completed by writing `rest`, and dropping `rest` has to be paired with cutting the torn piece off.
pub struct Appender {
    path: PathBuf,
    durable: bool,
    max_size: Option<u64>,
    numbers: Numbers,
    /// Made when lines are first batched.
    all: OnceCell<Lines>,
    /// `None` until the file is opened.
    file: Option<File>,
    /// The length that the file has if nobody else touched it, in bytes.
    size: u64,
    /// The complete lines in the file; only kept right where the numbers depend on it.
    lines: u64,
    /// Bytes of lines that no `write` has taken yet.
    rest: Vec<u8>,
    /// Whether a durable `write` has failed. What it left behind `size` is in memory, and may never reach the disk.
    in_doubt: bool,
    /// Complete lines that this run has written.
    written: u64,
}

impl Appender {
    /// An appender that has not touched the file yet. With `durable`, every write reaches the disk before the next
    /// begins; `max_size` (in bytes) is where the file is rotated.
    pub fn new(path: PathBuf, numbers: Numbers, durable: bool, max_size: Option<u64>) -> Self {
        Self {
            path,
            durable,
            max_size,
            numbers,
            all: OnceCell::new(),
            file: None,
            size: 0,
            lines: 0,
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
        self.write_rest().with_context(|| format!("cannot append to {}", self.path.display()))
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
            self.all.get_or_init(Lines::new).push(&mut self.numbers, more, &mut self.rest);
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
                    let lines = count_newlines(&self.rest[..taken]);
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
        if !names(&self.path, &held)? {
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
                && let Err(error) = taken_back.and_then(|_| cut_incomplete_line(file))
            {
                warn!("it could not be cut off either: {error}");
            }
        }
        self.file = None;
    }

    /// Writes what is left to write where it belongs: behind what this process has written, if that is still there.
    fn finish(&mut self) -> io::Result<()> {
        self.take_back()?;
        match &self.file {
            Some(file) if file.metadata()?.len() != self.size => cut_incomplete_line(file).map(drop),
            _ => self.write_rest(),
        }
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let file = open_locked(&self.path, false, self.durable)?;
        rotation::undo(&self.path)?;
        self.go_on_with(file)
    }

    /// Makes `file` the current one, after reading off it where to go on: behind its last complete line.
    fn go_on_with(&mut self, file: File) -> anyhow::Result<()> {
        self.rest.clear();
        self.in_doubt = false;
        let repaired = cut_incomplete_line(&file);
        let (size, cut) = repaired.with_context(|| format!("cannot repair {}", self.path.display()))?;
        if cut > 0 {
            warn!(file = %self.path.display(), bytes = cut, "cut off an incomplete last line");
        }
        if self.durable {
            make_durable(&self.path, &file, size).with_context(|| format!("cannot sync {}", self.path.display()))?;
        }
        if self.numbers.seeded() {
            let counted = count_lines(&file, size);
            self.lines = counted.with_context(|| format!("cannot count the lines of {}", self.path.display()))?;
        }
        self.size = size;
        self.file = Some(file);
        Ok(())
    }

    /// Renames the full file to `<name>.1` and goes on with an empty one.
    ///
    /// The new file is made, and locked, under a name of its own first, and the old one gets its second name before it
    /// loses its first: whoever looks finds a file under the name at every instant, and no other generator can slip in.
    /// What has the name `<name>.1` keeps it until the old file takes it.
    fn rotate(&mut self) -> anyhow::Result<()> {
        // Where the path is a link, the files stay in the folder that it leads to.
        let path = fs::canonicalize(&self.path)?;
        let (rotated, fresh) = (rotation::rotated(&path), rotation::fresh(&path));
        rotation::remove(&fresh)?; // left by a rotation that failed
        let file = open_locked(&fresh, true, self.durable)?;
        rotation::link(&path, &rotated).with_context(|| format!("cannot replace {}", rotated.display()))?;
        fs::rename(&fresh, &path)?;
        info!(file = %path.display(), rotated = %rotated.display(), bytes = self.size, "rotated");
        self.file = None; // where the folder can't be synced, opening the file tries that again
        self.size = 0;
        self.lines = 0;
        sync_folder(&path, self.durable)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Opens (and creates) `path` for appending and takes the lock that makes this process its one writer. One that
/// `is_new` must not be there before, not even as a link.
fn open_locked(path: &Path, is_new: bool, durable: bool) -> anyhow::Result<File> {
    loop {
        // O_DSYNC makes `write` return only when the data is durable; O_NONBLOCK keeps a FIFO from hanging the open.
        let flags = if durable { OFlags::DSYNC | OFlags::NONBLOCK } else { OFlags::NONBLOCK };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .create_new(is_new)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(|error| crate::access::explain(path, error))?;
        let metadata = file.metadata().with_context(|| format!("cannot stat {}", path.display()))?;
        if !metadata.is_file() {
            bail!("{} is not a regular file", path.display());
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => bail!("another generator is appending to {}", path.display()),
            Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        // Between the open and the lock, the lock's last holder may have rotated the file away.
        if names(path, &metadata)? {
            sync_folder(path, durable)?;
            return Ok(file);
        }
    }
}

/// Lets the `size` bytes that an earlier run left reach the disk. Where that run was killed while the disk failed, the kernel
/// believes that they have, and only another place on the disk helps. As much may be missing as one `write` holds.
fn make_durable(path: &Path, file: &File, size: u64) -> io::Result<()> {
    file.sync_all()?;
    let Some(start) = disk::lacks(path, file, size.saturating_sub(BATCH as u64), size)? else { return Ok(()) };
    warn!(file = %path.display(), bytes = size - start, "the last lines have not reached the disk; writing them again");
    let mut tail = vec![0; (size - start) as usize];
    file.read_exact_at(&mut tail, start)?;
    file.set_len(start)?;
    let mut file = file;
    file.write_all(&tail)
}

/// Whether `path` names the very file that `held` describes.
///
/// # Errors
///
/// When that can't be looked up.
pub fn names(path: &Path, held: &fs::Metadata) -> anyhow::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot stat {}", path.display())),
    }
}

/// A new name in a folder is durable only when the folder is.
fn sync_folder(path: &Path, durable: bool) -> anyhow::Result<()> {
    if durable {
        let folder = crate::access::folder_of(path);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("cannot sync {}", folder.display()))?;
    }
    Ok(())
}

/// Cuts `file` after its last newline; returns the length that it then has and the number of bytes cut off.
fn cut_incomplete_line(file: &File) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    let complete = end_of_last_line(file, size)?;
    if complete < size {
        file.set_len(complete)?;
    }
    Ok((complete, size - complete))
}

/// The number of bytes up to and including the last newline before `size`. Reads backwards, only as far as it must.
fn end_of_last_line(file: &File, size: u64) -> io::Result<u64> {
    let mut chunk = vec![0; BATCH];
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BATCH as u64);
        let chunk = &mut chunk[..(end - start) as usize];
        file.read_exact_at(chunk, start)?;
        if let Some(newline) = memchr::memrchr(b'\n', chunk) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn count_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut chunk = vec![0; 1024 * 1024];
    let (mut lines, mut position) = (0, 0);
    while position < size {
        let wanted = chunk.len().min(usize::try_from(size - position).unwrap_or(usize::MAX));
        file.read_exact_at(&mut chunk[..wanted], position)?;
        lines += count_newlines(&chunk[..wanted]);
        position += wanted as u64;
    }
    Ok(lines)
}

fn count_newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
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
        Appender::new(path, Numbers::new(Some(42)).unwrap(), true, None)
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
