//! One connection to the database, with limits on every wait at both of its ends.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};
use tracing::debug;

use crate::database::address::Address;
use crate::database::schema;
use crate::database::tls::Tls;

/// How long it may take to find the address, to connect and to log in.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a change of the schema may take: it may have to rewrite every line.
const MIGRATE: Duration = Duration::from_mins(10);
/// How long a statement may take, with the way to the database and back. The database gives it up itself a second before.
const STATEMENT: Duration = Duration::from_secs(5);

/// What the database is to give up, and when. It probes a silent connection each second, and notices after four that
/// nobody is there, or what that one held would be held on. Where a version does not know one of these, it does without.
const LIMITS: &str = "SELECT set_config(name, value, false) FROM (VALUES ('statement_timeout', '4s'), ('lock_timeout', '4s'), \
    ('tcp_keepalives_idle', '1'), ('tcp_keepalives_interval', '1'), ('tcp_keepalives_count', '3'), \
    ('tcp_user_timeout', '4000')) AS wanted (name, value) JOIN pg_settings USING (name)";
/// The same for a session that is used each second: if it is not, then its program hangs, or the link is cut.
const BUSY: &str = "SELECT set_config(name, '4s', false) FROM (VALUES ('idle_session_timeout')) AS wanted (name) JOIN pg_settings USING (name)";

/// Reads in the order of an index, whatever is estimated of a table that has just grown: a page is the beginning of what an
/// index gives, and never the beginning of what was sorted whole.
const ALONG_INDEXES: &str = "SET enable_sort = off";

/// A value of a statement, and its type in the database.
pub type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// One connection to the database; it ends when this is dropped.
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
    /// Closed along with the connection.
    closed: watch::Receiver<()>,
}

impl Session {
    /// Connects as `name`, which the database shows in `pg_stat_activity`, and brings the schema up.
    ///
    /// # Errors
    ///
    /// When that fails, or takes too long; [`Unusable`](super::unusable::Unusable) when it will fail for ever.
    pub async fn open(address: &Address, name: &str) -> anyhow::Result<Self> {
        let mut config = address.config();
        config.application_name(name);
        let connected = timeout(CONNECT, connect(&config, address.tls())).await;
        let (mut client, connection) = connected.map_err(|_| anyhow!("no connection within {CONNECT:?}"))??;
        let (open, closed) = watch::channel(());
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection to the database ended: {error}");
            }
            drop(open);
        });
        let brought_up = timeout(MIGRATE, schema::bring_up(&mut client)).await;
        let session = Self { client, connection, closed };
        brought_up.map_err(|_| anyhow!("the schema was not brought up within {MIGRATE:?}"))??;
        session.query(LIMITS, &[]).await.context("cannot set limits")?;
        Ok(session)
    }

    /// Lets the database end this session when it is not used for four seconds.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn end_when_idle(&self) -> anyhow::Result<()> {
        self.query(BUSY, &[]).await.map(drop)
    }

    /// Lets the database read along its indexes.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn read_along_indexes(&self) -> anyhow::Result<()> {
        self.query(ALONG_INDEXES, &[]).await.map(drop)
    }

    /// The rows that a statement gives.
    ///
    /// # Errors
    ///
    /// When the database fails, or does not answer in time; whether the statement took effect is not known then.
    pub async fn query(&self, statement: &str, values: &[Value<'_>]) -> anyhow::Result<Vec<Row>> {
        self.in_time(self.client.query_typed(statement, values)).await
    }

    /// How many rows a statement changed.
    ///
    /// # Errors
    ///
    /// As [`Session::query`].
    pub async fn execute(&self, statement: &str, values: &[Value<'_>]) -> anyhow::Result<u64> {
        self.in_time(self.client.execute_typed(statement, values)).await
    }

    /// Makes sure that the database answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn ping(&self) -> anyhow::Result<()> {
        self.in_time(self.client.check_connection()).await
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        let _ = self.closed.clone().changed().await;
    }

    /// Waits for the database, but not for ever: one that does not answer is not asked again over this connection.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> anyhow::Result<T> {
        let Ok(done) = timeout(STATEMENT, work).await else {
            self.connection.abort();
            bail!("no answer within {STATEMENT:?}");
        };
        Ok(done?)
    }
}

/// What carries a connection until it ends.
type Carrier = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

async fn connect(config: &Config, tls: Option<Tls>) -> Result<(Client, Carrier), tokio_postgres::Error> {
    if let Some(tls) = tls {
        let (client, connection) = config.connect(tls).await?;
        return Ok((client, Box::pin(connection)));
    }
    let (client, connection) = config.connect(NoTls).await?;
    Ok((client, Box::pin(connection)))
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
