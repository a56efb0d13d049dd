//! Whether the file is still the one that it was, and has only grown. A mirror's file may be lost and copied again: what
//! it will have where a client stands is what it would have had.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::file::generation::Generation;
use crate::file::identity::Name;
use crate::file::view::View;

/// Counts the epochs of the file: once it was replaced, emptied, truncated or written anew it is another, even where the
/// generation stays. Clients never hear of the number: it holds only within this process, which has seen the file change.
#[derive(Default)]
pub struct Epochs {
    count: u64,
    /// Kept even while there is no file. Unlike a snapshot it keeps no deleted file on the disk.
    latest: Option<State>,
}

/// What tells whether a file has only grown.
struct State {
    /// The file, where that can be told.
    file: Option<(u64, u64)>,
    name: Name,
    thread: Arc<()>,
    /// The last bytes up to the length, as many as were held in memory.
    end: Bytes,
}

impl Epochs {
    /// The number of the epoch that `view` is of, the latest one, which has this name.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn number(&mut self, view: &View, name: Name) -> io::Result<u64> {
        let file = view.opened.system.numbers_files().then(|| view.stamp.file());
        let held = view.lines.held(view.lines.held_from().min(name.length)..name.length).unwrap_or_default();
        let state = State { file, name, thread: Arc::clone(&view.thread), end: view.lines.shared(held) };
        let has_only_grown = match &self.latest {
            Some(before) => before.may_grow_into(&state) && before.stands_in(&state, view)?,
            None => false,
        };
        self.count += u64::from(!has_only_grown);
        self.latest = Some(state);
        Ok(self.count)
    }
}

impl State {
    fn may_grow_into(&self, next: &Self) -> bool {
        let keeps_generation = self.name.generation == next.name.generation || self.name.generation == Generation::NONE;
        keeps_generation && (self.is_same_copy(next) || self.file == next.file && self.name.length <= next.name.length)
    }

    fn is_same_copy(&self, other: &Self) -> bool {
        self.name.copy.is_some() && self.name.copy == other.name.copy
    }

    /// Whether the lines that were here stand in the file of `view`, which is of the state `next`.
    fn stands_in(&self, next: &Self, view: &View) -> io::Result<bool> {
        if self.is_same_copy(next) || Arc::ptr_eq(&self.thread, &next.thread) {
            return Ok(true);
        }
        let range = self.name.length - self.end.len() as u64..self.name.length;
        Ok(view.lines.bytes(&view.opened.file, range)? == self.end)
    }
}
