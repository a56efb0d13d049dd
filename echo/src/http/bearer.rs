//! Bearer tokens (RFC 6750), kept in files as Kubernetes mounts a Secret. A browser can only ask for a password (RFC 7617), so the
//! token is accepted as one, too, whatever the name.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;
use tracing::{info, warn};

use crate::http::answer::{Answer, sentence};

/// How long a token that was read is good for. A Secret that rotates takes the kubelet longer than that.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long a token may be, in bytes: an argument for another file is found out, and no header grows past its limit.
const LONGEST: usize = 8 * 1024;

/// Reads the token in `file`. White space around it, such as the newline that editors leave, is none of it.
///
/// # Errors
///
/// When the file can't be read, or holds what is no token.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read(file).with_context(|| format!("cannot read the token in {}", file.display()))?;
    let text = text.trim_ascii();
    if text.is_empty() || text.len() > LONGEST || !text.iter().all(u8::is_ascii_graphic) {
        bail!("{} holds no token: one word of visible ASCII is expected", file.display());
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// The token that clients have to know.
pub struct Demand {
    file: PathBuf,
    latest: Mutex<Latest>,
}

struct Latest {
    token: String,
    read_at: Instant,
    trouble: Option<String>,
}

impl Demand {
    /// Demands the token in `file`, whichever that is by then.
    ///
    /// # Errors
    ///
    /// When there is none now.
    pub fn new(file: PathBuf) -> anyhow::Result<Self> {
        let latest = Latest { token: read(&file)?, read_at: Instant::now(), trouble: None };
        Ok(Self { file, latest: Mutex::new(latest) })
    }

    /// Whether the `Authorization` among `headers` has the token. Takes the same time however much of it is right.
    pub fn is_met_by(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION).and_then(|value| shown(value.as_bytes())) else { return false };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.refresh(&self.file);
        shown.ct_eq(latest.token.as_bytes()).into()
    }
}

impl Latest {
    /// Reads the token anew if it is time. While that can't be done the last one holds, lest a slip locks everybody out.
    fn refresh(&mut self, file: &Path) {
        if self.read_at.elapsed() < READ_EVERY {
            return;
        }
        self.read_at = Instant::now();
        match read(file) {
            Ok(token) => {
                if token != self.token {
                    info!("the token has changed");
                }
                self.token = token;
                self.trouble = None;
            }
            Err(error) => {
                let trouble = format!("{error:#}");
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!("{trouble}; the last one is still valid");
                }
                self.trouble = Some(trouble);
            }
        }
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
