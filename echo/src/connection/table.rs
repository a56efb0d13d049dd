//! The open connections: who has waited long enough, and who makes room when there are too many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a client may take from the first byte of a request's head to the last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay open between two requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may leave an answer lying without taking a byte of it.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the connections are looked over for those three.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a new connection is left alone while there are others to close: time enough for a probe to ask.
const GRACE: Duration = Duration::from_millis(250);
/// After how long an answer of which no byte was taken can be spared sooner than a new connection.
const STALLED: Duration = Duration::from_secs(2);

/// All open connections; at most a fixed number of them.
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

impl Connections {
    /// Room for `limit` connections.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, table: Mutex::default(), closed: Notify::new() })
    }

    /// Takes a connection in; if there are too many, the one that can best be spared is closed for it.
    pub fn admit(self: &Arc<Self>) -> Admitted {
        let now = Instant::now();
        let connection = Arc::new(Connection::new(now));
        let mut table = self.table();
        if table.open.len() >= self.limit
            && let Some(spared) = table.open.iter().min_by_key(|(_, open)| open.value(now)).map(|(&id, _)| id)
            && let Some(spared) = table.open.remove(&spared)
        {
            spared.close.notify_one();
        }
        let id = table.next;
        table.next += 1;
        table.open.insert(id, Arc::clone(&connection));
        drop(table);
        Admitted { connections: Arc::clone(self), id, connection }
    }

    /// Closes, for ever, connections whose time is up.
    pub async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.table().open.values().filter(|open| open.is_overdue(now)).for_each(|open| open.close.notify_one());
        }
    }

    /// Ends all connections: those without an answer under way at once, the others with it. Returns when none is open.
    pub async fn end(&self) {
        self.table().open.values().for_each(|open| open.end());
        loop {
            let closed = self.closed.notified();
            if self.table().open.is_empty() {
                return;
            }
            closed.await;
        }
    }

    /// Whether the next connection needs another to make room.
    pub fn is_full(&self) -> bool {
        self.count() >= self.limit
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.table().open.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the table, given back when dropped.
pub struct Admitted {
    connections: Arc<Connections>,
    id: u64,
    /// The connection that has the place.
    pub connection: Arc<Connection>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
        self.connections.closed.notify_waiters();
    }
}

/// What is going on at one connection.
pub struct Connection {
    activity: Mutex<Activity>,
    close: Notify,
    /// Whether the connection ends with the answer that is under way.
    is_last: AtomicBool,
}

struct Activity {
    phase: Phase,
    /// When the phase began or, in an answer, when the client last took a byte.
    since: Instant,
    /// Whether bytes wait for the client to take them.
    blocked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Between two requests, or before the first.
    Idle,
    /// A request has begun, and its head is not complete.
    Head,
    /// A request is being answered.
    Answer,
}

impl Connection {
    fn new(opened: Instant) -> Self {
        let activity = Activity { phase: Phase::Idle, since: opened, blocked: false };
        Self { activity: Mutex::new(activity), close: Notify::new(), is_last: AtomicBool::new(false) }
    }

    /// Marks a request as being answered until the returned guard is dropped, with the end of the answer.
    pub fn answer(self: &Arc<Self>) -> Answering {
        self.enter(Phase::Answer);
        Answering(Arc::clone(self))
    }

    /// Lets the connection end with the answer that is under way, or at once if there is none: a request of which only the
    /// beginning has come is not under way.
    fn end(&self) {
        self.is_last.store(true, Ordering::Relaxed);
        if !self.activity().is_answering() {
            self.close.notify_one();
        }
    }

    /// Whether the connection ends with the answer that is under way.
    pub fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    /// Bytes have come from the client.
    pub fn received(&self) {
        if self.activity().phase == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The client has taken bytes, or none if that `is_blocked`; returns whether it was waited for before.
    pub fn sent(&self, is_blocked: bool) -> bool {
        let mut activity = self.activity();
        if !is_blocked {
            activity.since = Instant::now();
        }
        std::mem::replace(&mut activity.blocked, is_blocked)
    }

    /// Waits until the connection is asked to make room, its time is up, or the server stops.
    pub async fn closing(&self) {
        self.close.notified().await;
    }

    fn enter(&self, phase: Phase) {
        let mut activity = self.activity();
        activity.phase = phase;
        activity.since = Instant::now();
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let activity = self.activity();
        let allowed = match activity.phase {
            _ if activity.blocked => STALL_TIMEOUT,
            Phase::Idle => IDLE_TIMEOUT,
            Phase::Head => HEAD_TIMEOUT,
            Phase::Answer => return false,
        };
        now.duration_since(activity.since) > allowed
    }

    /// How well the connection can be spared; the least first: of those that ask for nothing, the one that is idle
    /// longest, then an answer that nobody takes. New connections and answers that are being taken come next, or a flood
    /// would close each probe's connection before its request is there. Last come answers that wait for the file and not
    /// for the client, however quiet they are.
    fn value(&self, now: Instant) -> (u8, Instant) {
        let activity = self.activity();
        let quiet = now.duration_since(activity.since);
        let rank = match (activity.phase, activity.blocked) {
            (Phase::Answer, false) => 3,
            (_, false) if quiet >= GRACE => 0,
            (_, true) if quiet >= STALLED => 1,
            _ => 2,
        };
        (rank, activity.since)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    fn is_answering(&self) -> bool {
        self.phase == Phase::Answer || self.blocked
    }
}

/// Lives as long as an answer.
pub struct Answering(Arc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}
