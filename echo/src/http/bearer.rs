//! Bearer tokens (RFC 6750), kept in files as Kubernetes mounts a Secret. A browser can only ask for a password (RFC 7617), so the
//! token is accepted as one, too, whatever the name.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;
use tracing::{info, warn};

use crate::http::answer::{Answer, sentence};

/// How often a token is read anew. A Secret that rotates takes the kubelet longer than that.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long a token may be, in bytes: an argument for another file is found out, and no header grows past its limit.
const LONGEST: usize = 8 * 1024;

/// Reads the token in `file`. White space around it, such as the newline that editors leave, is none of it.
///
/// # Errors
///
/// When the file can't be read, or holds what is no token.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let reading = File::open(file).and_then(|opened| opened.take(2 * LONGEST as u64).read_to_end(&mut text));
    reading.with_context(|| format!("cannot read the token in {}", file.display()))?;
    let text = text.trim_ascii();
    if text.is_empty() || text.len() > LONGEST || !text.iter().all(u8::is_ascii_graphic) {
        bail!("{} holds no token: one word of visible ASCII is expected", file.display());
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// The token that clients have to know. A thread of its own reads it anew, because the disk that it is on may hang: then the
/// last one holds, and no request waits.
pub struct Demand(Arc<Mutex<String>>);

impl Demand {
    /// Demands the token in `file`, whichever that is by then.
    ///
    /// # Errors
    ///
    /// When there is none now, or no thread can be had.
    pub fn new(file: PathBuf) -> anyhow::Result<Self> {
        let latest = Arc::new(Mutex::new(read(&file)?));
        let kept = Arc::clone(&latest);
        let reader = thread::Builder::new().name("token".to_owned()).spawn(move || keep_up_to_date(&kept, &file));
        reader.context("cannot start the thread that reads the token")?;
        Ok(Self(latest))
    }

    /// Whether the `Authorization` among `headers` has the token. Takes the same time however much of it is right.
    pub fn is_met_by(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| shown(value.as_bytes()));
        shown.is_some_and(|shown| shown.ct_eq(lock(&self.0).as_bytes()).into())
    }
}

fn lock(latest: &Mutex<String>) -> MutexGuard<'_, String> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the token anew, for ever. While that can't be done the last one holds, lest a slip locks everybody out.
fn keep_up_to_date(latest: &Mutex<String>, file: &Path) -> ! {
    let mut trouble = None;
    loop {
        thread::sleep(READ_EVERY);
        trouble = match read(file) {
            Ok(token) => {
                if token != *lock(latest) {
                    info!("the token has changed");
                }
                *lock(latest) = token;
                None
            }
            Err(error) => {
                let found = Some(format!("{error:#}"));
                if trouble != found {
                    warn!("{error:#}; the last one is still valid");
                }
                found
            }
        };
    }
}

/// The token that an `Authorization` shows.
fn shown(authorization: &[u8]) -> Option<Vec<u8>> {
    let blank = authorization.iter().position(|&byte| byte == b' ')?;
    let (scheme, rest) = authorization.split_at(blank);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let credentials = BASE64_STANDARD.decode(rest).ok()?;
    let colon = credentials.iter().position(|&byte| byte == b':')?;
    Some(credentials[colon + 1..].to_vec())
}

/// What somebody is told who does not know the token.
pub fn refusal() -> Answer {
    sentence(StatusCode::UNAUTHORIZED, "This asks for a token: Authorization: Bearer TOKEN, or TOKEN as the password.")
        .with(&WWW_AUTHENTICATE, "Bearer")
        .with(&WWW_AUTHENTICATE, "Basic realm=\"echo\", charset=\"UTF-8\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_as_such_or_as_a_password() {
        for right in ["Bearer abc", "bearer  abc ", "Basic OmFiYw==", "BASIC bWU6YWJj"] {
            assert_eq!(shown(right.as_bytes()).as_deref(), Some(&b"abc"[..]), "{right}");
        }
        for wrong in ["", "abc", "Bearer", "Basic abc", "Basic YWJj", "Digest abc", "Basic"] {
            assert_eq!(shown(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(shown(b"Basic bWU6YTpi").as_deref(), Some(&b"a:b"[..]), "a password may hold a colon");
    }
}
