//! The followed file in the database: who may store it, up to where it is stored, and its lines.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_postgres::types::Type;

use crate::database::address::Address;
use crate::database::keys;
use crate::database::session::Session;
use crate::follow::batch::Lines;

/// How often the database hears of a session that has nothing else to say. It gives the lock to another after four times
/// as long.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A source in the database, over a session of its own: the lock lasts as long as that, and only who has it writes.
pub struct Store {
    session: Session,
    /// The id of the source.
    id: i32,
    heartbeat: Interval,
}

/// Up to where a file is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file; none before the first.
    pub generation: Option<String>,
    /// The bytes of it that are stored.
    pub bytes: u64,
}

impl Store {
    /// A session for `source`, as `name`.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn open(address: &Address, name: &str, source: &str) -> anyhow::Result<Self> {
        let session = Session::open(address, &format!("web follow {name}")).await?;
        session.end_when_idle().await?;
        let statement = "WITH new AS (INSERT INTO sources (source) SELECT $1 \
                             WHERE NOT EXISTS (SELECT FROM sources WHERE source = $1) \
                             ON CONFLICT DO NOTHING RETURNING id) \
                         SELECT id FROM new UNION ALL SELECT id FROM sources WHERE source = $1";
        let rows = session.query(statement, &[(&source, Type::TEXT)]).await?;
        let id = rows.first().context("another replica makes the source in this moment")?.get(0);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { session, id, heartbeat })
    }

    /// Takes the lock of the source, unless another replica has it. It is asked for again and again: a session that waits
    /// for a lock holds up the cleaning of every table.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn acquire(&self) -> anyhow::Result<bool> {
        let statement = "SELECT pg_try_advisory_lock($1, $2)";
        let rows = self.session.query(statement, &[(&keys::SOURCE, Type::INT4), (&self.id, Type::INT4)]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// The place that was reached.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn place(&self) -> anyhow::Result<Place> {
        let statement = "SELECT generation, bytes FROM sources LEFT JOIN places USING (generation) WHERE id = $1";
        let rows = self.session.query(statement, &[(&self.id, Type::INT4)]).await?;
        let row = rows.first().context("the source is gone from the database")?;
        let bytes: Option<i64> = row.get(1);
        Ok(Place { generation: row.get(0), bytes: bytes.unwrap_or_default().unsigned_abs() })
    }

    /// Goes on to another file, and records what may be lost of the one before it; returns up to where the new one is
    /// stored already.
    ///
    /// # Errors
    ///
    /// When the database fails, or another replica has gone on meanwhile.
    pub async fn begin(&self, old: &Place, generation: &str) -> anyhow::Result<Place> {
        let statement = "WITH gap AS (INSERT INTO gaps (source, generation, bytes, next_generation) \
                             SELECT source, generation, bytes, $2 FROM sources JOIN places USING (generation) \
                             WHERE id = $1 AND generation = $3), \
                         place AS (INSERT INTO places (generation, bytes) VALUES ($2, 0) ON CONFLICT DO NOTHING) \
                         UPDATE sources SET generation = $2, heard = NULL, stored = NULL \
                         WHERE id = $1 AND generation IS NOT DISTINCT FROM $3";
        let values = [(&self.id as _, Type::INT4), (&generation as _, Type::TEXT), (&old.generation as _, Type::TEXT)];
        let changed = self.session.execute(statement, &values).await?;
        ensure!(changed == 1, "another replica has gone on to another file");
        self.place().await
    }

    /// Stores `lines`, which begin at `place`, and the place behind them, in one transaction; `heard` bytes are known to
    /// be there. Returns the new place.
    ///
    /// # Errors
    ///
    /// When the database fails, or another replica has stored them meanwhile. If the lines are stored, so is the place.
    pub async fn store(&self, place: Place, lines: &Lines<'_>, heard: u64) -> anyhow::Result<Place> {
        // One statement is one transaction. Ids are given in the order of lines, behind the lock that orders all ids.
        let statement = "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock($1, $2)), \
                         place AS (UPDATE places SET bytes = $5 WHERE generation = $3 AND bytes = $4 \
                             RETURNING generation), \
                         heard AS (UPDATE sources SET heard = $6, stored = clock_timestamp() \
                             WHERE id = $7 AND generation = $3) \
                         INSERT INTO lines (data, raw, generation, start) \
                         SELECT line.data, line.raw, place.generation, line.start \
                         FROM turn, place, unnest($8, $9, $10) AS line (data, raw, start) ORDER BY line.start";
        let (class, key) = keys::ORDER;
        let next = place.bytes + lines.length as u64;
        let [from, to, heard] = [place.bytes, next, heard].map(u64::cast_signed);
        let stored = self
            .session
            .execute(
                statement,
                &[
                    (&class, Type::INT4),
                    (&key, Type::INT4),
                    (&place.generation, Type::TEXT),
                    (&from, Type::INT8),
                    (&to, Type::INT8),
                    (&heard, Type::INT8),
                    (&self.id, Type::INT4),
                    (&lines.data, Type::TEXT_ARRAY),
                    (&lines.raw, Type::BYTEA_ARRAY),
                    (&lines.start, Type::INT8_ARRAY),
                ],
            )
            .await?;
        ensure!(stored == lines.start.len() as u64, "another replica has stored these lines");
        Ok(Place { bytes: next, ..place })
    }

    /// Does `work`, and lets the database hear of this session meanwhile.
    ///
    /// # Errors
    ///
    /// When the database fails; with it the lock is lost, and the work is given up.
    pub async fn alive_while<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                _ = self.heartbeat.tick() => self.session.ping().await?,
            }
        }
    }
}

/// How a source stands, as the database knows it, which all replicas share.
#[derive(Debug, Default)]
pub struct Standing {
    /// The replica that follows.
    pub follower: Option<String>,
    /// The file that is followed.
    pub generation: Option<String>,
    /// The bytes of it that are stored.
    pub bytes: Option<i64>,
    /// The bytes that it had when last heard of.
    pub heard: Option<i64>,
    /// Seconds since a line of it was stored.
    pub age: Option<f64>,
}

/// Asks how `source` stands; `None` before anybody has followed it.
///
/// # Errors
///
/// When the database fails.
pub async fn standing(session: &Session, source: &str) -> anyhow::Result<Option<Standing>> {
    // The lock is on the session, whose name tells the replica.
    let statement = "SELECT (SELECT substr(application_name, 12) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                         WHERE locktype = 'advisory' AND granted AND objsubid = 2 \
                         AND classid::bigint = $2 AND objid::bigint = sources.id \
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())), \
                     generation, bytes, heard, extract(epoch FROM clock_timestamp() - stored)::float8 \
                     FROM sources LEFT JOIN places USING (generation) WHERE source = $1";
    let class = i64::from(keys::SOURCE);
    let rows = session.query(statement, &[(&source, Type::TEXT), (&class, Type::INT8)]).await?;
    Ok(rows.first().map(|row| Standing {
        follower: row.get(0),
        generation: row.get(1),
        bytes: row.get(2),
        heard: row.get(3),
        age: row.get(4),
    }))
}
