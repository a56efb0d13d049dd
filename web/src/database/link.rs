//! The way to the database that clients share: opened again and again for as long as the program runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::database::address::Address;
use crate::database::session::Session;
use crate::database::unusable::Unusable;
use crate::jitter;

/// The wait after the first failure; it doubles with each one that follows.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait: what is there again is used within a second.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Two sessions, so that readers don't wait for writers, who wait for each other.
pub struct Sessions {
    /// For statements that only read.
    pub reading: Session,
    /// For statements that insert lines.
    pub writing: Session,
}

/// The way to the database.
pub struct Link {
    address: Address,
    name: String,
    sessions: watch::Sender<Option<Arc<Sessions>>>,
}

impl Link {
    /// A link to the database at `address`, for the replica `name`.
    pub fn new(address: Address, name: String) -> Arc<Self> {
        Arc::new(Self { address, name, sessions: watch::Sender::new(None) })
    }

    /// The sessions, while the database is there.
    pub fn sessions(&self) -> Option<Arc<Sessions>> {
        self.sessions.borrow().clone()
    }

    /// Keeps the sessions open for ever; returns why that can't be.
    pub async fn keep(&self) -> anyhow::Error {
        let mut wait = FIRST_WAIT;
        let mut trouble = None;
        loop {
            match self.open().await {
                Ok(sessions) => {
                    info!("the database is there");
                    (wait, trouble) = (FIRST_WAIT, None);
                    let sessions = Arc::new(sessions);
                    self.sessions.send_replace(Some(Arc::clone(&sessions)));
                    tokio::select! {
                        () = sessions.reading.closed() => {}
                        () = sessions.writing.closed() => {}
                    }
                    self.sessions.send_replace(None);
                    warn!("the connection to the database was lost");
                }
                Err(error) if error.is::<Unusable>() => return error,
                Err(error) => {
                    // Once as long as it stays the same.
                    let reason = format!("{error:#}");
                    if trouble.as_ref() != Some(&reason) {
                        warn!("waiting for the database: {reason}");
                        trouble = Some(reason);
                    }
                }
            }
            sleep(wait / 2 + jitter::up_to(wait / 2)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn open(&self) -> anyhow::Result<Sessions> {
        let name = format!("web {}", self.name);
        let reading = Session::open(&self.address, &name).await?;
        reading.read_along_indexes().await?;
        let writing = Session::open(&self.address, &name).await?;
        Ok(Sessions { reading, writing })
    }
}
