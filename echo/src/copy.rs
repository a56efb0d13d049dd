//! The file of a mirror: whole lines from the upstream's beginning, and beside it the generation that they are of.
//!
//! Invariants, at every instant and so after every crash: what the file holds is a prefix of one generation of the
//! upstream's file; `<file>.generation` names that generation before the file has its first byte. Another generation is
//! built in `<file>.next`. When it is complete it becomes `<file>.ready`, and then its generation and its lines are renamed
//! into place, which [`finish_replacement`] makes up for after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::access;
use crate::generation::Generation;
use crate::identity::Announced;
use crate::snapshot::{end_of_last_line, read};

/// How much of a line is waited for in memory, in bytes. Of a longer line, what has come is written.
const LONGEST_LINE: usize = 1 << 20;

/// A copy of the upstream's file, as far as it goes.
pub struct LocalCopy {
    path: PathBuf,
    /// Which of this process's copies it is. Made again after a loss it is the same; made aside it is the next.
    number: u64,
    /// Whether it is the copy of that number, and not what somebody else has left in its place.
    is_vouched: bool,
    /// None before anything is known of the upstream's file.
    file: Option<File>,
    generation: Generation,
    length: u64,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    announced: Arc<Announced>,
}

impl LocalCopy {
    /// Opens what an earlier mirror has left at `path`, if it has.
    ///
    /// # Errors
    ///
    /// When the folder can't be written to, or what stands there is no mirror's.
    ///
    /// It is not served before [`LocalCopy::vouch`].
    pub fn open(path: PathBuf, announced: Arc<Announced>) -> anyhow::Result<Self> {
        let mut found = find(&path)?;
        if finish_replacement(&path)? {
            found = find(&path)?;
        }
        probe(&path)?;
        let mut copy = Self::absent(path, announced);
        if let Some((file, length, generation)) = found {
            // A crash may have left the beginning of a line.
            if length < file.metadata()?.len() {
                file.set_len(length)?;
            }
            (copy.file, copy.length, copy.generation) = (Some(file), length, generation);
        }
        Ok(copy)
    }

    fn absent(path: PathBuf, announced: Arc<Announced>) -> Self {
        Self {
            path,
            number: 0,
            is_vouched: false,
            file: None,
            generation: Generation::NONE,
            length: 0,
            line: Vec::new(),
            announced,
        }
    }

    /// A copy to be made aside, that will take the place of this one. Whatever was made aside before is given up.
    ///
    /// # Errors
    ///
    /// When that can't be removed.
    pub fn aside(&self) -> anyhow::Result<Self> {
        give_up_replacement(&self.path)?;
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
        match &self.file {
            Some(file) if self.length > 0 => self.announced.announce(&file.metadata()?, self.generation, self.number),
            _ => {}
        }
        Ok(())
    }

    /// Lets what is here be served no more, until it is vouched for again.
    pub fn disown(&self) {
        if let Some(metadata) = self.file.as_ref().and_then(|file| file.metadata().ok()) {
            self.announced.forget(&metadata);
        }
    }

    /// How many bytes of the upstream's file are here; those up to there never change.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The generation that the lines are of.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Makes ready for the lines of `generation`, the first of which is to come.
    ///
    /// # Errors
    ///
    /// When the files can't be made.
    pub fn begin(&mut self, generation: Generation) -> anyhow::Result<()> {
        if let Some(file) = &self.file
            && self.generation == generation
        {
            self.announced.announce(&file.metadata()?, generation, self.number);
            return Ok(());
        }
        if self.file.is_none() && self.path.exists() {
            bail!(Meddled(self.path.clone())); // with our sidecar beside it, it would pass for ours
        }
        // Were it torn by a crash, it would stand beside a file that is not there, or empty.
        self.name(generation)?;
        let file = match self.file.take() {
            Some(file) => file,
            None => match OpenOptions::new().read(true).write(true).create_new(true).open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(Meddled(self.path.clone())),
                file => file.map_err(|error| access::explain(&self.path, error))?,
            },
        };
        self.announced.announce(&file.metadata()?, generation, self.number);
        self.is_vouched = true;
        self.generation = generation;
        self.file = Some(file);
        Ok(())
    }

    /// Writes beside the file whose its lines are.
    fn name(&self, generation: Generation) -> anyhow::Result<()> {
        let sidecar = generation_of(&self.path);
        let written = File::create(&sidecar).and_then(|mut file| {
            writeln!(file, "{generation}")?;
            file.sync_all()
        });
        written.map_err(|error| access::explain(&sidecar, error))
    }

    /// Takes up `bytes`, which are the upstream's from [`LocalCopy::length`] and what was appended since the last
    /// [`LocalCopy::drop_incomplete_line`] on. Only whole lines reach the file.
    ///
    /// # Errors
    ///
    /// When they can't be written, or somebody else has changed the file: then it has to be opened anew.
    pub fn append(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.line.extend_from_slice(bytes);
        let whole = match memchr::memrchr(b'\n', &self.line) {
            Some(newline) => newline + 1,
            None if self.line.len() > LONGEST_LINE => self.line.len(),
            None => return Ok(()),
        };
        let file = self.in_place()?;
        // At a position, and not at the end: were two mirrors to write one file by mistake, both would write the same.
        if let Err(error) = file.write_all_at(&self.line[..whole], self.length) {
            self.length = end_of_last_line(file, file.metadata()?.len())?;
            return Err(access::explain(&self.path, error));
        }
        self.length += whole as u64;
        self.line.drain(..whole);
        Ok(())
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

    /// Makes sure that what is here is still what was written, and has its name.
    ///
    /// # Errors
    ///
    /// When somebody else has changed the file, or the name can't be written.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.file.is_some() {
            self.in_place()?;
        }
        // Without its name, nobody would know whose the lines are after a restart.
        if self.length > 0 && !generation_of(&self.path).try_exists()? {
            self.name(self.generation)?;
        }
        Ok(())
    }

    /// The file, if the path still names it and it has lost nothing.
    fn in_place(&self) -> anyhow::Result<&File> {
        let Some(file) = &self.file else { bail!("there is no {} yet", self.path.display()) };
        let named = match fs::metadata(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot stat {}", self.path.display()));
            }
            named => named.ok(),
        };
        // On a network file system, a file that another client has removed can't even be asked for.
        let is_ours = file.metadata().ok().zip(named).is_some_and(|(ours, named)| {
            (named.dev(), named.ino()) == (ours.dev(), ours.ino()) && named.len() >= self.length
        });
        if !is_ours {
            bail!(Meddled(self.path.clone()));
        }
        Ok(file)
    }

    /// Lets all of this copy reach the disk.
    ///
    /// # Errors
    ///
    /// When it does not. Then nobody knows what has, and to try again would tell nothing.
    pub fn sync(&self) -> anyhow::Result<()> {
        match &self.file {
            Some(file) => file.sync_all().with_context(|| format!("cannot sync {}", self.path.display())),
            None => Ok(()),
        }
    }

    /// Puts this copy, made aside, in the place of `other`. What has failed can be tried again.
    ///
    /// # Errors
    ///
    /// When a name can't be changed, or somebody else has changed this copy.
    pub fn take_place_of(&mut self, other: &Self) -> anyhow::Result<()> {
        let cannot = || format!("cannot put {} in place", next_of(&other.path).display());
        let (ready, generation) = (ready_of(&other.path), generation_of(&next_of(&other.path)));
        if self.path != ready {
            if !generation.try_exists().with_context(cannot)? {
                bail!(Meddled(generation));
            }
            fs::rename(&self.path, &ready).with_context(cannot)?;
            self.path.clone_from(&ready);
        }
        finish_replacement(&other.path).with_context(cannot)?;
        self.path.clone_from(&other.path);
        Ok(())
    }
}

/// Somebody else has removed, replaced or truncated the file.
#[derive(Debug)]
pub struct Meddled(PathBuf);

impl std::error::Error for Meddled {}

impl std::fmt::Display for Meddled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was changed by somebody else", self.0.display())
    }
}

/// The file at `path`, the length of its lines, and whose they are; nothing if there is none.
fn find(path: &Path) -> anyhow::Result<Option<(File, u64, Generation)>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            bail!("{} is a link to a file that is not there", path.display())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| access::explain(path, error))?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    let length = end_of_last_line(&file, metadata.len()).with_context(|| format!("cannot read {}", path.display()))?;
    if length == 0 {
        return Ok(Some((file, 0, Generation::NONE)));
    }
    let sidecar = generation_of(path);
    let generation = fs::read_to_string(&sidecar).ok().and_then(|text| text.trim_end().parse().ok());
    let generation = generation.with_context(|| {
        let (path, sidecar) = (path.display(), sidecar.display());
        format!("{path} has lines, and no {sidecar} tells whose they are: move it away, a mirror would replace it")
    })?;
    Ok(Some((file, length, generation)))
}

/// A replacement that has begun is finished; what was made aside before that is given up. Returns whether there was one.
fn finish_replacement(path: &Path) -> anyhow::Result<bool> {
    let ready = ready_of(path);
    if ready.try_exists().map_err(|error| access::explain(&ready, error))? {
        let (from, to) = (generation_of(&next_of(path)), generation_of(path));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(access::explain(&to, error)),
            _ => {} // or done already
        }
        fs::rename(&ready, path).map_err(|error| access::explain(path, error))?;
        return Ok(true);
    }
    give_up_replacement(path)?;
    Ok(false)
}

fn give_up_replacement(path: &Path) -> anyhow::Result<()> {
    let next = next_of(path);
    for file in [&next, &generation_of(&next)] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(access::explain(file, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Finds out whether the folder can be written to, before there is anything to lose.
fn probe(path: &Path) -> anyhow::Result<()> {
    let probe = beside(path, ".probe");
    match File::create(&probe).and_then(|_| fs::remove_file(&probe)) {
        // Space may still come.
        Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(access::explain(path, error)),
        _ => Ok(()),
    }
}

fn ready_of(path: &Path) -> PathBuf {
    beside(path, ".ready")
}

fn next_of(path: &Path) -> PathBuf {
    beside(path, ".next")
}

fn generation_of(path: &Path) -> PathBuf {
    beside(path, ".generation")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
