//! Noticing that the file grew, once for all who wait for it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::file::snapshot::Snapshot;
use crate::file::source::Source;

/// How often the file is looked at while somebody waits for it. Asking works everywhere: notifications of the kernel
/// tell nothing of writes that another node makes.
const POLL: Duration = Duration::from_millis(50);

/// The one watcher of the file. It sleeps while nobody waits.
pub struct Growth {
    source: Arc<Source>,
    /// The latest snapshot, or none while there is no file.
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    is_watching: Mutex<bool>,
    hastened: Notify,
}

impl Growth {
    /// A watcher of `source`.
    pub fn new(source: Arc<Source>) -> Arc<Self> {
        Arc::new(Self {
            source,
            latest: watch::Sender::new(None),
            is_watching: Mutex::new(false),
            hastened: Notify::new(),
        })
    }

    /// Subscribes to every change from now on, and keeps the watcher awake as long as the receiver lives.
    pub fn subscribe(self: &Arc<Self>) -> watch::Receiver<Option<Arc<Snapshot>>> {
        let receiver = self.latest.subscribe();
        let mut is_watching = self.is_watching.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_watching {
            *is_watching = true;
            tokio::spawn(Arc::clone(self).watch());
        }
        receiver
    }

    /// Looks at the file at once, if anybody waits for it: whoever has written it knows better than to wait for the next look.
    pub fn hasten(&self) {
        self.hastened.notify_one();
    }

    /// Wakes all who wait, to look for themselves: something other than the file has changed.
    pub fn wake_all(&self) {
        self.latest.send_modify(|_| {});
    }

    async fn watch(self: Arc<Self>) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.hastened.notified() => {}
            }
            let mut is_watching = self.is_watching.lock().unwrap_or_else(PoisonError::into_inner);
            if self.latest.is_closed() {
                *is_watching = false;
                self.latest.send_replace(None); // or a file deleted meanwhile would stay on the disk
                return;
            }
            drop(is_watching);
            let now = match self.source.snapshot().await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue, // that tells nothing of the file
                found => found.ok(),
            };
            self.latest.send_if_modified(|latest| {
                // This never goes back: what is news to somebody who came after the last look is news since that look.
                let state = |snapshot: &Arc<Snapshot>| (snapshot.epoch(), snapshot.length());
                let is_news = latest.as_ref().map(state) != now.as_ref().map(state);
                *latest = now;
                is_news
            });
        }
    }
}
