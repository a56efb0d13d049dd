//! The identity of a file, as a token that every reader of the same file arrives at.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use siphasher::sip::SipHasher24;

/// How much of a first line counts, in bytes.
pub const FIRST_LINE: usize = 4096;
/// How many digits a token has, that of no line among them, so that offsets sort.
const DIGITS: usize = 16;

/// Names the file that a snapshot was taken of.
///
/// It stays while the file only grows, and differs once the file was replaced, rotated or emptied. It is a hash of what
/// the file itself tells, so replicas that read one volume agree on it and a restarted server finds it again. Sixteen zeros
/// mean that there is no complete line yet: from there to the first line is no change.
///
/// What it can't tell: a file rewritten in place with the same first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generation(u64);

impl Generation {
    /// The generation of a file without a complete line.
    pub const NONE: Self = Self(0);

    /// The generation of the file with this inode number, birth time (where the file system tells one) and first line,
    /// of which at most [`FIRST_LINE`] bytes are looked at.
    pub fn new(inode: u64, born: Option<SystemTime>, first_line: &[u8]) -> Self {
        let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()).map_or(0, |born| born.as_nanos());
        // SipHash with its default key is the same in every build, unlike the hasher of the standard library.
        let mut hasher = SipHasher24::new();
        hasher.write(&inode.to_le_bytes());
        hasher.write(&born.to_le_bytes());
        hasher.write(beginning(first_line));
        Self(hasher.finish().max(1))
    }

    /// The generation of a file that only its first line names: where inode and birth time belong to the mount, and at the
    /// mirror of a server that announces none. All readers and all mirrors of one file agree on it.
    pub fn of_line(first_line: &[u8]) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(beginning(first_line));
        Self(hasher.finish().max(1))
    }

    /// The generation of a file that took the place of this one and begins with the same line, at such a server. Mirrors
    /// that have seen the same replacements agree on it.
    pub fn successor(self) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(&self.0.to_le_bytes());
        Self(hasher.finish().max(1))
    }
}

fn beginning(first_line: &[u8]) -> &[u8] {
    &first_line[..first_line.len().min(FIRST_LINE)]
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Generation {
    type Err = ();

    /// Understands just what is displayed.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != DIGITS || !text.bytes().all(is_hex) {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Clients keep tokens across upgrades of the server: these values may never change.
    #[test]
    fn the_token_of_a_file_is_fixed() {
        let born = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(Generation::new(42, Some(born), b"17\n").to_string(), "6f217ffce0ecb4bd");
        assert_eq!(Generation::new(42, None, b"17\n").to_string(), "f56676586f551aad");
        assert_eq!(Generation::of_line(b"17\n").to_string(), "3e6813c715e33b28");
        assert_eq!(Generation::of_line(b"17\n").successor().to_string(), "bd6567dfe7f1c135");
        assert_eq!(Generation::NONE.to_string(), "0000000000000000");
        assert_eq!("0000000000000000".parse(), Ok(Generation::NONE));
        assert_eq!("0".parse::<Generation>(), Err(()), "no file has two tokens");
    }

    #[test]
    fn each_part_of_the_identity_counts() {
        let born = UNIX_EPOCH + Duration::from_nanos(5);
        let all = [
            Generation::new(1, Some(born), b"1\n"),
            Generation::new(2, Some(born), b"1\n"),
            Generation::new(1, Some(born + Duration::from_nanos(1)), b"1\n"),
            Generation::new(1, None, b"1\n"),
            Generation::new(1, Some(born), b"2\n"),
            Generation::NONE,
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_first_line_counts() {
        let line = vec![b'x'; FIRST_LINE + 10];
        assert_eq!(Generation::new(1, None, &line), Generation::new(1, None, &line[..FIRST_LINE]));
        assert_ne!(Generation::new(1, None, &line), Generation::new(1, None, &line[..FIRST_LINE - 1]));
    }
}
