//! The files beside a mirror's file, in a folder that others may write to: none is written through a link, into a FIFO, or
//! into a file that has another name.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::OFlags;

use crate::file::generation::Generation;
use crate::file::stamp::Stamp;
use crate::permissions::{self, folder_of};

/// More than a companion ever has, in bytes.
const LONGEST: u64 = 256;
/// `O_NOFOLLOW` against links; `O_NONBLOCK`, or opening a FIFO would wait for the other side of it.
const OWN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Where the length stands in a companion, in bytes: behind the generation, a newline and a word.
const LENGTH_AT: u64 = 16 + 1 + 7;

/// What `<file>.generation` tells of the file: the generation and, on lines of their own, `length` and `whole`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Companion {
    /// The generation that the lines are of.
    pub generation: Generation,
    /// How many bytes of whole lines the mirror has written; nothing if an earlier version has left it. What the file has
    /// behind them is somebody else's.
    pub length: Option<u64>,
    /// The length at which they were all that the upstream had; nothing if they never were. A file that has become
    /// shorter since is not whole.
    pub whole: Option<u64>,
}

impl Companion {
    /// Reads the companion of `path`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is no mirror's.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let companion = generation_of(path);
        let file = open(&companion, OpenOptions::new().read(true))?
            .with_context(|| format!("there is no {}", companion.display()))?;
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).with_context(|| format!("cannot read {}", companion.display()))?;
        Self::parse(&text).with_context(|| format!("{} holds no generation", companion.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (generation, rest) = text.split_once('\n')?;
        let number = |word| rest.lines().find_map(|line| line.strip_prefix(word)?.parse().ok());
        Some(Self { generation: generation.parse().ok()?, length: number("length "), whole: number("whole ") })
    }

    /// Writes it beside `path`: at once and durably, or not at all. Returns it for [`note_length`].
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn write(self, path: &Path) -> anyhow::Result<File> {
        let companion = generation_of(path);
        let mut text = format!("{}\nlength {:020}\n", self.generation, self.length.unwrap_or_default());
        if let Some(length) = self.whole {
            let _ = writeln!(text, "whole {length}");
        }
        put(&companion, text.as_bytes()).map_err(|error| permissions::explain(&companion, error))
    }

    /// Whether `path` has one.
    ///
    /// # Errors
    ///
    /// When that can't be told.
    pub fn is_beside(path: &Path) -> io::Result<bool> {
        Ok(stamp_of(&generation_of(path))?.is_some_and(|stamp| stamp.is_regular_file()))
    }
}

/// Notes in a companion that was written how far its file goes now.
///
/// # Errors
///
/// When it can't be written.
pub fn note_length(companion: &File, length: u64) -> io::Result<()> {
    companion.write_all_at(format!("{length:020}").as_bytes(), LENGTH_AT)
}

fn put(path: &Path, content: &[u8]) -> io::Result<File> {
    let new = beside(path, ".new");
    remove(&new)?;
    let mut file = create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    // Not all file systems can do that, and the names are in order without it.
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    Ok(file)
}

/// Opens the file at `path` as the `options` say; nothing if there is none.
///
/// # Errors
///
/// When it can't be opened, or may be somebody else's: a link, no regular file, or one that has another name.
pub fn open(path: &Path, options: &mut OpenOptions) -> anyhow::Result<Option<File>> {
    let explain = |error| permissions::explain(path, error);
    let Some(stamp) = stamp_of(path).map_err(explain)? else { return Ok(None) };
    let name = path.display();
    ensure!(!stamp.is_link(), "{name} is a link, and a mirror writes through none");
    ensure!(stamp.is_regular_file(), "{name} is not a regular file");
    let file = options.custom_flags(OWN.bits().cast_signed()).open(path).map_err(explain)?;
    let metadata = file.metadata().map_err(explain)?;
    ensure!(metadata.is_file(), "{name} is not a regular file");
    ensure!(metadata.nlink() == 1, "{name} has another name, too, and so may be somebody else's");
    Ok(Some(file))
}

/// Makes the file at `path`, where there is nothing yet.
///
/// # Errors
///
/// `AlreadyExists` when there is something, a link among others; when the file can't be made.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).custom_flags(OWN.bits().cast_signed()).open(path)
}

/// Removes what is at `path`, if there is anything.
///
/// # Errors
///
/// When it can't be removed, as a folder can't.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The stamp of what is at `path`, and not of what it may link to; nothing if there is nothing.
///
/// # Errors
///
/// When that can't be told.
pub fn stamp_of(path: &Path) -> io::Result<Option<Stamp>> {
    match Stamp::of_name(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        stamp => stamp.map(Some),
    }
}

/// Finds out whether the folder of `path` can be written to, before there is anything to lose.
///
/// # Errors
///
/// When it can't.
pub fn probe(path: &Path) -> anyhow::Result<()> {
    let probe = beside(path, ".probe");
    match remove(&probe).and_then(|()| create(&probe)).and_then(|_| remove(&probe)) {
        // Space may still come.
        Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(permissions::explain(path, error)),
        _ => Ok(()),
    }
}

/// The copy of another generation, while it is made.
pub fn next_of(path: &Path) -> PathBuf {
    beside(path, ".next")
}

/// The same when it is complete.
pub fn ready_of(path: &Path) -> PathBuf {
    beside(path, ".ready")
}

/// The companion of the file at `path`.
pub fn generation_of(path: &Path) -> PathBuf {
    beside(path, ".generation")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_companion_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        assert!(Companion::read(&path).is_err());
        for whole in [None, Some(0), Some(u64::MAX)] {
            let mut companion = Companion { generation: Generation::of_line(b"1\n"), length: Some(7), whole };
            let file = companion.write(&path).unwrap();
            assert_eq!(Companion::read(&path).unwrap(), companion);
            note_length(&file, u64::MAX).unwrap();
            companion.length = Some(u64::MAX);
            assert_eq!(Companion::read(&path).unwrap(), companion);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_an_earlier_version_has_left_is_understood_and_nonsense_is_not() {
        let generation = Generation::of_line(b"1\n");
        let parsed = |text: &str| Companion::parse(text).map(|companion| companion.whole);
        assert_eq!(parsed(&format!("{generation}\n")), Some(None));
        assert_eq!(parsed(&format!("{generation}\nwhole 12\n")), Some(Some(12)));
        assert_eq!(parsed(&format!("{generation}\nlength 5\nwhole -1\n")), Some(None));
        assert_eq!((parsed(&generation.to_string()), parsed("x\n"), parsed("")), (None, None, None));
    }
}
