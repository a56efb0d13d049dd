//! Lines for stderr, which may be a pipe that nobody reads, or a file on a disk that hangs: whoever logs never waits for it.
//!
//! 1. A line goes to a bounded queue. If the queue is full, the line is dropped and counted.
//! 2. One thread writes the lines of the queue. It alone waits for stderr.
//! 3. When stderr takes lines again, one more line says how many were lost.
//! 4. A program that ends gives the queue a moment ([`flush`]), and no more.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::error;

/// How much the queue holds, in bytes of lines.
const CAPACITY: usize = 1 << 20;
/// How long a program that ends waits for one line to be written.
const LAST_LINE: Duration = Duration::from_millis(100);
/// How long it waits for all of them, on a machine that has other work.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What was logged and is not written yet.
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    /// The bytes of `lines`, and of the line that is being written.
    bytes: usize,
    /// When the writing of that line began.
    since: Option<Instant>,
    /// Lines that were dropped, or that stderr refused, since the last report.
    lost: u64,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { lines: VecDeque::new(), bytes: 0, since: None, lost: 0 });
/// A line was added, or written.
static CHANGED: Condvar = Condvar::new();

/// Takes whole lines, each by one `write`, and always has them taken at once.
pub struct Stderr;

/// Starts the thread that writes, and lets a panic be a line like any other; to be called once, before the first line.
///
/// # Errors
///
/// When the thread can't be started.
pub fn start() -> io::Result<()> {
    thread::Builder::new().name("log".to_owned()).spawn(write_lines)?;
    std::panic::set_hook(Box::new(|panic| {
        error!("{}", panic.to_string().replace('\n', " "));
        flush(); // the program may end with this panic
    }));
    Ok(())
}

/// Waits until the queue is empty, but not while nobody reads; to be called before the program ends.
pub fn flush() {
    let begun = Instant::now();
    let mut queue = queue();
    while queue.bytes > 0 && begun.elapsed() < LAST_LINES && queue.since.is_none_or(|since| since.elapsed() < LAST_LINE)
    {
        queue = CHANGED.wait_timeout(queue, LAST_LINE / 10).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = queue();
        if queue.bytes + line.len() > CAPACITY {
            queue.lost += 1;
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line.into());
            CHANGED.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines() {
    loop {
        let line = next_line();
        let written = io::stderr().write_all(&line);
        let mut queue = queue();
        queue.bytes -= line.len();
        queue.since = None;
        CHANGED.notify_all();
        if written.is_err() {
            queue.lost += 1;
            continue;
        }
        // Half empty, so that there is room for the report, and a log that is read too slowly gets few of them.
        if queue.lost > 0 && queue.bytes <= CAPACITY / 2 {
            let lost = std::mem::take(&mut queue.lost);
            drop(queue);
            error!("{lost} lines were lost: nobody read this log");
        }
    }
}

fn next_line() -> Box<[u8]> {
    let mut queue = CHANGED.wait_while(queue(), |queue| queue.lines.is_empty()).unwrap_or_else(PoisonError::into_inner);
    queue.since = Some(Instant::now());
    queue.lines.pop_front().unwrap_or_default()
}

/// Nothing panics while it holds the lock, so a poisoned one is as good as any.
fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
