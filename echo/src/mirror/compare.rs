//! Making sure that what is here is the beginning of the upstream's file.

use std::ops::Range;

use anyhow::{bail, ensure};
use axum::http::header::{HeaderMap, RANGE};

use crate::mirror::body::Received;
use crate::mirror::client::{Connection, Upstream};
use crate::mirror::copy::LocalCopy;
use crate::mirror::foreign::shortened;
use crate::mirror::reason::Reason;
use crate::mirror::request::{OVERLAP, range};
use crate::mirror::response::{Answer, Asked, understand};

/// Compares beginning and end of what is here with the upstream's, as far as that has them.
///
/// # Errors
///
/// When the upstream does not answer, or not as it should; when what is here can't be read.
pub async fn is_prefix(copy: &LocalCopy, upstream: &Upstream, connection: &mut Connection) -> anyhow::Result<bool> {
    let length = copy.length();
    let (head, tail) = (0..length.min(OVERLAP), length.saturating_sub(OVERLAP)..length);
    for (part, is_needed) in [(head, length > OVERLAP), (tail, length > 0)] {
        if is_needed && !is_same(copy, upstream, connection, part).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn is_same(
    copy: &LocalCopy,
    upstream: &Upstream,
    connection: &mut Connection,
    part: Range<u64>,
) -> anyhow::Result<bool> {
    let (mut start, mut end) = (part.start, part.end);
    for _ in 0..2 {
        let headers = HeaderMap::from_iter([(RANGE, range(start, Some(end)))]);
        upstream.reopen(connection).await?;
        let (head, body) = connection.get("", headers).await?.into_parts();
        match understand(&head, Asked { offset: None, range: Some(start) })? {
            Answer::Part { part, .. } => {
                ensure!(part.end <= end, Reason::Misfit.because("it sent more than it was asked for"));
                let theirs = Received::new(body, part.end - start).exactly(part.end - start).await?;
                return Ok(copy.read(start..part.end)? == theirs);
            }
            Answer::Shorter { length: 0 } => return Ok(false),
            Answer::Shorter { length } => (start, end) = (length.saturating_sub(OVERLAP), length),
            answer => {
                let answer = shortened(&format!("{answer:?}"));
                bail!(Reason::Misfit.because(format_args!("it answered {answer} to a plain request")))
            }
        }
    }
    bail!(Reason::Misfit.because("it can't make up its mind how long its file is"))
}
