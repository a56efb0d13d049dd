//! Offsets: tokens for places in the file that clients can come back to.

use axum::http::HeaderName;

use crate::file::generation::Generation;

/// The header that carries the offset behind what was sent.
pub const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
/// The header that says that an answer reaches the end of what is there.
pub const UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");

/// How many digits a position has: as many as the largest, so that tokens sort as places do.
const DIGITS: usize = 20;

/// The token for the place behind the first `position` bytes of a file.
pub fn token(generation: Generation, position: u64) -> String {
    format!("{generation}_{position:020}")
}

/// Takes a token apart; `None` if it is malformed.
pub fn parse_token(text: &str) -> Option<(Generation, u64)> {
    let (generation, position) = text.split_once('_')?;
    if position.len() != DIGITS || !position.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((generation.parse().ok()?, position.parse().ok()?))
}

/// A place that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offset {
    /// `-1`: before the first byte, whatever the file.
    Start,
    /// `now`: behind the last line that is there.
    Now,
    /// A token that some answer carried.
    At {
        /// The file that it is a place in.
        generation: Generation,
        /// Bytes before the place; not 0, which is the start of any file.
        position: u64,
    },
}

/// Why there is nothing to read at an offset.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl Offset {
    /// Understands the value of `offset=` and `Last-Event-ID`; `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "-1" => return Some(Self::Start),
            "now" => return Some(Self::Now),
            _ => {}
        }
        match parse_token(text)? {
            (_, 0) => Some(Self::Start),
            (generation, position) => Some(Self::At { generation, position }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn generation() -> Generation {
        Generation::new(1, None, b"1\n")
    }

    #[test]
    fn sentinels_and_the_start_are_known() {
        assert_eq!(Offset::parse("-1"), Some(Offset::Start));
        assert_eq!(Offset::parse("now"), Some(Offset::Now));
        assert_eq!(Offset::parse(&token(Generation::NONE, 0)), Some(Offset::Start));
        assert_eq!(Offset::parse(&token(generation(), 0)), Some(Offset::Start));
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = format!("{}_{:021}", generation(), 5);
        let too_large = format!("{}_99999999999999999999", generation());
        let upper = token(generation(), 5).to_uppercase();
        for text in [
            "",
            "0",
            "-2",
            "Now",
            "_",
            "0_",
            "0_5",
            "0_00000000000000000000",
            "x_00000000000000000005",
            &long,
            &too_large,
            &upper,
        ] {
            assert_eq!(Offset::parse(text), None, "{text}");
        }
        assert_eq!(Offset::parse("0000000000000000_+0000000000000000005"), None);
    }

    proptest! {
        #[test]
        fn a_token_is_understood(inode: u64, position in 1u64..) {
            let generation = Generation::new(inode, None, b"");
            prop_assert_eq!(Offset::parse(&token(generation, position)), Some(Offset::At { generation, position }));
        }

        #[test]
        fn tokens_sort_as_places_do(a: u64, b: u64) {
            prop_assert_eq!(token(generation(), a).cmp(&token(generation(), b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_survived(text: String) {
            Offset::parse(&text);
        }
    }
}
