//! Text that somebody else sent, before it is logged.

/// How much of it is shown, in characters.
const SHOWN: usize = 200;

/// `text`, cut where it is too long.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The same in quotes, with all that is not printable escaped.
pub fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_cut() {
        assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(shortened(&"ö".repeat(200)), "ö".repeat(200));
        assert_eq!(shortened(&"ö".repeat(100_000)), format!("{}…", "ö".repeat(200)));
    }
}
