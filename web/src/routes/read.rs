//! `GET /read`: the lines, in the order in which they were stored, page by page as the client takes them. And
//! `GET /read?generation=G`: a followed file again, byte for byte.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

use crate::counters::Counters;
use crate::database::lines::{self, Line};
use crate::database::link::Sessions;
use crate::reply::{bad_request, sentence, try_again};
use crate::routes::shared::Shared;

/// What is asked for.
#[derive(Debug, PartialEq)]
enum Query {
    /// Lines of whatever origin, by id.
    Lines { after: i64, limit: i64 },
    /// A followed file.
    File { generation: String },
}

/// Answers with what the query asks for. What is stored after the request came is not part of the answer.
pub async fn read(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let query = match parse(query.as_deref().unwrap_or_default()) {
        Ok(query) => query,
        Err(wrong) => return bad_request(&wrong),
    };
    let Ok(permit) = Arc::clone(&shared.readers).try_acquire_owned() else {
        return try_again("Too many clients read at the same time.");
    };
    let Some(sessions) = shared.link.sessions() else {
        return try_again("The database is away.");
    };
    let reader = Reader { sessions, counters: Arc::clone(&shared.counters), _permit: permit };
    let answer = match query {
        Query::Lines { after, limit } => reader.lines(after, limit).await,
        Query::File { generation } => reader.file(generation).await,
    };
    answer.unwrap_or_else(|error| {
        warn!("cannot read: {error:#}");
        try_again("The database failed.")
    })
}

fn parse(query: &str) -> Result<Query, String> {
    let (mut after, mut limit, mut generation) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "after" => &mut after,
            "limit" => &mut limit,
            "generation" => &mut generation,
            _ => return Err(format!("There is no parameter {name:?}, only after, limit and generation.")),
        };
        if place.replace(value).is_some() {
            return Err(format!("The parameter {name} is there twice."));
        }
    }
    let number = |name, value: Option<_>, least: i64, otherwise| match value {
        None => Ok(otherwise),
        Some(value) => {
            let number: Option<i64> = str::parse(value).ok().filter(|number| *number >= least);
            number.ok_or(format!("The parameter {name} has to be a whole number from {least} on."))
        }
    };
    match generation {
        Some(_) if after.is_some() || limit.is_some() => {
            Err("A generation is read as a whole, without after and limit.".to_owned())
        }
        Some(generation) => Ok(Query::File { generation: generation.into_owned() }),
        None => Ok(Query::Lines {
            after: number("after", after.as_deref(), 0, 0)?,
            limit: number("limit", limit.as_deref(), 1, i64::MAX)?,
        }),
    }
}

/// What an answer under way needs.
struct Reader {
    sessions: Arc<Sessions>,
    counters: Arc<Counters>,
    _permit: OwnedSemaphorePermit,
}

/// How far an answer is.
enum Progress {
    /// So many lines may follow, behind the one with this id.
    Lines { after: i64, left: i64 },
    /// All has been sent.
    End,
}

impl Reader {
    /// The lines behind the id `after`, at most `limit` of them, as the example has them.
    async fn lines(self, after: i64, limit: i64) -> anyhow::Result<Response> {
        let last = lines::last_id(&self.sessions.reading).await?;
        let mut text = "{\"success\":\"true\",\"Lines\":[".to_owned();
        let first = self.piece_of_lines(&mut text, after, last, limit).await?;
        let begun = Some(Bytes::from(text));
        let rest = stream::try_unfold((self, first, begun), move |(reader, progress, begun)| async move {
            match (begun, progress) {
                (Some(begun), progress) => Ok(Some((begun, (reader, progress, None)))),
                (None, Progress::End) => Ok(None),
                (None, Progress::Lines { after, left }) => {
                    let mut text = ",".to_owned();
                    let progress = reader.piece_of_lines(&mut text, after, last, left).await?;
                    Ok::<_, anyhow::Error>(Some((Bytes::from(text), (reader, progress, None))))
                }
            }
        });
        Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(rest)).into_response())
    }

    /// Writes a page of lines, and what ends the answer if it is the last.
    async fn piece_of_lines(&self, text: &mut String, after: i64, last: i64, left: i64) -> anyhow::Result<Progress> {
        let page = lines::page_by_id(&self.sessions.reading, after, last, left).await?;
        self.counters.read_lines.add(page.len() as u64);
        for (number, line) in page.iter().enumerate() {
            text.push_str(if number > 0 { "," } else { "" });
            write_object(text, line)?;
        }
        let left = left - (page.len() as u64).cast_signed();
        match page.last().map(Line::key) {
            Some(after) if after < last && left > 0 => Ok(Progress::Lines { after, left }),
            _ => {
                text.push_str("]}");
                Ok(Progress::End)
            }
        }
    }

    /// The lines of a followed file.
    async fn file(self, generation: String) -> anyhow::Result<Response> {
        // The database's text holds no NUL, so it can't even be asked for one.
        let known = if generation.contains('\0') {
            None
        } else {
            lines::length_of(&self.sessions.reading, &generation).await?
        };
        let Some(length) = known else {
            return Ok(sentence(StatusCode::NOT_FOUND, "No line of this generation is stored."));
        };
        let end = length.cast_signed();
        let first = self.piece_of_file(&generation, 0, end).await?;
        let state = (self, generation, Some(first));
        let pieces = stream::try_unfold((state, 0), move |((reader, generation, first), from)| async move {
            let piece = match first {
                Some(first) => first,
                None if from < end => reader.piece_of_file(&generation, from, end).await?,
                None => Vec::new(),
            };
            if piece.is_empty() {
                return Ok(None);
            }
            let next = from + (piece.len() as u64).cast_signed();
            Ok::<_, anyhow::Error>(Some((Bytes::from(piece), ((reader, generation, None), next))))
        });
        let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CONTENT_LENGTH, length.to_string())];
        Ok((headers, Body::from_stream(pieces)).into_response())
    }

    /// The next page of a file.
    async fn piece_of_file(&self, generation: &str, from: i64, end: i64) -> anyhow::Result<Vec<u8>> {
        let page = lines::page_of_file(&self.sessions.reading, generation, from, end).await?;
        self.counters.read_lines.add(page.len() as u64);
        let mut bytes = Vec::new();
        for line in &page {
            bytes.extend_from_slice(line.bytes());
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}

/// Writes a line as an object. One that is not text has its bytes as hexadecimal digits, too.
fn write_object(text: &mut String, line: &Line) -> anyhow::Result<()> {
    write!(text, "{{\"id\":{},\"data\":", line.key())?;
    let data = String::from_utf8_lossy(line.bytes());
    text.push_str(&serde_json::to_string(&data)?);
    if let Some(raw) = line.raw() {
        text.push_str(",\"raw\":\"");
        for byte in raw {
            write!(text, "{byte:02x}")?;
        }
        text.push('"');
    }
    text.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_lines_or_a_file() {
        let lines = |after, limit| Ok(Query::Lines { after, limit });
        assert_eq!(parse(""), lines(0, i64::MAX));
        assert_eq!(parse("limit=10&after=5"), lines(5, 10));
        assert_eq!(parse("generation=00a1"), Ok(Query::File { generation: "00a1".to_owned() }));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in ["after=-1", "after=x", "after=", "limit=0", "limit=1.5", "limit=9223372036854775808", "limit=+"] {
            assert!(parse(query).is_err(), "{query}");
        }
        for query in ["after=1&after=2", "generation=x&limit=1", "afer=1", "x"] {
            assert!(parse(query).is_err(), "{query}");
        }
    }
}
