//! The copy that is served, and the one that will be when it is as good.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::info;

use crate::file::generation::{FIRST_LINE, Generation};
use crate::file::identity::Announced;
use crate::file::lines::first_line;
use crate::file::watcher::Growth;
use crate::mirror::copy::LocalCopy;
use crate::mirror::status::Progress;

/// All that a mirror has on its disk.
pub struct Copies {
    path: PathBuf,
    announced: Arc<Announced>,
    growth: Arc<Growth>,
    progress: Arc<Progress>,
    /// What is served.
    current: LocalCopy,
    /// What will be.
    next: Option<Next>,
}

/// Another generation, made aside while the current one is served on.
struct Next {
    copy: LocalCopy,
    /// The length at which it takes the current one's place: what the upstream had when it was begun; not known before
    /// its first answer.
    goal: Option<u64>,
    /// Whether it was to take that place already. If that failed, it may be half done, and comes before all else.
    is_complete: bool,
    /// Whether it has reached the disk.
    is_durable: bool,
}

impl Copies {
    /// Opens what an earlier process has left at `path`; that is served while the upstream is away.
    ///
    /// # Errors
    ///
    /// When the folder can't be written to, or what stands there is no mirror's.
    pub fn open(
        path: PathBuf,
        announced: Arc<Announced>,
        growth: Arc<Growth>,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        let mut current = LocalCopy::open(path.clone(), Arc::clone(&announced))?;
        current.vouch()?;
        progress.begin(current.length(), current.is_whole());
        Ok(Self { path, announced, growth, progress, current, next: None })
    }

    /// Opens what somebody else has left at the path, if it is another file. It is not served before it is proven to be the
    /// upstream's; what was written before somebody appended to it is.
    ///
    /// # Errors
    ///
    /// The same as those of [`Copies::open`].
    pub fn open_anew(&mut self) -> anyhow::Result<()> {
        if self.current.check().is_ok() {
            self.give_up_next(); // that was what somebody has changed
            return Ok(());
        }
        if !self.current.is_longer_than_written() {
            self.current.disown();
        }
        // One that was to take its place, and could not, may do so now.
        let complete = self.next.as_ref().filter(|next| next.is_complete).map(|next| next.copy.number());
        let number = complete.unwrap_or(self.current.number());
        self.current = LocalCopy::open(self.path.clone(), Arc::clone(&self.announced))?.numbered(number);
        self.give_up_next();
        self.progress.begin(self.current.length(), self.current.is_whole());
        Ok(())
    }

    /// The copy that is being written.
    pub fn latest(&mut self) -> &mut LocalCopy {
        self.next.as_mut().map_or(&mut self.current, |next| &mut next.copy)
    }

    /// Makes sure that nobody else has changed what is served, and that nothing is left half done.
    ///
    /// # Errors
    ///
    /// When somebody has, and when names can't be changed.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.current.check()?;
        self.put_in_place()
    }

    /// Takes note that the upstream has `length` bytes.
    pub fn hear(&mut self, length: u64) {
        self.progress.hear(length);
        if let Some(next) = &mut self.next {
            next.goal.get_or_insert(length);
        }
    }

    /// Appends `bytes` to the latest copy, and wakes who waits for them. The `date` is the upstream's, if with these bytes
    /// all is here that it has.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn append(&mut self, bytes: &[u8], date: Option<SystemTime>) -> anyhow::Result<()> {
        self.progress.receive(bytes.len());
        let copy = self.latest();
        copy.append(bytes, date)?;
        let length = copy.length();
        self.progress.have(length);
        if self.next.is_none() {
            self.growth.hasten();
        }
        Ok(())
    }

    /// The generation of a file that begins with `line`, where the upstream announces none. A file that begins as the one
    /// before it did, as logs with a header do, is another one all the same.
    ///
    /// # Errors
    ///
    /// When the one before can't be read.
    pub fn generation_of(&self, line: &[u8]) -> anyhow::Result<Generation> {
        let length = self.current.length();
        if self.next.is_some() && length > 0 {
            let before = self.current.read(0..length.min(FIRST_LINE as u64 + 1))?;
            if Generation::of_line(first_line(&before)) == Generation::of_line(line) {
                return Ok(self.current.generation().successor());
            }
        }
        Ok(Generation::of_line(line))
    }

    /// Begins another generation aside.
    ///
    /// # Errors
    ///
    /// When what was made aside before can't be removed.
    pub fn start_anew(&mut self, why: &str) -> anyhow::Result<()> {
        info!("the upstream's file is not ours any more ({why}): beginning anew");
        self.give_up_next();
        self.progress.have(0);
        self.next = Some(Next { copy: self.current.aside()?, goal: None, is_complete: false, is_durable: false });
        Ok(())
    }

    /// Drops the unfinished copy, and forgets its generation: so few files are remembered that one which nobody has seen
    /// could push out the one that is served.
    fn give_up_next(&mut self) {
        if let Some(next) = self.next.take() {
            next.copy.disown();
            self.progress.have(self.current.length());
        }
    }

    /// Takes note of the end of an answer, which `is_up_to_date` if it has brought all that the upstream has, last written at
    /// `date`: what has reached its goal is put in place.
    ///
    /// # Errors
    ///
    /// When names can't be changed, or the disk does not take what is to be remembered.
    pub fn settle(&mut self, is_up_to_date: bool, date: Option<SystemTime>) -> anyhow::Result<()> {
        if let Some(next) = &mut self.next {
            next.is_complete = is_up_to_date || next.goal.is_some_and(|goal| next.copy.length() >= goal);
        }
        self.put_in_place()?;
        if is_up_to_date {
            self.current.remember_whole()?;
            if let Some(date) = date {
                self.current.set_date(date)?;
            }
            self.progress.arrive();
        }
        Ok(())
    }

    /// Lets the copy made aside, if it is complete, take the current one's place.
    fn put_in_place(&mut self) -> anyhow::Result<()> {
        let Some(next) = self.next.as_mut().filter(|next| next.is_complete) else { return Ok(()) };
        if !next.is_durable {
            if let Err(error) = next.copy.remember_whole() {
                self.give_up_next();
                return Err(error);
            }
            next.is_durable = true;
        }
        next.copy.take_place_of(&self.current)?;
        if let Some(next) = self.next.take() {
            self.current = next.copy;
        }
        self.progress.begin(self.current.length(), self.current.is_whole());
        self.growth.hasten();
        info!(length = self.current.length(), generation = %self.current.generation(), "the new file is in place");
        Ok(())
    }
}
