//! The clients that wait for the file to grow: at most a fixed number of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::counters::Served;
use crate::file::offset::{Gone, Offset};
use crate::file::snapshot::Snapshot;
use crate::file::watcher::Growth;
use crate::live::follower::Follower;
use crate::stage::Stage;

/// What the live reads of a server share.
pub struct Live {
    growth: Arc<Growth>,
    stage: watch::Receiver<Stage>,
    /// A permit for each client that may wait at the same time.
    room: Arc<Semaphore>,
    limit: usize,
    served: Arc<Served>,
}

impl Live {
    /// Room for `limit` clients.
    pub fn new(growth: Arc<Growth>, stage: watch::Receiver<Stage>, limit: usize, served: Arc<Served>) -> Self {
        Self { growth, stage, room: Arc::new(Semaphore::new(limit)), limit, served }
    }

    /// How many clients wait now.
    pub fn count(&self) -> usize {
        self.limit - self.room.available_permits()
    }

    /// Takes a client in, if there is room. It keeps its place until the permit is dropped.
    pub fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// A reader of `snapshot` from `offset` on.
    ///
    /// # Errors
    ///
    /// When the offset is of another file.
    pub fn follow(&self, snapshot: Arc<Snapshot>, offset: &Offset) -> Result<Follower, Gone> {
        Follower::new(snapshot, offset, &self.growth, self.stage.clone(), Arc::clone(&self.served))
    }
}
