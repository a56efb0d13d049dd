//! What the routes of clients share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::counters::Counters;
use crate::database::link::Link;

/// How many answers of `/read` may be under way: each holds up to a page of lines in memory.
const READERS: usize = 32;

/// What the routes of clients share.
pub struct Shared {
    /// The way to the database.
    pub link: Arc<Link>,
    /// What clients did.
    pub counters: Arc<Counters>,
    /// Room for answers of `/read`.
    pub readers: Arc<Semaphore>,
}

impl Shared {
    /// With room for all readers.
    pub fn new(link: Arc<Link>, counters: Arc<Counters>) -> Self {
        Self { link, counters, readers: Arc::new(Semaphore::new(READERS)) }
    }
}
