//! The open connections: at most a fixed number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

/// How long a connection without a request is left alone while there are others to close: time enough for a probe to ask.
const GRACE: Duration = Duration::from_millis(250);

/// All open connections.
pub struct Connections {
    limit: usize,
    table: Mutex<Table>,
    closed: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Connection>>,
}

/// One connection, which is in the table as long as its [`Admitted`] lives.
pub struct Connection {
    activity: Mutex<Activity>,
    close: Notify,
}

struct Activity {
    /// How many answers are under way.
    answers: usize,
    /// When the last of them ended, or the connection was opened.
    since: Instant,
}

impl Connections {
    /// Room for `limit` connections.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, table: Mutex::default(), closed: Notify::new() })
    }

    /// Takes a connection in; if there are too many, the one that is idle longest is closed for it, and if none is, the
    /// new one is not taken.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let now = Instant::now();
        let mut table = self.table();
        if table.open.len() >= self.limit {
            let idle = table.open.iter().filter_map(|(&id, open)| Some((open.idle_since()?, id)));
            let (since, id) = idle.min()?;
            if now.duration_since(since) < GRACE {
                return None;
            }
            table.open.remove(&id)?.close.notify_one();
        }
        let activity = Mutex::new(Activity { answers: 0, since: now });
        let connection = Arc::new(Connection { activity, close: Notify::new() });
        let id = table.next;
        table.next += 1;
        table.open.insert(id, Arc::clone(&connection));
        drop(table);
        Some(Admitted { connections: Arc::clone(self), id, connection })
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.table().open.len()
    }

    /// Waits until no connection is open.
    pub async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.count() == 0 {
                return;
            }
            closed.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Marks an answer as under way until the guard is dropped.
    pub fn answer(self: &Arc<Self>) -> Answering {
        self.activity().answers += 1;
        Answering(Arc::clone(self))
    }

    /// Waits until the connection has to make room for another.
    pub async fn closing(&self) {
        self.close.notified().await;
    }

    /// Waits until no answer has been under way for `quiet`: time enough to send the end of the last one.
    pub async fn quiet_for(&self, quiet: Duration) {
        while self.idle_since().is_none_or(|since| since.elapsed() < quiet) {
            sleep(quiet / 4).await;
        }
    }

    fn idle_since(&self) -> Option<Instant> {
        let activity = self.activity();
        (activity.answers == 0).then_some(activity.since)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives as long as an answer.
pub struct Answering(Arc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.answers -= 1;
        activity.since = Instant::now();
    }
}

/// A place in the table, given back when this is dropped.
pub struct Admitted {
    connections: Arc<Connections>,
    id: u64,
    /// The connection in that place.
    pub connection: Arc<Connection>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
        self.connections.closed.notify_one();
    }
}
