//! Waiting for a disk: on few threads, and not for ever.
//!
//! This is the one place where the server waits for a file system that may not answer (NFS, FUSE, a disk that fails). What
//! a [prompt](crate::file::filesystem::FileSystem::is_prompt) file system has in memory is asked for on the server's own
//! thread; all else passes [`elsewhere`], or is the one look of [`source`](crate::file::source).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a disk may take before the client is told to try again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many threads read at the same time: a disk that hangs holds no more of them than this.
const MOST_READERS: usize = 8;

static READERS: Semaphore = Semaphore::const_new(MOST_READERS);

/// Does `work` on another thread, when one of few is free.
///
/// # Errors
///
/// Those of the work.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let permit = READERS.acquire().await.map_err(io::Error::other)?;
    let work = move || {
        let _held_to_the_end = permit;
        work()
    };
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Waits for `work` as long as a client does. In a box, because few wait: without it, each connection would have room for that.
///
/// # Errors
///
/// `TimedOut` when that is too long; those of the work.
pub fn within_patience<'a, T: 'a>(
    work: impl Future<Output = io::Result<T>> + Send + 'a,
) -> Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>> {
    let late =
        |_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("the disk has not answered within {PATIENCE:?}")));
    Box::pin(async move { timeout(PATIENCE, work).await.unwrap_or_else(late) })
}
