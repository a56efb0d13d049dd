//! The password in a file, as Kubernetes mounts a Secret.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use tracing::warn;

/// How often the file is read anew. A Secret that rotates takes the kubelet longer than that.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How much of the file is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// A password that may change. A thread of its own reads the file, because the disk that it is on may hang: then the last one
/// holds, and nobody waits.
#[derive(Clone)]
pub struct Password(Arc<Mutex<Vec<u8>>>);

impl Password {
    /// The password in `file`.
    ///
    /// # Errors
    ///
    /// When the file can't be read now, or is empty, or no thread can be had.
    pub fn in_file(file: PathBuf) -> anyhow::Result<Self> {
        let latest = Arc::new(Mutex::new(read(&file)?));
        let kept = Arc::clone(&latest);
        let reader = thread::Builder::new().name("password".to_owned()).spawn(move || keep_up_to_date(&kept, &file));
        reader.context("cannot start the thread that reads the password")?;
        Ok(Self(latest))
    }

    /// The password that was read last.
    pub fn latest(&self) -> Vec<u8> {
        lock(&self.0).clone()
    }
}

fn lock(latest: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the password anew, for ever. While that can't be done the last one holds.
fn keep_up_to_date(latest: &Mutex<Vec<u8>>, file: &Path) -> ! {
    let mut trouble = None;
    loop {
        thread::sleep(READ_EVERY);
        trouble = match read(file) {
            Ok(password) => {
                *lock(latest) = password;
                None
            }
            Err(error) => {
                let found = Some(format!("{error:#}"));
                if trouble != found {
                    warn!("{error:#}; the last one is still used");
                }
                found
            }
        };
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let reading = File::open(file).and_then(|opened| opened.take(LONGEST).read_to_end(&mut text));
    reading.with_context(|| format!("cannot read the password in {}", file.display()))?;
    let password = text.trim_ascii_end();
    if password.is_empty() {
        bail!("{} holds no password", file.display());
    }
    Ok(password.to_owned())
}
