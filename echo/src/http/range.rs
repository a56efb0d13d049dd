//! Byte ranges: the `Range` header of RFC 9110 §14, resolved against a length.

use std::cmp::Ordering;
use std::ops::Range;

/// What a `Range` header asks of a representation.
#[derive(Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The whole, because the header can't be used: an unknown unit, a malformed set, or several ranges.
    Whole,
    /// These bytes; at least one.
    Part(Range<u64>),
    /// Nothing that is there.
    Unsatisfiable,
}

/// Resolves the value of a `Range` header against `length` bytes.
///
/// A header that can't be understood is ignored, as §14.2 wants it. Several ranges are answered with the whole, as the
/// same section allows: an answer in parts would cost the server more than it saves the client.
pub fn resolve(header: &[u8], length: u64) -> Resolved {
    let Some(set) = range_set(header) else { return Resolved::Whole };
    let mut specs = list(set).map(RangeSpec::parse);
    let (Some(Some(spec)), None) = (specs.next(), specs.next()) else { return Resolved::Whole };
    match spec.within(length) {
        Some(range) => Resolved::Part(range),
        None => Resolved::Unsatisfiable,
    }
}

/// What follows `bytes=`; unit names are case-insensitive (§14.1).
fn range_set(header: &[u8]) -> Option<&[u8]> {
    let equals = memchr::memchr(b'=', header)?;
    let (unit, set) = (&header[..equals], &header[equals + 1..]);
    unit.eq_ignore_ascii_case(b"bytes").then_some(set)
}

/// The elements of a comma-separated list, the empty ones left out (§5.6.1.2).
fn list(set: &[u8]) -> impl Iterator<Item = &[u8]> {
    let trimmed = set.split(|&byte| byte == b',').enumerate().map(|(i, element)| {
        // White space may stand around commas, but not before the first element.
        if i == 0 { element.trim_ascii_end() } else { element.trim_ascii() }
    });
    trimmed.filter(|element| !element.is_empty())
}

/// One element of a range set. Positions past what a `u64` holds are as good as its largest value: no file is that long.
#[derive(Debug, PartialEq, Eq)]
enum RangeSpec {
    From { first: u64 },
    FromTo { first: u64, last: u64 },
    Suffix { length: u64 },
}

impl RangeSpec {
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', spec)?;
        let (first, last) = (Digits::new(&spec[..dash])?, Digits::new(&spec[dash + 1..])?);
        match (first.0.is_empty(), last.0.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix { length: last.value() }),
            (false, true) => Some(Self::From { first: first.value() }),
            // Compared as digits, because two positions past u64::MAX have the same value.
            (false, false) if last.cmp(&first) == Ordering::Less => None,
            (false, false) => Some(Self::FromTo { first: first.value(), last: last.value() }),
        }
    }

    /// The bytes that are meant, if there is at least one.
    fn within(&self, length: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::From { first } => first..length,
            Self::FromTo { first, last } => first..last.saturating_add(1).min(length),
            Self::Suffix { length: suffix } => length.saturating_sub(suffix)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// A decimal number of any size, or none at all, without leading zeros.
struct Digits<'a>(&'a [u8]);

impl<'a> Digits<'a> {
    fn new(text: &'a [u8]) -> Option<Self> {
        if !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = text.iter().take(text.len().saturating_sub(1)).take_while(|&&digit| digit == b'0').count();
        Some(Self(&text[zeros..]))
    }

    fn value(&self) -> u64 {
        self.0.iter().fold(0, |value: u64, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Resolved::{Part, Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    const HUGE: &str = "99999999999999999999999999999999999999";

    fn of_ten(header: &str) -> Resolved {
        resolve(header.as_bytes(), 10)
    }

    #[test]
    fn one_range_is_resolved() {
        assert_eq!(of_ten("bytes=0-3"), Part(0..4));
        assert_eq!(of_ten("bytes=9-9"), Part(9..10));
        assert_eq!(of_ten("bytes=4-"), Part(4..10));
        assert_eq!(of_ten("bytes=-3"), Part(7..10));
        assert_eq!(of_ten("bytes=0000-0003"), Part(0..4));
    }

    #[test]
    fn a_range_ends_where_the_file_does() {
        assert_eq!(of_ten("bytes=4-10"), Part(4..10));
        assert_eq!(of_ten("bytes=4-4000"), Part(4..10));
        assert_eq!(of_ten(&format!("bytes=4-{HUGE}")), Part(4..10));
        assert_eq!(of_ten("bytes=0-18446744073709551615"), Part(0..10));
    }

    #[test]
    fn a_suffix_longer_than_the_file_is_the_whole_file() {
        assert_eq!(of_ten("bytes=-10"), Part(0..10));
        assert_eq!(of_ten("bytes=-11"), Part(0..10));
        assert_eq!(of_ten(&format!("bytes=-{HUGE}")), Part(0..10));
    }

    #[test]
    fn what_is_not_there_is_unsatisfiable() {
        assert_eq!(of_ten("bytes=10-"), Unsatisfiable);
        assert_eq!(of_ten("bytes=10-20"), Unsatisfiable);
        assert_eq!(of_ten("bytes=-0"), Unsatisfiable);
        assert_eq!(of_ten(&format!("bytes={HUGE}-")), Unsatisfiable);
        assert_eq!(of_ten(&format!("bytes={HUGE}-{HUGE}0")), Unsatisfiable);
    }

    #[test]
    fn no_range_of_an_empty_file_is_satisfiable() {
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-9"] {
            assert_eq!(resolve(header.as_bytes(), 0), Unsatisfiable, "{header}");
        }
    }

    #[test]
    fn a_malformed_header_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=--1",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes= 1-2",
            "bytes =1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
            "bytes=,",
            "bytes=3-2",
            "=1-2",
            "bytes=1-2;q=1",
            "bytes=１-2",
        ] {
            assert_eq!(of_ten(header), Whole, "{header}");
        }
        assert_eq!(of_ten(&format!("bytes={HUGE}1-{HUGE}0")), Whole);
        assert_eq!(resolve(b"bytes=\xff-2", 10), Whole);
    }

    #[test]
    fn the_unit_is_bytes_in_any_case() {
        assert_eq!(of_ten("Bytes=0-3"), Part(0..4));
        assert_eq!(of_ten("BYTES=0-3"), Part(0..4));
        assert_eq!(of_ten("lines=0-3"), Whole);
        assert_eq!(of_ten("byte=0-3"), Whole);
    }

    #[test]
    fn several_ranges_are_answered_with_the_whole() {
        assert_eq!(of_ten("bytes=0-1,4-5"), Whole);
        assert_eq!(of_ten("bytes=0-1, -1"), Whole);
        assert_eq!(of_ten("bytes=20-,30-"), Whole);
    }

    #[test]
    fn empty_list_elements_are_left_out() {
        assert_eq!(of_ten("bytes=0-3,"), Part(0..4));
        assert_eq!(of_ten("bytes=,0-3"), Part(0..4));
        assert_eq!(of_ten("bytes=, ,\t0-3 , ,"), Part(0..4));
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_length_and_is_not_empty(header in "(bytes=)?[-0-9, ]{0,30}", length in 0u64..100) {
            if let Part(range) = resolve(header.as_bytes(), length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }

        #[test]
        fn any_bytes_are_survived(header in proptest::collection::vec(any::<u8>(), 0..40), length: u64) {
            resolve(&header, length);
        }

        #[test]
        fn first_and_last_select_what_a_slice_does(first in 0usize..30, more in 0usize..30, length in 0usize..30) {
            let last = first + more;
            let file: Vec<usize> = (0..length).collect();
            let meant: Vec<usize> = file.iter().copied().filter(|at| (first..=last).contains(at)).collect();
            match resolve(format!("bytes={first}-{last}").as_bytes(), length as u64) {
                Part(range) => prop_assert_eq!(&file[range.start as usize..range.end as usize], meant),
                Unsatisfiable => prop_assert!(meant.is_empty()),
                Whole => prop_assert!(false, "a well-formed range was ignored"),
            }
        }

        #[test]
        fn a_suffix_is_the_end(suffix in 0u64..30, length in 0u64..30) {
            let resolved = resolve(format!("bytes=-{suffix}").as_bytes(), length);
            let meant = length.saturating_sub(suffix)..length;
            prop_assert_eq!(resolved, if meant.is_empty() { Unsatisfiable } else { Part(meant) });
        }
    }
}
