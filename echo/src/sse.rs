//! Server-sent events: the form that a browser's `EventSource` reads, with the event names of Durable Streams.
//!
//! Text can't pass unchanged in two cases: a carriage return would end the line, and bytes that are no UTF-8 have no
//! meaning here. Both become U+FFFD, the replacement character.

use std::fmt::Write;

/// What a stream begins with: how soon a browser comes back, in milliseconds.
pub const RETRY: &str = "retry: 500\n\n";

/// What is sent so that proxies, and we, notice a dead connection.
pub const COMMENT: &str = ":\n\n";

/// The file is another one now. The id makes a browser begin at its start when it comes back.
pub const RESET: &str = "event: reset\nid: -1\ndata: {\"streamNextOffset\":\"-1\"}\n\n";

/// The event that brings `bytes`, behind which the offset is `next`.
///
/// The reader joins the lines of an event with newlines, so text that ends in a newline has one empty line at its end.
pub fn data(bytes: &[u8], next: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut event = String::with_capacity(text.len() + text.len() / 2 + 80);
    let _ = write!(event, "event: data\nid: {next}\n");
    for line in text.split('\n') {
        event.push_str("data: ");
        event.extend(line.chars().map(|character| if character == '\r' { '\u{fffd}' } else { character }));
        event.push('\n');
    }
    event.push('\n');
    event
}

/// The event that says where the reader is.
pub fn control(next: &str, cursor: u64, up_to_date: bool) -> String {
    format!(
        "event: control\nid: {next}\n\
         data: {{\"streamNextOffset\":\"{next}\",\"streamCursor\":\"{cursor}\",\"upToDate\":{up_to_date}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader makes of an event, by the rules of the HTML standard.
    fn read(event: &str) -> (String, String, String) {
        let (mut name, mut id, mut data) = (String::new(), String::new(), Vec::new());
        let body = event.strip_suffix("\n\n").unwrap();
        for line in body.split('\n') {
            assert!(!line.is_empty(), "an empty line ends the event early");
            let (field, value) = line.split_once(": ").unwrap();
            match field {
                "event" => value.clone_into(&mut name),
                "id" => value.clone_into(&mut id),
                "data" => data.push(value),
                _ => panic!("{field}"),
            }
        }
        (name, id, data.join("\n"))
    }

    #[test]
    fn control_is_json() {
        let (name, id, data) = read(&control("0_1", 7, true));
        assert_eq!((name.as_str(), id.as_str()), ("control", "0_1"));
        let json: serde_json::Value = serde_json::from_str(&data).unwrap();
        assert_eq!(json, serde_json::json!({"streamNextOffset": "0_1", "streamCursor": "7", "upToDate": true}));
    }

    #[test]
    fn what_cannot_pass_is_replaced() {
        assert_eq!(read(&data(b"a\r\nb\xff\n", "x")).2, "a\u{fffd}\nb\u{fffd}\n");
    }

    #[test]
    fn a_reset_is_an_event() {
        assert_eq!(read(RESET).0, "reset");
    }

    proptest! {
        #[test]
        fn any_text_arrives_unchanged(text in "[^\r]{0,50}") {
            let (name, id, read) = read(&data(text.as_bytes(), "g_5"));
            prop_assert_eq!((name.as_str(), id.as_str(), read), ("data", "g_5", text));
        }
    }
}
