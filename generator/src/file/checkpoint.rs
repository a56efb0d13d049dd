//! How many lines stand before which byte, in the companion `PATH.lines`: so that a start reads what is new, and not a file of
//! 10 GB.
//!
//! It is believed only where the file agrees: the bytes before that place have to be those of the very lines that the
//! sequence has there. A wrong count, another seed, a file that was replaced, or one that gained or lost a line, moves the
//! lines away from their places, and then all of them are counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::file::lines::Count;
use crate::file::open;
use numbers::Numbers;

/// How many bytes are compared with the sequence.
const PROOF: u64 = 2048;
/// So many lines have at least [`PROOF`] bytes.
const LINES: u64 = PROOF / 2;
/// The longest companion that is read, in bytes: two numbers.
const LONGEST: u64 = 64;

/// What the companion of `path` says of `file`, if that is so: a place at or before `size`.
pub fn load(path: &Path, file: &File, size: u64, numbers: &mut Numbers) -> Option<Count> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let companion = OpenOptions::new().read(true).custom_flags(flags).open(of(path)).ok()?;
    let mut text = String::new();
    companion.take(LONGEST).read_to_string(&mut text).ok()?;
    let (lines, bytes) = text.strip_suffix('\n')?.split_once(' ')?;
    let count = Count { lines: lines.parse().ok()?, bytes: bytes.parse().ok()? };
    (count.bytes <= size && is_so(count, file, numbers)).then_some(count)
}

/// Whether the sequence has at `count` what stands in `file` there.
fn is_so(count: Count, file: &File, numbers: &mut Numbers) -> bool {
    let (Some(first), Some(start)) = (count.lines.checked_sub(LINES), count.bytes.checked_sub(PROOF)) else {
        return false;
    };
    let mut expected = Vec::new();
    numbers.seek(first);
    (0..LINES).for_each(|_| numbers.push_line(&mut expected));
    let mut found = [0; PROOF as usize];
    file.read_exact_at(&mut found, start).is_ok() && expected.ends_with(&found)
}

/// Keeps `count` for the next start. Nothing waits for the disk: a checkpoint that is lost or torn costs time.
///
/// # Errors
///
/// When it can't be kept.
pub fn save(path: &Path, count: Count) -> io::Result<()> {
    let (companion, fresh) = (of(path), open::with_suffix(path, ".lines.new"));
    open::remove(&fresh)?;
    let saved = open::new_companion(&fresh).and_then(|mut file| writeln!(file, "{} {}", count.lines, count.bytes));
    let saved = saved.and_then(|()| fs::rename(&fresh, companion));
    if saved.is_err() {
        let _ = open::remove(&fresh);
    }
    saved
}

fn of(path: &Path) -> std::path::PathBuf {
    open::with_suffix(path, ".lines")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 42;

    /// A file with `lines` lines of the sequence, of which `change` makes another; returns what is loaded of `count`.
    fn loaded(count: impl FnOnce(Count) -> Count, change: impl FnOnce(&mut Vec<u8>)) -> Option<Count> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("data");
        let mut numbers = Numbers::new(Some(SEED)).unwrap();
        let mut bytes = Vec::new();
        (0..3000).for_each(|_| numbers.push_line(&mut bytes));
        save(&path, count(Count { lines: 3000, bytes: bytes.len() as u64 })).unwrap();
        change(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        load(&path, &File::open(&path).unwrap(), bytes.len() as u64, &mut numbers)
    }

    #[test]
    fn a_right_checkpoint_is_believed() {
        let count = loaded(|count| count, |_| {}).unwrap();
        assert_eq!(count.lines, 3000);
        assert_eq!(loaded(|count| count, |bytes| bytes.extend(b"1\n12")), Some(count));
    }

    #[test]
    fn a_wrong_checkpoint_is_never_believed() {
        type Wrong = fn(Count) -> Count;
        let wrong: [Wrong; 7] = [
            |Count { lines, bytes }| Count { lines: lines + 1, bytes },
            |Count { lines, bytes }| Count { lines: lines - 1, bytes },
            |Count { lines, bytes }| Count { lines, bytes: bytes + 1 },
            |Count { lines, bytes }| Count { lines, bytes: bytes - 1 },
            |_| Count { lines: 0, bytes: 0 },
            |_| Count { lines: u64::MAX, bytes: 5000 },
            |_| Count { lines: 5000, bytes: u64::MAX },
        ];
        for wrong in wrong {
            assert_eq!(loaded(wrong, |_| {}), None);
        }
    }

    #[test]
    fn a_checkpoint_of_another_file_is_never_believed() {
        type Change = fn(&mut Vec<u8>);
        let changes: [Change; 5] = [
            |bytes| bytes.clear(),
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| drop(bytes.drain(..5)), // the first line, 3271
            |bytes| bytes.splice(0..0, *b"7\n").for_each(drop),
            |bytes| {
                let at = bytes.len() - 1500;
                bytes[at] ^= 1;
            },
        ];
        for change in changes {
            assert_eq!(loaded(|count| count, change), None);
        }
    }

    #[test]
    fn a_companion_that_is_something_else_is_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "").unwrap();
        let load = || load(&path, &File::open(&path).unwrap(), 0, &mut Numbers::new(Some(SEED)).unwrap());
        assert_eq!(load(), None);
        for text in ["", "1", "1 2", "-1 2\n", "x y\n"] {
            fs::write(of(&path), text).unwrap();
            assert_eq!(load(), None);
        }
        fs::remove_file(of(&path)).unwrap();
        fs::create_dir(of(&path)).unwrap();
        assert_eq!(load(), None);
        assert!(save(&path, Count::default()).is_err());
        assert!(!folder.path().join("data.lines.new").exists());
    }
}
