//! A mirror's copy: a file with whole lines from the upstream's beginning, and its companion.
//!
//! Invariants, at every instant and so after every crash: what the copy holds is a prefix of one generation of the
//! upstream's file, and the companion names that generation before the first byte is there.

use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};

use crate::file::generation::Generation;
use crate::file::identity::{Announced, Copied};
use crate::file::lines::{Lines, read};
use crate::mirror::companion::{self, Companion, generation_of, next_of, ready_of, stamp_of};
use crate::mirror::reason::Reason;
use crate::mirror::replace;
use crate::permissions;

/// How much of a line is waited for in memory, in bytes. Of a longer line, what has come is written.
const HELD_LINE: usize = 1 << 20;
/// How long a line may be, in bytes: one that never ends would fill the disk.
const LONGEST_LINE: u64 = 64 << 20;
/// How often the end of the last line is looked for at start: once a mebibyte.
const LOOKS: u64 = LONGEST_LINE / (1 << 20) + 2;

/// A copy of the upstream's file, as far as it goes.
pub struct LocalCopy {
    path: PathBuf,
    /// Which of this process's copies it is. Made again after a loss it is the same; made aside it is the next.
    number: u64,
    /// Whether it is the copy of that number, and not what somebody else has left in its place.
    is_vouched: bool,
    /// None before anything is known of the upstream's file.
    file: Option<File>,
    companion: Companion,
    /// The companion on the disk, if it tells the length.
    ledger: Option<File>,
    length: u64,
    /// The length up to the last newline, which is what others may see.
    lines: u64,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// When the upstream's file was last written, if this one has all of it.
    date: Option<SystemTime>,
    announced: Arc<Announced>,
}

impl LocalCopy {
    /// Opens what an earlier mirror has left at `path`, if it has. It is not served before [`LocalCopy::vouch`].
    ///
    /// # Errors
    ///
    /// When the folder can't be written to, or what stands there is no mirror's.
    pub fn open(path: PathBuf, announced: Arc<Announced>) -> anyhow::Result<Self> {
        find(&path)?; // what is not ours has to be found before it is replaced
        replace::finish(&path)?;
        companion::probe(&path)?;
        let found = find(&path)?;
        let mut copy = Self::absent(path, announced);
        if let Some((file, length, companion)) = found {
            // A crash may have left the beginning of a line, and somebody else may have appended more.
            if length < file.metadata()?.len() {
                file.set_len(length)?;
            }
            (copy.file, copy.length, copy.lines, copy.companion) = (Some(file), length, length, companion);
            if companion.length.is_some() {
                copy.ledger = companion::open(&generation_of(&copy.path), OpenOptions::new().read(true).write(true))?;
            }
        }
        Ok(copy)
    }

    fn absent(path: PathBuf, announced: Arc<Announced>) -> Self {
        Self {
            path,
            number: 0,
            is_vouched: false,
            file: None,
            companion: Companion { generation: Generation::NONE, length: None, whole: None },
            ledger: None,
            length: 0,
            lines: 0,
            line: Vec::new(),
            date: None,
            announced,
        }
    }

    /// A copy to be made aside, that will take the place of this one. Whatever was made aside before is given up.
    ///
    /// # Errors
    ///
    /// When that can't be removed.
    pub fn aside(&self) -> anyhow::Result<Self> {
        replace::give_up(&self.path)?;
        Ok(Self::absent(next_of(&self.path), Arc::clone(&self.announced))
            .numbered(self.number + u64::from(self.is_vouched)))
    }

    /// The same copy under this number.
    pub fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// The number of this copy.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Lets the lines that are here be served.
    ///
    /// # Errors
    ///
    /// When the file can't be asked for its metadata.
    pub fn vouch(&mut self) -> anyhow::Result<()> {
        self.is_vouched = true;
        if self.lines > 0 { self.announce() } else { Ok(()) }
    }

    /// Lets what is here be served no more, until it is vouched for again.
    pub fn disown(&self) {
        if let Some(metadata) = self.file.as_ref().and_then(|file| file.metadata().ok()) {
            self.announced.forget(&metadata);
        }
    }

    /// Tells those who serve the file how far it goes, and how old that is.
    fn announce(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let generation = self.companion.generation;
        let copied = Copied { generation, copy: self.number, length: self.lines, date: self.date };
        self.announced.announce(&file.metadata()?, copied);
        Ok(())
    }

    /// How many bytes of the upstream's file are here.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The generation that the lines are of.
    pub fn generation(&self) -> Generation {
        self.companion.generation
    }

    /// Whether this copy was ever all that the upstream had, and has lost nothing since.
    pub fn is_whole(&self) -> bool {
        self.companion.whole.is_some_and(|length| self.lines >= length)
    }

    /// Remembers, on the disk, that this copy is all that the upstream has.
    ///
    /// # Errors
    ///
    /// When it does not reach the disk. Then nobody knows what has, and to try again would tell nothing.
    pub fn remember_whole(&mut self) -> anyhow::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| !self.is_whole()) else { return Ok(()) };
        file.sync_all().with_context(|| format!("cannot sync {}", self.path.display()))?;
        self.keep(Companion { whole: Some(self.lines), ..self.companion })
    }

    /// Writes what the companion is to tell.
    fn keep(&mut self, companion: Companion) -> anyhow::Result<()> {
        let companion = Companion { length: Some(self.lines), ..companion };
        self.ledger = Some(companion.write(&self.path)?);
        self.companion = companion;
        Ok(())
    }

    /// Notes on the disk how far the lines go. Where that fails, what is new is got anew after a restart, and nothing is
    /// lost.
    fn note_lines(&mut self) {
        let _ = match &self.ledger {
            Some(ledger) => companion::note_length(ledger, self.lines).map_err(Into::into),
            None => self.keep(self.companion),
        };
    }

    /// Dates the copy, which has all that the upstream has, as the upstream does. The file keeps that over a restart.
    ///
    /// # Errors
    ///
    /// When the file can't be asked for its metadata.
    pub fn set_date(&mut self, date: SystemTime) -> anyhow::Result<()> {
        if self.date == Some(date) {
            return Ok(());
        }
        self.keep_date(date);
        self.announce()
    }

    fn keep_date(&mut self, date: SystemTime) {
        self.date = Some(date);
        // A file of another user can't be dated; then it is by this process alone.
        let _ = self.file.as_ref().map(|file| file.set_times(FileTimes::new().set_modified(date)));
    }

    /// Makes ready for the lines of `generation`, the first of which is to come.
    ///
    /// # Errors
    ///
    /// When the files can't be made.
    pub fn begin(&mut self, generation: Generation) -> anyhow::Result<()> {
        if self.file.is_some() && self.generation() == generation {
            return self.announce();
        }
        let is_new = self.file.is_none();
        if is_new && stamp_of(&self.path)?.is_some() {
            bail!(self.meddled()); // with our companion beside it, it would pass for ours
        }
        let whole = self.companion.whole.filter(|_| !is_new);
        self.keep(Companion { generation, whole, length: None })?;
        if is_new {
            self.file = Some(match companion::create(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(self.meddled()),
                file => file.map_err(|error| permissions::explain(&self.path, error))?,
            });
        }
        self.is_vouched = true;
        self.announce()
    }

    /// Takes up `bytes`, which are the upstream's from [`LocalCopy::length`] and what was appended since the last
    /// [`LocalCopy::drop_incomplete_line`] on. Only whole lines reach the file, but for a line that is very long. The
    /// `date` is the upstream's, if with these bytes all is here that it has.
    ///
    /// # Errors
    ///
    /// When they can't be written, a line does not end, or somebody else has changed the file: then it has to be opened anew.
    pub fn append(&mut self, bytes: &[u8], date: Option<SystemTime>) -> anyhow::Result<()> {
        self.line.extend_from_slice(bytes);
        let whole = memchr::memrchr(b'\n', &self.line).map(|newline| newline + 1);
        if let Some(count) = whole.or_else(|| (self.line.len() > HELD_LINE).then_some(self.line.len())) {
            self.write(count)?;
        }
        if whole.is_some() {
            self.lines = self.length;
            self.note_lines();
            self.date = None;
            if let Some(date) = date {
                self.keep_date(date);
            }
            self.announce()?;
        }
        if self.length - self.lines + self.line.len() as u64 > LONGEST_LINE {
            self.give_back_line()?;
            bail!(Reason::EndlessLine);
        }
        Ok(())
    }

    /// Writes the first `count` bytes of what has come.
    fn write(&mut self, count: usize) -> anyhow::Result<()> {
        let file = self.in_place()?;
        // At a position, and not at the end: were two mirrors to write one file by mistake, both would write the same.
        if let Err(error) = file.write_all_at(&self.line[..count], self.length) {
            self.give_back_line()?;
            return Err(permissions::explain(&self.path, error));
        }
        self.length += count as u64;
        self.line.drain(..count);
        Ok(())
    }

    /// Cuts off what is no whole line.
    fn give_back_line(&mut self) -> anyhow::Result<()> {
        self.line = Vec::new();
        self.length = self.lines;
        let Some(file) = &self.file else { return Ok(()) };
        file.set_len(self.lines).map_err(|error| permissions::explain(&self.path, error))
    }

    /// Forgets the beginning of a line, because its end will be asked for together with it.
    pub fn drop_incomplete_line(&mut self) {
        self.line.clear();
    }

    /// The bytes of `range`, which must be here.
    ///
    /// # Errors
    ///
    /// When they can't be read, or somebody else has changed the file.
    pub fn read(&self, range: Range<u64>) -> anyhow::Result<Vec<u8>> {
        read(self.in_place()?, range).with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// Makes sure that what is here is still what was written, and has its companion.
    ///
    /// # Errors
    ///
    /// When somebody else has changed the file, or the companion can't be written.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if self.file.is_some() {
            self.in_place()?;
        }
        // Without it, nobody would know whose the lines are after a restart.
        if self.length > 0 && !Companion::is_beside(&self.path)? {
            self.keep(self.companion)?;
        }
        Ok(())
    }

    /// The file, if the path still names it, and it has just the bytes that were written.
    fn in_place(&self) -> anyhow::Result<&File> {
        let Some(file) = &self.file else { bail!("there is no {} yet", self.path.display()) };
        if self.size_in_place()? != Some(self.length) {
            bail!(self.meddled());
        }
        Ok(file)
    }

    /// Whether somebody else has appended to the file. Nobody sees that: it lies behind the announced length.
    pub fn is_longer_than_written(&self) -> bool {
        self.size_in_place().is_ok_and(|size| size > Some(self.length))
    }

    /// The size of the file, if the path still names it.
    fn size_in_place(&self) -> anyhow::Result<Option<u64>> {
        let named = stamp_of(&self.path).with_context(|| format!("cannot stat {}", self.path.display()))?;
        // On a network file system, a file that another client has removed can't even be asked for.
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|ours| (ours.dev(), ours.ino()));
        Ok(named.filter(|named| Some(named.file()) == ours).map(|named| named.size()))
    }

    fn meddled(&self) -> anyhow::Error {
        meddled(&self.path)
    }

    /// Puts this copy, made aside and complete, in the place of `other`. What has failed can be tried again.
    ///
    /// # Errors
    ///
    /// When a name can't be changed, or somebody else has changed this copy.
    pub fn take_place_of(&mut self, other: &Self) -> anyhow::Result<()> {
        let cannot = || format!("cannot put {} in place", next_of(&other.path).display());
        let ready = ready_of(&other.path);
        if self.path != ready {
            self.in_place()?;
            if !Companion::is_beside(&self.path).with_context(cannot)? {
                bail!(meddled(&generation_of(&self.path)));
            }
            std::fs::rename(&self.path, &ready).with_context(cannot)?;
            self.path.clone_from(&ready);
        }
        replace::finish(&other.path).with_context(cannot)?;
        self.path.clone_from(&other.path);
        Ok(())
    }
}

/// Somebody else has removed, replaced, truncated or lengthened a file.
fn meddled(path: &Path) -> anyhow::Error {
    anyhow::Error::new(Reason::Meddled).context(path.display().to_string())
}

/// The file at `path`, the length of its lines, and whose they are; nothing if there is none.
fn find(path: &Path) -> anyhow::Result<Option<(File, u64, Companion)>> {
    let Some(file) = companion::open(path, OpenOptions::new().read(true).write(true))? else { return Ok(None) };
    let companion = Companion::read(path);
    let written = companion.as_ref().ok().and_then(|companion| companion.length);
    let length = end_of_lines(&file, written).with_context(|| format!("cannot read {}", path.display()))?;
    match companion {
        Ok(companion) if length > 0 || companion.generation == Generation::NONE => Ok(Some((file, length, companion))),
        Err(error) if length > 0 => Err(error.context(format!(
            "{} has lines, and nothing tells whose they are: move it away, a mirror would replace it",
            path.display()
        ))),
        _ => Ok(Some((file, 0, Companion { generation: Generation::NONE, length: None, whole: None }))),
    }
}

/// The length up to the last newline, which lies no farther from the end than a mirror lets it.
/// What lies behind what was `written` does not count.
fn end_of_lines(file: &File, written: Option<u64>) -> anyhow::Result<u64> {
    let size = file.metadata()?.len().min(written.unwrap_or(u64::MAX));
    let mut lines = Lines::look(file, size)?;
    for _ in 0..LOOKS {
        match lines.length() {
            Some(length) => return Ok(length),
            None => lines = lines.go_on(file)?,
        }
    }
    ensure!(lines.length().is_some(), "its last line is longer than 64 MiB, and so it is no mirror's");
    Ok(lines.length().unwrap_or_default())
}
