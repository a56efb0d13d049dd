//! The query of `GET /data`: from where to read, and how long.

use crate::file::offset::Offset;

/// How a client wants to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is there.
    CatchUp,
    /// What comes next, once.
    LongPoll,
    /// What comes next, as server-sent events.
    EventStream,
    /// What comes next, as plain text.
    Follow,
}

/// A query that asks for more than the snapshot.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// Where to begin.
    pub offset: Offset,
    /// How to go on.
    pub mode: Mode,
    /// The cursor of an earlier answer.
    pub cursor: Option<u64>,
}

impl Query {
    /// Understands a query string; `None` if it asks for the snapshot. Parameters that mean nothing here are left alone.
    ///
    /// # Errors
    ///
    /// With a sentence for the client.
    pub fn parse(query: &str) -> Result<Option<Self>, &'static str> {
        let (mut offset, mut live, mut follow, mut cursor) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let parameter = match &*name {
                "offset" => &mut offset,
                "live" => &mut live,
                "follow" => &mut follow,
                "cursor" => &mut cursor,
                _ => continue,
            };
            if parameter.replace(value).is_some() {
                return Err("A parameter is given twice.");
            }
        }
        let offset = match offset {
            None => None,
            Some(text) => Some(Offset::parse(&text).ok_or("The offset is malformed.")?),
        };
        let (mode, offset) = match (live.as_deref(), follow, offset) {
            (None, None, None) => return Ok(None),
            (None, None, Some(offset)) => (Mode::CatchUp, offset),
            (None, Some(_), offset) => (Mode::Follow, offset.unwrap_or(Offset::Start)),
            (Some(_), Some(_), _) => return Err("One of live and follow can be had, not both."),
            (Some(_), None, None) => return Err("A live read needs an offset; -1 is the start, now the end."),
            (Some("long-poll"), None, Some(offset)) => (Mode::LongPoll, offset),
            (Some("sse"), None, Some(offset)) => (Mode::EventStream, offset),
            (Some(_), None, Some(_)) => return Err("The live modes are long-poll and sse."),
        };
        Ok(Some(Self { offset, mode, cursor: cursor.and_then(|cursor| cursor.parse().ok()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(query: &str) -> Option<Mode> {
        Query::parse(query).unwrap().map(|query| query.mode)
    }

    #[test]
    fn the_snapshot_needs_no_query() {
        for query in ["", "foo=1", "cursor=5", "&&", "Offset=-1"] {
            assert_eq!(mode_of(query), None, "{query}");
        }
    }

    #[test]
    fn modes_are_told_apart() {
        assert_eq!(mode_of("offset=-1"), Some(Mode::CatchUp));
        assert_eq!(mode_of("live=long-poll&offset=now"), Some(Mode::LongPoll));
        assert_eq!(mode_of("offset=now&live=sse&foo"), Some(Mode::EventStream));
        assert_eq!(mode_of("offset=%2D1&live=ss%65"), Some(Mode::EventStream));
        assert_eq!(mode_of("follow"), Some(Mode::Follow));
        assert_eq!(mode_of("follow=1&offset=now"), Some(Mode::Follow));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for query in [
            "offset=",
            "offset=x",
            "live=sse",
            "live=",
            "live=long-poll",
            "live=websocket&offset=-1",
            "live=&offset=-1",
            "follow&live=sse&offset=-1",
            "follow&offset=x",
            "offset=-1&offset=-1",
            "offset",
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_cursor_is_a_number_or_nothing() {
        let cursor_of = |query| Query::parse(query).unwrap().unwrap().cursor;
        assert_eq!(cursor_of("offset=-1&cursor=17"), Some(17));
        assert_eq!(cursor_of("offset=-1&cursor=abc"), None);
    }
}
