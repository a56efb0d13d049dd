//! Server-sent events: the form that a browser's `EventSource` reads, with the event names of Durable Streams.
//!
//! Text can't pass unchanged in two cases: a carriage return would end the line, and bytes that are no UTF-8 have no
//! meaning here. Both become U+FFFD, the replacement character.

use std::fmt::Write;

/// How soon a browser comes back, in milliseconds.
const RETRY: &str = "retry: 500\n";
/// How long the data of an event may become, in bytes.
const LONGEST: usize = 14 * 1024;
/// What comes before each line, in bytes, and its newline: `data:`, a blank where it is needed, and the newline.
const FRAME: usize = 7;

/// What is sent so that proxies, and we, notice a dead connection.
pub const COMMENT: &str = ":\n\n";

/// The file is another one now. The id makes a browser begin at its start when it comes back.
pub const RESET: &str = "event: reset\ndata:{\"streamNextOffset\":\"-1\"}\nid: -1\n\n";

/// The `events` that a stream begins with. They say how soon to come back, too.
pub fn first(events: &str) -> String {
    RETRY.to_owned() + events
}

/// How many of `bytes` go into one event: whole lines, or a part of the first where that is too long.
pub fn fitting(bytes: &[u8]) -> usize {
    let (mut count, mut size) = (0, 0);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        size += FRAME + longest_as_text(line);
        if size > LONGEST {
            break;
        }
        count += line.len();
    }
    match count {
        0 => part(bytes),
        count => count,
    }
}

/// How long `line` may become when what is no text is replaced, by three bytes for each.
fn longest_as_text(line: &[u8]) -> usize {
    let replaced = line.iter().filter(|&&byte| byte >= 0x80 || byte == b'\r').count();
    line.len() + 2 * replaced
}

/// Where to cut a line that is too long: between two characters.
fn part(line: &[u8]) -> usize {
    let most = line.len().min(LONGEST / 3);
    let is_inside_a_character = |&at: &usize| line.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (most.saturating_sub(3)..=most).rev().find(|at| !is_inside_a_character(at)).unwrap_or(most).max(1)
}

/// The event that brings `bytes`, behind which the offset is `next`.
///
/// The reader joins the lines of an event with newlines, so text that ends in a newline has one empty line at its end. It also
/// takes a blank away that a line begins with, so such a line gets one more.
pub fn data(bytes: &[u8], next: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut event = String::with_capacity(text.len() + text.len() / 2 + 80);
    let _ = write!(event, "event: data\nid: {next}\n");
    for line in text.split('\n') {
        event.push_str(if line.starts_with(' ') { "data: " } else { "data:" });
        for (index, part) in line.split('\r').enumerate() {
            if index > 0 {
                event.push('\u{fffd}');
            }
            event.push_str(part);
        }
        event.push('\n');
    }
    event.push('\n');
    event
}

/// The event that says where the reader is.
pub fn control(next: &str, cursor: u64, up_to_date: bool) -> String {
    format!(
        "event: control\n\
         data:{{\"streamNextOffset\":\"{next}\",\"streamCursor\":\"{cursor}\",\"upToDate\":{up_to_date}}}\nid: {next}\n\n"
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
            let (field, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
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

    #[test]
    fn lines_that_are_empty_or_no_text_make_no_long_event() {
        for bytes in [vec![b'\n'; 16_384], vec![0xff; 16_384], b"\r\n".repeat(8192), vec![b'a'; 16_384]] {
            let count = fitting(&bytes);
            assert!(count > 0 && data(&bytes[..count], "x").len() <= 16 * 1024);
        }
        assert_eq!(fitting(b"a\nb\n"), 4);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = "\u{20ac}".repeat(5000);
        assert!(std::str::from_utf8(&line.as_bytes()[..fitting(line.as_bytes())]).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_arrives_unchanged(text in "[^\r]{0,50}") {
            let (name, id, read) = read(&data(text.as_bytes(), "g_5"));
            prop_assert_eq!((name.as_str(), id.as_str(), read), ("data", "g_5", text));
        }
    }
}
