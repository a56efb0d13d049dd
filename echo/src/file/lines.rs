//! Where the lines of a file begin and end, learnt from as few of its bytes as possible.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::file::generation::FIRST_LINE;

/// How much of a file's end is held in memory at most, in bytes: a small file is held wholly.
const MOST_HELD: u64 = 64 * 1024;
/// How much of a larger file's end is held to begin with, in bytes.
const HELD: u64 = 16 * 1024;
/// How much of a file without newlines is searched at a time, in bytes. A line may have no end at all.
const SEARCHED: u64 = 1 << 20;
/// How many holes of that size are passed over at a time. A file can be far larger than its disk.
const MOST_HOLES: usize = 256;
/// How much is read at a time, in bytes.
const PIECE: u64 = 64 * 1024;
/// How much of what was there is compared when a file has grown, in bytes: it may have been written anew.
const OVERLAP: usize = 4096;

/// What is known of the lines of a file, up to the size that it had.
#[derive(Debug, Clone)]
pub struct Lines {
    size: u64,
    end: End,
    /// The last bytes up to the size.
    held: Bytes,
    /// The first line, at most [`FIRST_LINE`] bytes of it; empty while there is none.
    first: Bytes,
}

/// Where the last complete line ends.
#[derive(Debug, Clone, Copy)]
enum End {
    At(u64),
    Sought(Search),
}

/// A search for the last newline, backwards.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// There is none from here on.
    from: u64,
    /// How far back it goes.
    floor: u64,
    /// The length if there is none at all.
    otherwise: u64,
}

impl Lines {
    /// Looks at the end of `file`, which has `size` bytes, and at its first line.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when it is shorter; any error of reading it.
    pub fn look(file: &File, size: u64) -> io::Result<Self> {
        let held = if size <= MOST_HELD { size } else { HELD };
        let held = Bytes::from(read(file, size - held..size)?);
        let from = size - held.len() as u64;
        let end = match last_newline(&held) {
            Some(behind) => End::At(from + behind),
            None => Search { from, floor: 0, otherwise: 0 }.go_on(file)?,
        };
        Self { size, end, held, first: Bytes::new() }.with_first_line(file)
    }

    /// Goes on with a search that is not at its end.
    ///
    /// # Errors
    ///
    /// As [`Lines::look`].
    pub fn go_on(&self, file: &File) -> io::Result<Self> {
        let End::Sought(search) = self.end else { return Ok(self.clone()) };
        Self { end: search.go_on(file)?, ..self.clone() }.with_first_line(file)
    }

    /// Looks at what `file` has more than this, and at nothing else but a little that must be as it was; `None` if it is not.
    ///
    /// # Errors
    ///
    /// As [`Lines::look`].
    pub fn grown(&self, file: &File, size: u64) -> io::Result<Option<Self>> {
        let overlap = self.held.len().min(OVERLAP);
        let is_little = size - self.size <= MOST_HELD;
        let found = read(file, self.size - overlap as u64..if is_little { size } else { self.size })?;
        let (before, new) = found.split_at(overlap);
        if !self.held.ends_with(before) || overlap as u64 != self.size && !self.begins_as(file)? {
            return Ok(None);
        }
        let held = if is_little { joined(&self.held, new) } else { Bytes::from(read(file, size - HELD..size)?) };
        let end = self.end_in(file, size, &held)?;
        Self { size, end, held, first: self.first.clone() }.with_first_line(file).map(Some)
    }

    /// Where the last line ends after the file has grown to `size` bytes, of which the last are `held`.
    fn end_in(&self, file: &File, size: u64, held: &[u8]) -> io::Result<End> {
        let begins = size - held.len() as u64;
        let from = begins.max(self.size);
        match (last_newline(&held[(from - begins) as usize..]), self.end) {
            (Some(behind), _) => Ok(End::At(from + behind)),
            (None, end) if from == self.size => Ok(end),
            (None, End::At(length)) => Search { from, floor: self.size, otherwise: length }.go_on(file),
            (None, End::Sought(search)) => Search { from, ..search }.go_on(file),
        }
    }

    /// Whether the bytes that are known are still those of `file`.
    ///
    /// # Errors
    ///
    /// As [`Lines::look`].
    pub fn still_hold(&self, file: &File) -> io::Result<bool> {
        let is_whole = self.held.len() as u64 == self.size;
        Ok(read(file, self.held_from()..self.size)? == self.held && (is_whole || self.begins_as(file)?))
    }

    fn begins_as(&self, file: &File) -> io::Result<bool> {
        Ok(read(file, 0..self.first.len() as u64)? == self.first)
    }

    /// Reads the first line, once there is one.
    fn with_first_line(mut self, file: &File) -> io::Result<Self> {
        let length = self.length().unwrap_or_default();
        if length > 0 && self.first.is_empty() {
            let start = self.bytes(file, 0..length.min(FIRST_LINE as u64))?;
            self.first = Bytes::copy_from_slice(first_line(&start));
        }
        Ok(self)
    }

    /// The number of bytes up to and including the last newline; `None` while it is sought.
    pub fn length(&self) -> Option<u64> {
        match self.end {
            End::At(length) => Some(length),
            End::Sought(_) => None,
        }
    }

    /// The first line, at most [`FIRST_LINE`] bytes of it; empty while there is none.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Where the bytes begin that are held in memory.
    pub fn held_from(&self) -> u64 {
        self.size - self.held.len() as u64
    }

    /// The bytes of `range`, if they are held in memory.
    pub fn held(&self, range: Range<u64>) -> Option<&[u8]> {
        let from = range.start.checked_sub(self.held_from())? as usize;
        self.held.get(from..(range.end - self.held_from()) as usize)
    }

    /// What is `held`, without a copy.
    pub fn shared(&self, held: &[u8]) -> Bytes {
        self.held.slice_ref(held)
    }

    /// The bytes of `range`, from memory or from `file`.
    ///
    /// # Errors
    ///
    /// As [`Lines::look`].
    pub fn bytes(&self, file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.held(range.clone()).map_or_else(|| read(file, range), |held| Ok(held.to_vec()))
    }
}

impl Search {
    /// Searches a part of the file.
    fn go_on(mut self, file: &File) -> io::Result<End> {
        self.pass_over_holes(file);
        let stop = self.from.saturating_sub(SEARCHED).max(self.floor);
        while self.from > stop {
            let start = self.from.saturating_sub(PIECE).max(stop);
            if let Some(behind) = last_newline(&read(file, start..self.from)?) {
                return Ok(End::At(start + behind));
            }
            self.from = start;
        }
        Ok(if self.from == self.floor { End::At(self.otherwise) } else { End::Sought(self) })
    }

    /// Where nothing was ever written, there is no newline.
    fn pass_over_holes(&mut self, file: &File) {
        for _ in 0..MOST_HOLES {
            let start = self.from.saturating_sub(SEARCHED).max(self.floor);
            let is_hole = match seek(file, SeekFrom::Data(start)) {
                Ok(data) => data >= self.from,
                Err(error) => error == Errno::NXIO, // there is no data up to the end
            };
            if start == self.from || !is_hole {
                return;
            }
            self.from = start;
        }
    }
}

/// What is held of a file after it grew by `new`.
fn joined(held: &[u8], new: &[u8]) -> Bytes {
    let length = held.len() + new.len();
    let kept = if length as u64 <= MOST_HELD { length } else { HELD as usize };
    let mut all = Vec::with_capacity(kept);
    all.extend_from_slice(&held[(length - kept).min(held.len())..]);
    all.extend_from_slice(&new[new.len().saturating_sub(kept)..]);
    all.into()
}

fn last_newline(bytes: &[u8]) -> Option<u64> {
    memchr::memrchr(b'\n', bytes).map(|newline| newline as u64 + 1)
}

/// The first line in `start`, or all of it if no line ends there.
pub fn first_line(start: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', start).map_or(start, |newline| &start[..=newline])
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

/// The number of bytes up to and including the last newline before `size`, however long that takes.
///
/// # Errors
///
/// When the file can't be read.
pub fn end_of_last_line(file: &File, size: u64) -> io::Result<u64> {
    let mut lines = Lines::look(file, size)?;
    loop {
        match lines.length() {
            Some(length) => return Ok(length),
            None => lines = lines.go_on(file)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may be done to a file between two looks at it.
    #[derive(Debug, Clone)]
    enum Change {
        Append(Vec<u8>),
        /// So many bytes without a newline.
        AppendLong(usize),
        /// So many bytes where nothing was written.
        AppendHole(u64),
        /// From a part of its length on, in thousandths.
        Truncate(u64),
        Rewrite(Vec<u8>),
    }

    fn change() -> impl Strategy<Value = Change> {
        let text = || prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 1..20);
        prop_oneof![
            6 => text().prop_map(Change::Append),
            2 => (1..3 * SEARCHED as usize).prop_map(Change::AppendLong),
            1 => (1..9 * SEARCHED).prop_map(Change::AppendHole),
            1 => (0..1000_u64).prop_map(Change::Truncate),
            1 => text().prop_map(Change::Rewrite),
        ]
    }

    fn apply(file: &File, change: &Change) {
        let size = file.metadata().unwrap().len();
        match change {
            Change::Append(bytes) => file.write_all_at(bytes, size).unwrap(),
            Change::AppendLong(count) => file.write_all_at(&vec![b'x'; *count], size).unwrap(),
            Change::AppendHole(count) => file.set_len(size + count).unwrap(),
            Change::Truncate(part) => file.set_len(size * part / 1000).unwrap(),
            Change::Rewrite(bytes) => file.write_all_at(bytes, 0).unwrap(),
        }
    }

    /// Looks on until the end is known.
    fn to_the_end(mut lines: Lines, file: &File) -> Lines {
        while lines.length().is_none() {
            lines = lines.go_on(file).unwrap();
        }
        lines
    }

    #[track_caller]
    fn is_right(lines: &Lines, file: &File) {
        let content = read(file, 0..file.metadata().unwrap().len()).unwrap();
        let length = last_newline(&content).unwrap_or_default();
        assert_eq!(lines.length(), Some(length));
        let line = first_line(&content[..length as usize]);
        assert_eq!(lines.first(), &line[..line.len().min(FIRST_LINE)]);
        assert!(content.ends_with(&lines.held) && lines.held.len() as u64 <= MOST_HELD);
        assert_eq!(lines.held_from() + lines.held.len() as u64, content.len() as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_is_known_after_changes_is_what_the_file_says(changes in prop::collection::vec(change(), 1..12)) {
            let file = tempfile::tempfile().unwrap();
            let mut lines = Lines::look(&file, 0).unwrap();
            for change in &changes {
                apply(&file, change);
                let size = file.metadata().unwrap().len();
                let grown = if size > lines.size { lines.grown(&file, size).unwrap() } else { None };
                // A search need not be at its end when the file changes.
                lines = match grown {
                    Some(grown) if matches!(change, Change::AppendLong(_)) => grown,
                    Some(grown) => to_the_end(grown, &file),
                    None => to_the_end(Lines::look(&file, size).unwrap(), &file),
                };
            }
            is_right(&to_the_end(lines, &file), &file);
        }
    }

    #[test]
    fn one_look_reads_little_of_a_line_without_an_end() {
        let file = tempfile::tempfile().unwrap();
        let size = 5 * SEARCHED + 2;
        file.write_all_at(&vec![b'x'; size as usize], 0).unwrap();
        file.write_all_at(b"1\n", 0).unwrap();
        let mut lines = Lines::look(&file, size).unwrap();
        let mut looks = 1;
        while lines.length().is_none() {
            lines = lines.go_on(&file).unwrap();
            looks += 1;
        }
        assert_eq!((lines.length(), looks), (Some(2), 5));
        file.write_all_at(b"xxx", size).unwrap();
        let grown = lines.grown(&file, size + 3).unwrap().unwrap();
        assert_eq!(grown.length(), Some(2), "what was searched is not searched again");
    }

    #[test]
    fn what_was_never_written_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100 << 30).unwrap();
        assert_eq!(to_the_end(Lines::look(&file, 100 << 30).unwrap(), &file).length(), Some(0));
    }

    #[test]
    fn a_file_written_anew_has_not_grown() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&b"1\n".repeat(50_000), 0).unwrap();
        let lines = Lines::look(&file, 100_000).unwrap();
        for (at, what) in [(0, "its first line"), (99_000, "its end")] {
            file.write_all_at(&b"1\n".repeat(60_000), 0).unwrap();
            assert!(lines.grown(&file, 120_000).unwrap().is_some());
            file.write_all_at(b"2", at).unwrap();
            assert!(lines.grown(&file, 120_000).unwrap().is_none() && !lines.still_hold(&file).unwrap(), "{what}");
        }
    }
}
