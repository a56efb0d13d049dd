//! Statements on the lines that clients write and read.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::database::keys;
use crate::database::session::Session;

/// How much of the lines is fetched at a time, in bytes; one line more may come along.
const PAGE_BYTES: i64 = 64 * 1024;
/// How many lines are fetched at a time.
const PAGE_LINES: i64 = 2048;

/// A line as it is stored.
pub struct Line(Row);

impl Line {
    /// Its id, where it was asked for by id; else the offset of its first byte.
    pub fn key(&self) -> i64 {
        self.0.get(0)
    }

    /// Its text, if it is text.
    pub fn data(&self) -> Option<&str> {
        self.0.get(1)
    }

    /// Its bytes, if it is not.
    pub fn raw(&self) -> Option<&[u8]> {
        self.0.get(2)
    }

    /// Its bytes, whatever they are.
    pub fn bytes(&self) -> &[u8] {
        self.data().map(str::as_bytes).or(self.raw()).unwrap_or_default()
    }
}

/// Stores a line of a client's; returns its id.
///
/// # Errors
///
/// When the database fails. Whether the line is stored is not known then.
pub async fn insert(session: &Session, data: &str) -> anyhow::Result<i64> {
    let statement = "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock($1, $2)) \
                     INSERT INTO lines (data) SELECT $3 FROM turn RETURNING id";
    let (class, key) = keys::ORDER;
    let rows = session.query(statement, &[(&class, Type::INT4), (&key, Type::INT4), (&data, Type::TEXT)]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// The largest id that there is; 0 if there is none.
///
/// # Errors
///
/// When the database fails.
pub async fn last_id(session: &Session) -> anyhow::Result<i64> {
    let rows = session.query("SELECT coalesce(max(id), 0) FROM lines", &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// The first lines with an id greater than `after`, up to `last`: at most `limit`, and no more than a page.
///
/// # Errors
///
/// When the database fails.
pub async fn page_by_id(session: &Session, after: i64, last: i64, limit: i64) -> anyhow::Result<Vec<Line>> {
    let statement = page("id", "id > $1 AND id <= $2");
    let limit = limit.min(PAGE_LINES);
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
        [(&after, Type::INT8), (&last, Type::INT8), (&limit, Type::INT8), (&PAGE_BYTES, Type::INT8)];
    Ok(session.query(&statement, &values).await?.into_iter().map(Line).collect())
}

/// How many bytes of the file `generation` are stored, if it is known.
///
/// # Errors
///
/// When the database fails.
pub async fn length_of(session: &Session, generation: &str) -> anyhow::Result<Option<u64>> {
    let statement = "SELECT bytes FROM places WHERE generation = $1";
    let rows = session.query(statement, &[(&generation, Type::TEXT)]).await?;
    Ok(rows.first().map(|row| row.get::<_, i64>(0).unsigned_abs()))
}

/// The first lines of the file `generation` that begin at the offset `from` or behind it, but before `end`; no more than
/// a page.
///
/// # Errors
///
/// When the database fails.
pub async fn page_of_file(session: &Session, generation: &str, from: i64, end: i64) -> anyhow::Result<Vec<Line>> {
    let statement = page("start", "start >= $1 AND start < $2 AND generation = $5");
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
        (&from, Type::INT8),
        (&end, Type::INT8),
        (&PAGE_LINES, Type::INT8),
        (&PAGE_BYTES, Type::INT8),
        (&generation, Type::TEXT),
    ];
    Ok(session.query(&statement, &values).await?.into_iter().map(Line).collect())
}

/// A statement for the lines where `condition` holds, in the order of `key`: at most `$3`, and only while those before
/// them have fewer than `$4` bytes.
fn page(key: &str, condition: &str) -> String {
    format!(
        "SELECT {key}, data, raw FROM ( \
             SELECT {key}, data, raw, \
                 sum(coalesce(octet_length(data), octet_length(raw), 0) + 32) \
                     OVER (ORDER BY {key} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
             FROM (SELECT {key}, data, raw FROM lines WHERE {condition} ORDER BY {key} LIMIT $3) AS next \
         ) AS sized WHERE coalesce(before, 0) < $4 ORDER BY {key}"
    )
}
