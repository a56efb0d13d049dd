//! Writing at every interval, until a signal or a count ends it.
//!
//! A thread does all that may wait for the disk: it opens, counts, appends. Another one waits for signals alone, so the end comes
//! however long a disk takes.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::append::Appender;
use crate::halt::{Halt, Halted};
use crate::signal::{self, Stop};
use numbers::Numbers;

/// How long a disk may take to finish the last line when the end was asked for.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long a failure lasts before the next attempt, where there is no interval.
const PAUSE: Duration = Duration::from_millis(100);
/// A number that is later than this puts off the next: none is made up for in a burst.
const SLACK: Duration = Duration::from_millis(5);

/// What is to be written, and how.
pub struct Plan {
    /// The file to append to.
    pub file: PathBuf,
    /// The time from one number to the next; zero is as fast as it goes.
    pub interval: Duration,
    /// How many numbers to write.
    pub count: Option<u64>,
    /// What the numbers follow from.
    pub seed: Option<u64>,
    /// Where the file is rotated, in bytes.
    pub max_size: Option<u64>,
    /// Whether each write reaches the disk before the next.
    pub sync: bool,
}

/// Carries out `plan`, until that is done or `stop` is requested.
///
/// # Errors
///
/// When it can't begin.
pub async fn generate(plan: Plan, mut stop: Stop) -> anyhow::Result<()> {
    signal::survive_file_size_limit().context("cannot catch signals")?;
    let halt = Arc::new(Halt::default());
    let asked = Arc::clone(&halt);
    let mut writer = spawn_blocking(move || write(plan, &asked));
    let signal = tokio::select! {
        ended = &mut writer => {
            let lines = ended.context("the writer failed")??;
            info!(lines, "stopping after --count");
            return Ok(());
        }
        signal = stop.requested() => signal,
    };
    halt.ask();
    if let Ok(ended) = timeout(PATIENCE, writer).await {
        info!(lines = ended.context("the writer failed")??, "stopping on {signal}");
    } else {
        warn!("stopping on {signal}, though the disk has not answered for {PATIENCE:?}");
    }
    Ok(())
}

/// Writes until `halt` is asked for or the count is reached; returns how many complete lines it wrote.
fn write(plan: Plan, halt: &Arc<Halt>) -> anyhow::Result<u64> {
    let Plan { file, interval, count, seed, max_size, sync } = plan;
    let numbers = Numbers::new(seed).context("cannot get random numbers")?;
    let mut appender = Appender::new(file.clone(), numbers, sync, max_size, Arc::clone(halt));
    match appender.attach() {
        Err(error) if error.is::<Halted>() => return Ok(0),
        Err(error) if !is_full(&error) => return Err(error),
        // A full disk is reported, and waited for, by the first tick.
        _ => info!(file = %file.display(), ?interval, "appending"),
    }

    let mut pace = Pace::new(interval);
    let mut failing: Option<Failure> = None;
    while count.is_none_or(|count| appender.written() < count) {
        if pace.wait(failing.is_some(), halt) {
            return Ok(appender.close());
        }
        let left = count.map_or(u64::MAX, |count| count - appender.written());
        let outcome = if interval.is_zero() { appender.append_batch(left) } else { appender.append_line() };
        failing = match outcome {
            Ok(()) => failing.and_then(Failure::ended),
            Err(error) if error.is::<Halted>() => failing,
            Err(error) => Some(Failure::goes_on(failing, &error)),
        };
    }
    Ok(appender.close())
}

/// Whether the file system had no room: something that may come to an end, unlike all other reasons not to start.
fn is_full(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

/// When the next number is due: the first at once.
struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, due: Instant::now() }
    }

    /// Waits for the next number. Returns whether the end was asked for first.
    fn wait(&mut self, failing: bool, halt: &Halt) -> bool {
        if self.interval.is_zero() {
            return if failing { halt.wait(PAUSE) } else { halt.is_asked() };
        }
        let now = Instant::now();
        if halt.wait(self.due.saturating_duration_since(now)) {
            return true;
        }
        // What was missed while the machine was frozen is skipped, and the next comes a whole interval later.
        let late = Instant::now();
        let from = if late > self.due + SLACK { late } else { self.due };
        self.due = from + self.interval;
        false
    }
}

/// A state in which no number can be written. It is logged where it begins, changes and ends, not at every try.
struct Failure {
    since: Instant,
    reason: String,
}

impl Failure {
    fn goes_on(before: Option<Self>, error: &anyhow::Error) -> Self {
        let reason = format!("{error:#}");
        if before.as_ref().is_none_or(|before| before.reason != reason) {
            error!("{reason}; retrying");
        }
        Self { since: before.map_or_else(Instant::now, |before| before.since), reason }
    }

    fn ended(self) -> Option<Self> {
        warn!("appending again after {:.1?}: {}", self.since.elapsed(), self.reason);
        None
    }
}
