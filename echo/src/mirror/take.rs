//! Taking up what an upstream sends.

use std::time::SystemTime;

use anyhow::ensure;
use hyper::body::Incoming;

use crate::file::generation::{FIRST_LINE, Generation};
use crate::file::lines::first_line;
use crate::mirror::body::Received;
use crate::mirror::reason::Reason;
use crate::mirror::response::Part;
use crate::mirror::swap::Copies;

/// Takes up what an echo sends: what follows our end. The `date` is that of all that it has, if this is all.
///
/// # Errors
///
/// When it is not what was announced, or can't be written.
pub async fn take_lines(
    copies: &mut Copies,
    body: Incoming,
    generation: Generation,
    end: u64,
    date: Option<SystemTime>,
) -> anyhow::Result<()> {
    let (ours, length) = (copies.latest().generation(), copies.latest().length());
    let is_asked_for = length == 0 || generation == ours;
    ensure!(is_asked_for, Reason::Misfit.because("it answered for another generation than the one asked for"));
    copies.hear(end);
    copies.latest().begin(generation)?;
    let mut body = Received::new(body, end - length);
    while let Some(bytes) = body.next().await? {
        copies.append(&bytes, date.filter(|_| body.has_come()))?;
    }
    Ok(())
}

/// Takes up what another server sends: our own end, and what follows. Returns whether it is our end.
///
/// # Errors
///
/// When it is not what was announced or is too little, and when it can't be written.
pub async fn take_part(
    copies: &mut Copies,
    body: Incoming,
    part: Part,
    date: Option<SystemTime>,
) -> anyhow::Result<bool> {
    let Part { start, end, length } = part;
    copies.hear(length);
    let mut body = Received::new(body, end - start);
    let ours = copies.latest().length();
    let known = start..ours.min(end);
    if !known.is_empty() && copies.latest().read(known.clone())? != body.exactly(known.end - known.start).await? {
        return Ok(false);
    }
    ensure!(end >= ours, Reason::Shorter);
    let too_little =
        || Reason::Misfit.because(format_args!("it sends too little at a time: only {} bytes", end - start));
    ensure!(end > ours || end == length, too_little());
    let date = date.filter(|_| end == length);
    let mut beginning = Vec::new();
    while let Some(bytes) = body.next().await? {
        let date = date.filter(|_| body.has_come());
        if copies.latest().length() > 0 || beginning.len() > FIRST_LINE {
            copies.append(&bytes, date)?;
            continue;
        }
        // The first line names the generation, which has to be known before anything is written.
        beginning.extend_from_slice(&bytes);
        let line = first_line(&beginning);
        if line.ends_with(b"\n") || beginning.len() > FIRST_LINE {
            let generation = copies.generation_of(line)?;
            copies.latest().begin(generation)?;
            copies.append(&beginning, date)?;
        }
    }
    if copies.latest().length() == 0 {
        copies.latest().begin(Generation::NONE)?;
    }
    Ok(true)
}
