//! What comes of a file, taken apart into lines.

use anyhow::ensure;
use memchr::{memchr, memchr_iter, memrchr};

/// How much is stored in one transaction, in bytes; a single line may be longer.
pub const BATCH: usize = 64 * 1024;
/// The longest line that is stored, in bytes without its newline.
pub const LONGEST_LINE: usize = 1 << 20;

/// Bytes of a file that have come and are not stored yet.
pub struct Batch {
    /// The offset of the first of them.
    start: u64,
    bytes: Vec<u8>,
}

/// Lines, as columns of the table.
#[derive(Default, Debug, PartialEq)]
pub struct Lines<'a> {
    /// Each line that is text, without its newline.
    pub data: Vec<Option<&'a str>>,
    /// Each line that is not.
    pub raw: Vec<Option<&'a [u8]>>,
    /// The offset of the first byte of each line.
    pub start: Vec<i64>,
    /// How many bytes all of them have, newlines included.
    pub length: usize,
}

impl Batch {
    /// Nothing yet, at the offset `start`.
    pub fn at(start: u64) -> Self {
        Self { start, bytes: Vec::new() }
    }

    /// Takes up what follows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether there is enough for a transaction.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH
    }

    /// Whether all that has come is stored.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The lines that are next to be stored: as many whole ones as fit into a transaction, and none if none is whole.
    ///
    /// # Errors
    ///
    /// When a line is too long, or is going to be.
    pub fn lines(&self) -> anyhow::Result<Lines<'_>> {
        let fit = &self.bytes[..self.bytes.len().min(BATCH)];
        let end = memrchr(b'\n', fit).or_else(|| Some(fit.len() + memchr(b'\n', &self.bytes[fit.len()..])?));
        let length = end.map_or(0, |end| end + 1);
        let first = if length > BATCH {
            length - 1
        } else if length == 0 {
            self.bytes.len()
        } else {
            0
        };
        ensure!(
            first <= LONGEST_LINE,
            "the line at byte {} is longer than {LONGEST_LINE} bytes, and nothing behind it is stored",
            self.start
        );
        let mut lines = Lines { length, ..Lines::default() };
        let mut from = 0;
        for end in memchr_iter(b'\n', &self.bytes[..length]) {
            lines.push(&self.bytes[from..end], self.start + from as u64);
            from = end + 1;
        }
        Ok(lines)
    }

    /// Lets go of the first `length` bytes, which are stored.
    pub fn forget(&mut self, length: usize) {
        self.start += length as u64;
        self.bytes.drain(..length);
    }
}

impl<'a> Lines<'a> {
    fn push(&mut self, line: &'a [u8], start: u64) {
        // The database's text holds no NUL.
        let text = std::str::from_utf8(line).ok().filter(|_| memchr(0, line).is_none());
        self.data.push(text);
        self.raw.push(if text.is_none() { Some(line) } else { None });
        self.start.push(start.cast_signed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_offset_of_their_first_byte() {
        let mut batch = Batch::at(100);
        batch.push(b"1\n\n3");
        let lines = batch.lines().unwrap();
        assert_eq!((lines.data, lines.start, lines.length), (vec![Some("1"), Some("")], vec![100, 102], 3));
        batch.forget(3);
        assert_eq!(batch.lines().unwrap(), Lines::default());
        assert!(!batch.is_empty());
        batch.push(b"3\n");
        let lines = batch.lines().unwrap();
        assert_eq!((lines.data, lines.start, lines.length), (vec![Some("33")], vec![103], 3));
    }

    #[test]
    fn what_is_not_text_is_kept_as_it_is() {
        let mut batch = Batch::at(0);
        batch.push(b"a\0b\n\xff\n\xc3\xa9\n");
        let lines = batch.lines().unwrap();
        assert_eq!(lines.data, [None, None, Some("é")]);
        assert_eq!(lines.raw, [Some(&b"a\0b"[..]), Some(b"\xff"), None]);
    }

    #[test]
    fn a_transaction_has_whole_lines_of_at_most_a_batch_or_a_single_one() {
        for lengths in [vec![BATCH - 1, 5], vec![BATCH, 5], vec![LONGEST_LINE], vec![3, BATCH - 4, 9], vec![3, BATCH]] {
            let mut batch = Batch::at(0);
            let lines: Vec<_> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            batch.push(format!("{}\n", lines.join("\n")).as_bytes());
            let mut stored = Vec::new();
            while !batch.is_empty() {
                let next = batch.lines().unwrap();
                assert!(next.length <= BATCH || next.data.len() == 1, "{lengths:?}");
                stored.extend(next.data.iter().map(|line| line.unwrap().to_owned()));
                let length = next.length;
                batch.forget(length);
            }
            assert_eq!(stored, lines);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error_before_its_end_comes() {
        let mut batch = Batch::at(7);
        batch.push(&vec![b'x'; LONGEST_LINE]);
        assert_eq!(batch.lines().unwrap(), Lines::default());
        batch.push(b"x");
        assert!(batch.lines().unwrap_err().to_string().contains("byte 7 "));
        batch.push(b"\n");
        assert!(batch.lines().is_err());
    }
}
