//! Whether the file is still the one that it was, and has only grown. A mirror's file may be lost and copied again: what
//! it will have where a client stands is what it would have had.

use crate::generation::Generation;
use crate::snapshot::Snapshot;

/// Counts the editions of the file: once it was replaced, emptied or truncated it is another, even where the generation
/// stays. Clients never hear of the number: it holds only within this process, which has seen the file change.
#[derive(Default)]
pub struct Editions {
    count: u64,
    /// Kept even while there is no file. Unlike a snapshot it keeps no deleted file on the disk.
    latest: Option<State>,
}

/// What tells whether a file has only grown.
struct State {
    file: (u64, u64),
    copy: Option<u64>,
    generation: Generation,
    length: u64,
}

impl Editions {
    /// The number of the edition that `snapshot` is of, which must be the latest.
    pub fn number(&mut self, snapshot: &Snapshot) -> u64 {
        let Snapshot { ref stamp, copy, generation, length, .. } = *snapshot;
        let state = State { file: stamp.file(), copy, generation, length };
        if !self.latest.as_ref().is_some_and(|before| before.may_grow_into(&state)) {
            self.count += 1;
        }
        self.latest = Some(state);
        self.count
    }
}

impl State {
    fn may_grow_into(&self, next: &Self) -> bool {
        let keeps_generation = self.generation == next.generation || self.generation == Generation::NONE;
        let is_same_copy = self.copy.is_some() && self.copy == next.copy;
        keeps_generation && (is_same_copy || self.file == next.file && self.length <= next.length)
    }
}
