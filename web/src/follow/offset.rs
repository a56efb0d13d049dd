//! Offsets: the tokens by which an echo names places in its file.

/// What an echo calls the file while there is no line in it.
const EMPTY: &str = "0000000000000000";
/// The token for the start, whatever the file.
pub const START: &str = "-1";

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// The name of the file; none while it has no line.
    pub generation: Option<String>,
    /// The bytes before the place.
    pub bytes: u64,
}

/// The token for a place.
pub fn token(generation: &str, bytes: u64) -> String {
    format!("{generation}_{bytes:020}")
}

impl Offset {
    /// Takes a token apart; `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, bytes) = text.split_once('_')?;
        let is_name = generation.len() == EMPTY.len() && generation.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = bytes.bytes().all(|byte| byte.is_ascii_digit());
        if !is_name || !is_number {
            return None;
        }
        let generation = (generation != EMPTY).then(|| generation.to_owned());
        // What the database can't count up to is no place.
        let bytes = i64::try_from(bytes.parse::<u64>().ok()?).ok()?.unsigned_abs();
        Some(Self { generation, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_file_and_place() {
        let token = token("00a1b2c3d4e5f607", 42);
        assert_eq!(token, "00a1b2c3d4e5f607_00000000000000000042");
        assert_eq!(Offset::parse(&token), Some(Offset { generation: Some("00a1b2c3d4e5f607".to_owned()), bytes: 42 }));
        let empty = Offset::parse("0000000000000000_00000000000000000000");
        assert_eq!(empty, Some(Offset { generation: None, bytes: 0 }));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "-1", "now", "_", "00a1b2c3d4e5f607", "00a1b2c3d4e5f607_", "00a1b2c3d4e5f607_-1", "x_1"] {
            assert_eq!(Offset::parse(text), None, "{text}");
        }
        assert_eq!(Offset::parse("00a1b2c3d4e5f60g_1"), None);
        assert_eq!(Offset::parse("00a1b2c3d4e5f607_9223372036854775808"), None, "more than the database counts");
    }
}
