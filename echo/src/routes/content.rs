//! The content of answers from the file: from memory where it is at hand, else as the client takes it.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::counters::Served;
use crate::file::snapshot::Snapshot;
use crate::http::answer::{Body, Part};

/// The longest part of the file that is kept in memory because it is asked for again, in bytes. One part is kept at a time.
const LONGEST_KEPT: u64 = 512 * 1024;

/// Gives answers their content, and counts it.
pub struct Contents {
    served: Arc<Served>,
    kept: Mutex<Option<Kept>>,
}

/// A part of the file that was asked for.
struct Kept {
    /// Not held, or the file of an old one would stay open and keep its place on the disk.
    snapshot: Weak<Snapshot>,
    range: Range<u64>,
    /// Its bytes, once it was asked for twice.
    content: Option<Bytes>,
}

impl Contents {
    /// Counts with `served`.
    pub fn new(served: Arc<Served>) -> Self {
        Self { served, kept: Mutex::default() }
    }

    /// The bytes of `snapshot` in `range`, which lies within its length.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file has been truncated since; any error of reading it.
    pub async fn of(&self, snapshot: &Arc<Snapshot>, range: Range<u64>) -> io::Result<Body> {
        if range.is_empty() {
            return Ok(Body::Announced(0));
        }
        if snapshot.holds(range.start) {
            let bytes = snapshot.read_within(range).await?;
            self.served.add(bytes.len());
            return Ok(Body::Bytes(bytes));
        }
        if let Some(bytes) = self.kept(snapshot, &range)? {
            self.served.add(bytes.len());
            return Ok(Body::Bytes(bytes));
        }
        snapshot.read_within(range.end - 1..range.end).await?; // a file that is gone already can still be answered for
        Ok(Body::Part(Part { snapshot: Arc::clone(snapshot), range, served: Arc::clone(&self.served) }))
    }

    /// The part from memory, if it was asked for before and can't have changed since. All clients share its bytes.
    fn kept(&self, snapshot: &Arc<Snapshot>, range: &Range<u64>) -> io::Result<Option<Bytes>> {
        if !snapshot.is_settled() || range.end - range.start > LONGEST_KEPT {
            return Ok(None);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Some(kept) if kept.is(snapshot, range) => {
                if kept.content.is_none() {
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    if snapshot.read_at_once(&mut bytes, range.start)? != Some(bytes.len()) {
                        return Ok(None); // on a disk, which takes a while
                    }
                    kept.content = Some(bytes.into());
                }
                Ok(kept.content.clone())
            }
            _ => {
                *kept = Some(Kept { snapshot: Arc::downgrade(snapshot), range: range.clone(), content: None });
                Ok(None)
            }
        }
    }
}

impl Kept {
    fn is(&self, snapshot: &Arc<Snapshot>, range: &Range<u64>) -> bool {
        Weak::as_ptr(&self.snapshot) == Arc::as_ptr(snapshot) && self.range == *range
    }
}
