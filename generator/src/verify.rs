//! `generator verify`: does a file hold just the lines that its seed says, each once and in order?

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::OFlags;
use tokio::time::sleep;

use numbers::Numbers;

/// How often a file that is still too short is looked at again.
const POLL: Duration = Duration::from_millis(50);
/// How many lines are compared to tell a missing line from a foreign one.
const WINDOW: usize = 8;
/// How far from its place a run of lines is looked for, in lines.
const FAR: u64 = 50_000;
/// The same for a single line, which stands at a wrong place by chance once in 32768.
const NEAR: u64 = 16;
/// How much of a foreign line is kept and shown, in bytes.
const LONGEST_FOREIGN: usize = 40;

/// Reads `path` to its end, or follows it until it has `lines` complete lines, and compares each with the sequence of
/// `seed`. Returns a sentence that says what was found right.
///
/// # Errors
///
/// With the first line that is wrong, when the file can't be read, or when the lines are not there after `timeout`.
pub async fn verify(path: &Path, seed: u64, lines: Option<u64>, timeout: Duration) -> anyhow::Result<String> {
    let deadline = Instant::now() + timeout;
    let mut file = open(path, lines.is_some(), deadline).await?;
    let mut verifier = Verifier::new(seed)?;
    let mut chunk = vec![0; 256 * 1024];
    let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    let mut end = None; // where to stop: a writer that never rests must not keep us for ever
    loop {
        if !is_pipe && end.is_none() && lines.is_none_or(|wanted| verifier.lines >= wanted) {
            end = Some(file.metadata().with_context(|| format!("cannot stat {}", path.display()))?.len());
        }
        if end.is_some_and(|end| verifier.read >= end) {
            return verifier.finish();
        }
        match file.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(read @ 1..) => {
                verifier.feed(&chunk[..read])?;
                tokio::task::yield_now().await; // lets a signal in
                continue;
            }
            // The writers of a pipe are gone. Before the first byte, they may just not have come yet.
            Ok(0) if is_pipe && verifier.read > 0 && lines.is_none_or(|wanted| verifier.lines >= wanted) => {
                return verifier.finish();
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        verifier.settle()?;
        let is_waiting = lines.is_some() || verifier.read == 0; // a pipe may take its time for the rest
        if is_waiting && Instant::now() >= deadline {
            let (path, wanted) = (path.display(), lines.map_or(String::new(), |wanted| format!(" of {wanted}")));
            bail!("{path} has only {}{wanted} lines after {timeout:?}", verifier.lines);
        }
        if !is_pipe && still_the_same(path, &file, verifier.offset)? < verifier.read {
            file.seek(SeekFrom::Start(verifier.forget_torn()))?;
        }
        sleep(POLL).await;
    }
}

/// Opens `path`; with `wait`, as soon as it is there.
async fn open(path: &Path, wait: bool, deadline: Instant) -> anyhow::Result<File> {
    loop {
        // O_NONBLOCK keeps a FIFO from hanging the open and the reads, so that signals and the timeout get in.
        let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
        match opened {
            Err(error) if wait && error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {
                sleep(POLL).await;
            }
            Ok(file) if !file.metadata().is_ok_and(|metadata| metadata.is_file() || metadata.file_type().is_fifo()) => {
                bail!("{} is neither a regular file nor a pipe", path.display());
            }
            opened => return opened.with_context(|| format!("cannot open {}", path.display())),
        }
    }
}

/// A file that is replaced while it is read, or that loses some of its `complete` bytes, can't be verified as one. Returns
/// its length.
fn still_the_same(path: &Path, file: &File, complete: u64) -> anyhow::Result<u64> {
    let held = file.metadata().with_context(|| format!("cannot stat {}", path.display()))?;
    if held.len() < complete {
        bail!("{} was truncated to {} bytes after {complete} bytes were right", path.display(), held.len());
    }
    if fs::metadata(path).map(|there| (there.dev(), there.ino())).ok() != Some((held.dev(), held.ino())) {
        bail!("{} was deleted or replaced after {complete} bytes were right", path.display());
    }
    Ok(held.len())
}

/// What is wrong with a file, and where. Lines are counted from 1, offsets from 0.
#[derive(Debug, PartialEq)]
struct Fault {
    line: u64,
    offset: u64,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// So many lines should stand here before the one that does.
    Missing(u64),
    /// What stands here is this earlier line again.
    Repeated(u64),
    /// What stands here belongs nowhere near.
    Foreign { found: String, expected: u16 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, offset, kind } = self;
        match kind {
            Kind::Missing(1) => write!(f, "line {line} is missing at byte {offset}"),
            Kind::Missing(2) => write!(f, "line {line} is missing at byte {offset}, and so is the one after it"),
            Kind::Missing(n) => write!(f, "line {line} is missing at byte {offset}, and so are the {} after it", n - 1),
            Kind::Repeated(of) => write!(f, "line {line} at byte {offset} is repeated: it is line {of} again"),
            Kind::Foreign { found, expected } => {
                write!(f, "line {line} at byte {offset} is foreign: found {found:?}, expected {expected}")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// Compares the bytes of a file, piece by piece, with the sequence of a seed.
struct Verifier {
    seed: u64,
    expected: Numbers,
    /// Complete lines that were right.
    lines: u64,
    /// The offset of the first byte after them.
    offset: u64,
    /// Bytes fed so far.
    read: u64,
    /// The beginning of a line whose end is not there yet.
    torn: Vec<u8>,
    /// The first wrong line and those that follow it, which tell what happened.
    wrong: Vec<Vec<u8>>,
}

impl Verifier {
    fn new(seed: u64) -> anyhow::Result<Self> {
        let expected = Numbers::new(Some(seed))?;
        Ok(Self { seed, expected, lines: 0, offset: 0, read: 0, torn: Vec::new(), wrong: Vec::new() })
    }

    /// Takes the next bytes of the file.
    fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.read += bytes.len() as u64;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if piece.ends_with(b"\n") && self.torn.is_empty() {
                self.take(piece)?;
                continue;
            }
            self.torn.extend_from_slice(piece);
            // No line of ours is that long: not worth the memory to see its end.
            if piece.ends_with(b"\n") || self.torn.len() > LONGEST_FOREIGN {
                let line = std::mem::take(&mut self.torn);
                self.take(&line)?;
            }
        }
        Ok(())
    }

    /// Forgets the beginning of a line, which its writer has cut off; returns the offset at which it will be written anew.
    fn forget_torn(&mut self) -> u64 {
        self.torn.clear();
        self.read = self.offset;
        self.offset
    }

    fn take(&mut self, line: &[u8]) -> anyhow::Result<()> {
        if self.wrong.is_empty() {
            let mut digits = itoa::Buffer::new();
            if line.strip_suffix(b"\n") == Some(digits.format(self.expected.draw()).as_bytes()) {
                self.lines += 1;
                self.offset += line.len() as u64;
                return Ok(());
            }
        }
        self.wrong.push(line.to_vec());
        if self.wrong.len() < WINDOW { Ok(()) } else { self.settle() }
    }

    /// Judges by the lines that are there; to be called where no more are to be had.
    fn settle(&self) -> anyhow::Result<()> {
        if self.wrong.is_empty() { Ok(()) } else { Err(self.fault()?.into()) }
    }

    /// Finds where in the sequence the wrong lines stand.
    fn fault(&self) -> anyhow::Result<Fault> {
        let found: Vec<Option<u16>> = self.wrong.iter().map(|line| number_of(line)).collect();
        let reach = if found.len() == 1 { NEAR } else { FAR };
        let first = self.lines.saturating_sub(reach);
        let mut sequence = Numbers::new(Some(self.seed))?;
        sequence.seek(first);
        let around: Vec<Option<u16>> =
            (first..self.lines + reach + WINDOW as u64).map(|_| Some(sequence.draw())).collect();
        let here = (self.lines - first) as usize;
        let is_run = |run: &[Option<u16>]| run == found;

        let ahead = around[here..].windows(found.len()).position(is_run);
        let behind = around[..here + found.len() - 1].windows(found.len()).rposition(is_run);
        let kind = match (ahead, behind) {
            (Some(lines), _) => Kind::Missing(lines as u64),
            (None, Some(place)) => Kind::Repeated(first + place as u64 + 1),
            (None, None) => {
                let line = &self.wrong[0][..self.wrong[0].len().min(LONGEST_FOREIGN)];
                let found = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
                Kind::Foreign { found, expected: around[here].unwrap_or_default() }
            }
        };
        Ok(Fault { line: self.lines + 1, offset: self.offset, kind })
    }

    fn finish(self) -> anyhow::Result<String> {
        self.settle()?;
        let lines = if self.lines == 1 { "1 line is".to_owned() } else { format!("{} lines are", self.lines) };
        Ok(match self.torn.len() {
            0 => format!("{lines} right"),
            torn => format!("{lines} right; an incomplete last line ({torn} bytes) is not counted"),
        })
    }
}

/// The number that a line holds, if it holds one just as the generator writes it.
fn number_of(line: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let number: u16 = digits.parse().ok()?;
    (itoa::Buffer::new().format(number) == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: u64 = 3;

    fn lines(count: usize) -> Vec<Vec<u8>> {
        let mut numbers = Numbers::new(Some(SEED)).unwrap();
        let mut line = || {
            let mut line = Vec::new();
            numbers.push_line(&mut line);
            line
        };
        (0..count).map(|_| line()).collect()
    }

    fn judge(file: &[u8], piece: usize) -> Result<String, Fault> {
        let mut verifier = Verifier::new(SEED).unwrap();
        let fed = file.chunks(piece.max(1)).try_for_each(|piece| verifier.feed(piece));
        fed.and_then(|()| verifier.finish()).map_err(|error| error.downcast().unwrap())
    }

    fn offset_of(line: usize) -> u64 {
        lines(line - 1).concat().len() as u64
    }

    proptest! {
        #[test]
        fn a_right_file_is_right_however_it_is_read(count in 0usize..300, piece in 1usize..50) {
            let said = judge(&lines(count).concat(), piece).unwrap();
            let expected = if count == 1 { "1 line is right".to_owned() } else { format!("{count} lines are right") };
            prop_assert_eq!(said, expected);
        }

        #[test]
        fn a_gap_is_named_where_it_begins(at in 1usize..300, gap in 1usize..5, after in 1usize..300, piece in 1usize..50) {
            let count = at + gap + after - 1;
            let mut file = lines(count);
            file.drain(at - 1..at - 1 + gap);
            let fault = judge(&file.concat(), piece).unwrap_err();
            prop_assert_eq!(fault, Fault { line: at as u64, offset: offset_of(at), kind: Kind::Missing(gap as u64) });
        }

        #[test]
        fn a_repetition_is_named(
            from in 1usize..300, length in 1usize..10, after in 0usize..300, piece in 1usize..50,
        ) {
            // A writer that lost its place writes some lines again and then goes on.
            let last = from + length - 1;
            let mut file = lines(last + after);
            let again = file[from - 1..last].to_vec();
            file.splice(last..last, again);
            let fault = judge(&file.concat(), piece).unwrap_err();
            let place = offset_of(last + 1);
            prop_assert_eq!(fault, Fault { line: last as u64 + 1, offset: place, kind: Kind::Repeated(from as u64) });
        }

        #[test]
        fn a_foreign_line_is_named(at in 1usize..300, after in 0usize..300, text in "[a-z ]{0,20}|0[0-9]{1,4}|3276[89]|99999", piece in 1usize..50) {
            let mut file = lines(at + after);
            file[at - 1] = format!("{text}\n").into_bytes();
            let fault = judge(&file.concat(), piece).unwrap_err();
            prop_assert_eq!((fault.line, fault.offset), (at as u64, offset_of(at)));
            let foreign = matches!(&fault.kind, Kind::Foreign { found, .. } if *found == text);
            prop_assert!(foreign, "{:?}", fault);
        }
    }

    #[test]
    fn an_incomplete_last_line_is_mentioned_and_not_counted() {
        let mut file = lines(3).concat();
        file.extend_from_slice(b"12");
        assert_eq!(judge(&file, 7).unwrap(), "3 lines are right; an incomplete last line (2 bytes) is not counted");
    }

    #[test]
    fn an_endless_line_is_foreign_before_it_ends() {
        let fault = judge(&vec![b'7'; 100_000], 1000).unwrap_err();
        assert_eq!((fault.line, fault.offset), (1, 0));
        assert!(fault.to_string().len() < 200, "{fault}");
    }

    #[test]
    fn faults_read_as_sentences() {
        let said = |kind| Fault { line: 7, offset: 34, kind }.to_string();
        assert_eq!(said(Kind::Missing(1)), "line 7 is missing at byte 34");
        assert_eq!(said(Kind::Missing(3)), "line 7 is missing at byte 34, and so are the 2 after it");
        assert_eq!(said(Kind::Repeated(5)), "line 7 at byte 34 is repeated: it is line 5 again");
        let foreign = Kind::Foreign { found: "a\tb".to_owned(), expected: 12 };
        assert_eq!(said(foreign), r#"line 7 at byte 34 is foreign: found "a\tb", expected 12"#);
    }
}
