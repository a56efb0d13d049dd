//! The tables, and how they came to be: a list of changes, each made once, in order.

use anyhow::Context;
use tokio_postgres::Client;

use crate::database::keys;
use crate::database::unusable::Unusable;

/// The changes; the number of a version is its place in this list, from 1. A change that was released stays as it is, and
/// leaves what the program before it needs: replicas of both run side by side during an update.
const CHANGES: [&str; 2] = [
    // The table of the example that this program grew from, which may be there already.
    "CREATE TABLE IF NOT EXISTS lines (id bigserial PRIMARY KEY, data text);",
    // Lines of followed files. A line that is not text, because it holds a NUL or is not UTF-8, is kept in `raw`.
    "ALTER TABLE lines ALTER COLUMN id TYPE bigint;
     ALTER SEQUENCE lines_id_seq AS bigint;
     ALTER TABLE lines
         ADD COLUMN generation text,
         ADD COLUMN start bigint,
         ADD COLUMN raw bytea,
         ADD CONSTRAINT lines_once UNIQUE (generation, start),
         ADD CONSTRAINT lines_have_a_place_or_none CHECK ((generation IS NULL) = (start IS NULL)) NOT VALID,
         ADD CONSTRAINT lines_are_text_or_raw CHECK ((data IS NULL) <> (raw IS NULL)) NOT VALID;
     CREATE TABLE places (
         generation text PRIMARY KEY,
         bytes bigint NOT NULL
     );
     COMMENT ON TABLE places IS 'up to where each file is stored in lines';
     CREATE TABLE sources (
         id serial PRIMARY KEY,
         source text NOT NULL UNIQUE,
         generation text REFERENCES places,
         heard bigint,
         stored timestamptz
     );
     COMMENT ON TABLE sources IS 'what is followed: the file that is there now, how long it was when last heard of, and when a line of it was last stored';
     CREATE TABLE gaps (
         id bigserial PRIMARY KEY,
         source text NOT NULL,
         generation text NOT NULL,
         bytes bigint NOT NULL,
         next_generation text NOT NULL,
         found timestamptz NOT NULL DEFAULT clock_timestamp(),
         extent text NOT NULL DEFAULT 'unknown'
     );
     COMMENT ON TABLE gaps IS 'where one file followed on another: what the first had behind so many bytes, if anything, is not stored';",
];

/// Makes the changes that are missing. All replicas may do so at once: each waits for the one before it.
///
/// # Errors
///
/// When the database fails; [`Unusable`] when it is not for this program.
pub async fn bring_up(client: &mut Client) -> anyhow::Result<()> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.get(0);
    if encoding != "UTF8" {
        return Err(Unusable(format!("the encoding of the database is {encoding}, and has to be UTF8")).into());
    }
    let transaction = client.transaction().await?;
    // Also before CREATE TABLE IF NOT EXISTS, which fails when two do it at once.
    transaction.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&keys::SCHEMA.0, &keys::SCHEMA.1]).await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_versions \
             (version int PRIMARY KEY, made timestamptz NOT NULL DEFAULT clock_timestamp())",
        )
        .await?;
    let row = transaction.query_one("SELECT coalesce(max(version), 0) FROM schema_versions", &[]).await?;
    let version: i32 = row.get(0);
    let Some(missing) = usize::try_from(version).ok().and_then(|made| CHANGES.get(made..)) else {
        let known = CHANGES.len();
        return Err(
            Unusable(format!("the schema has version {version}, and this program knows {known}: update it")).into()
        );
    };
    for (number, change) in (version + 1..).zip(missing) {
        transaction
            .batch_execute(change)
            .await
            .with_context(|| format!("cannot bring the schema to version {number}"))?;
        transaction.execute("INSERT INTO schema_versions (version) VALUES ($1)", &[&number]).await?;
    }
    transaction.commit().await?;
    Ok(())
}
