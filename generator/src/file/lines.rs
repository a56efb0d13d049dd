//! Finding and counting the lines of a file that may have any length, and holes of any length: step by step, so that
//! whoever waits can be told, and can give up.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// How much is read at a time when the end of the last line is looked for, in bytes.
const STEP_BACK: u64 = 64 * 1024;
/// How much is read at a time when lines are counted, in bytes.
const STEP: u64 = 1024 * 1024;

/// Lines from the beginning of a file to a place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// How many lines are complete.
    pub lines: u64,
    /// The offset behind the last of them.
    pub bytes: u64,
}

/// The number of bytes up to and including the last newline before `size`. Reads backwards, only as far as it must;
/// `between` the steps is called with the place that was reached.
///
/// # Errors
///
/// When the file can't be read, or `between` fails.
pub fn end_of_last(file: &File, size: u64, mut between: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut buffer = vec![0; STEP_BACK as usize];
    let (mut end, mut step) = (size, STEP_BACK);
    while end > 0 {
        between(end)?;
        let start = end.saturating_sub(step);
        if data_from(file, start) >= end {
            // A hole, which may be large.
            (end, step) = (start, step.saturating_mul(2));
        } else if step > STEP_BACK {
            step /= 2;
        } else {
            let piece = &mut buffer[..(end - start) as usize];
            file.read_exact_at(piece, start)?;
            if let Some(newline) = memchr::memrchr(b'\n', piece) {
                return Ok(start + newline as u64 + 1);
            }
            end = start;
        }
    }
    Ok(0)
}

/// Counts on from `counted` to `size`; `between` the steps is called with what was counted, and the place that was reached.
///
/// # Errors
///
/// When the file can't be read, or `between` fails.
pub fn count(
    file: &File,
    counted: Count,
    size: u64,
    mut between: impl FnMut(Count, u64) -> anyhow::Result<()>,
) -> anyhow::Result<Count> {
    let mut buffer = vec![0; STEP.min(size - counted.bytes) as usize];
    let (mut counted, mut position) = (counted, counted.bytes);
    while position < size {
        between(counted, position)?;
        let data = data_from(file, position).min(size);
        let piece = &mut buffer[..STEP.min(size - data) as usize];
        file.read_exact_at(piece, data)?;
        counted.lines += newlines(piece);
        if let Some(newline) = memchr::memrchr(b'\n', piece) {
            counted.bytes = data + newline as u64 + 1;
        }
        position = data + piece.len() as u64;
    }
    Ok(counted)
}

/// How many newlines there are.
pub fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Where the first byte stands, from `position` on, that is not in a hole, and so may be a newline.
fn data_from(file: &File, position: u64) -> u64 {
    match seek(file, SeekFrom::Data(position)) {
        Ok(data) => data,
        Err(Errno::NXIO) => u64::MAX,
        Err(_) => position, // a file system that does not know
    }
}

/// Cuts `file` after its last newline; returns the length that it then has and the number of bytes cut off.
///
/// # Errors
///
/// As [`end_of_last`], and when it can't be cut.
pub fn cut_incomplete(file: &File, between: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    let complete = end_of_last(file, size, between)?;
    if complete < size {
        file.set_len(complete)?;
    }
    Ok((complete, size - complete))
}

/// A file that a test or a crash made can't be told from one that holds these bytes.
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file with `bytes` at each offset of `places`, and holes between them.
    fn sparse(places: &[(u64, &[u8])], size: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in places {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    proptest! {
        #[test]
        fn holes_hide_no_line(places in prop::collection::vec((0u64..40, 1usize..200_000), 0..4), size in 0u64..60) {
            let size = size * 64 * 1024 + 7;
            let bytes: Vec<_> = places.iter().map(|(at, length)| (at * 65_000, b"12\n".repeat(length / 3))).collect();
            let borrowed: Vec<_> = bytes.iter().map(|(at, bytes)| (*at, &**bytes)).collect();
            let file = sparse(&borrowed, size);
            let mut whole = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut whole, 0).unwrap();
            let end = memchr::memrchr(b'\n', &whole).map_or(0, |newline| newline as u64 + 1);
            let length = whole.len() as u64;
            prop_assert_eq!(end_of_last(&file, length, |_| Ok(())).unwrap(), end);
            let expected = Count { lines: newlines(&whole), bytes: end };
            prop_assert_eq!(count(&file, Count::default(), length, |_, _| Ok(())).unwrap(), expected);
        }
    }

    #[test]
    fn a_hole_of_any_length_takes_few_steps() {
        let file = sparse(&[(0, b"1\n2\n"), (1 << 40, b"3")], 1 << 42);
        let (mut back, mut forth) = (0, 0);
        let end = end_of_last(&file, 1 << 42, |_| {
            back += 1;
            Ok(())
        });
        assert_eq!(end.unwrap(), 4);
        let counted = count(&file, Count::default(), 1 << 42, |_, _| {
            forth += 1;
            Ok(())
        });
        assert_eq!(counted.unwrap(), Count { lines: 2, bytes: 4 });
        assert!(back < 200 && forth < 10, "{back} {forth}");
    }

    #[test]
    fn what_is_called_between_the_steps_can_end_them() {
        let file = sparse(&[(0, &b"1".repeat(200_000))], 200_000);
        assert!(end_of_last(&file, 200_000, |_| anyhow::bail!("enough")).is_err());
        assert!(count(&file, Count::default(), 200_000, |_, _| anyhow::bail!("enough")).is_err());
    }
}
