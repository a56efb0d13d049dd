//! Logging to stderr, as text or as JSON lines. A log that nobody reads holds nothing up: its lines wait in a short
//! queue, and what finds no room there is dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

/// How many lines may wait for whoever reads the log.
const WAITING: usize = 1024;
/// How long the end of the program waits for the last lines to be taken.
const FLUSH: Duration = Duration::from_millis(500);

/// What is logged, and how.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Logging (to stderr)")]
pub struct Log {
    /// Form of the log: text for people, json (an object a line) for collectors
    #[arg(long, env = "WEB_LOG_FORMAT", value_enum, default_value = "text", value_name = "FORMAT", global = true)]
    log_format: Format,

    /// Least severity to log: off, error, warn, info, debug or trace
    #[arg(long, env = "WEB_LOG_LEVEL", default_value = "info", value_name = "LEVEL", global = true)]
    log_level: LevelFilter,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Log {
    /// Sets the process-wide logger; to be called once.
    ///
    /// # Errors
    ///
    /// When its thread can't be started.
    pub fn init(self) -> io::Result<Flush> {
        let (lines, waiting) = sync_channel(WAITING);
        let (ended, end) = sync_channel(0);
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Queue { lines: Arc::new(Mutex::new(Some(lines))), dropped: Arc::clone(&dropped) };
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            write_all(&waiting, &dropped);
            drop(ended);
        })?;
        let flush = Flush { queue: queue.clone(), end };
        let log = tracing_subscriber::fmt()
            .with_writer(move || queue.clone())
            .with_max_level(self.log_level)
            .with_target(false)
            .log_internal_errors(false); // a log on a full disk is no reason to end
        match self.log_format {
            Format::Text => log.init(),
            Format::Json => log.json().flatten_event(true).init(),
        }
        Ok(flush)
    }
}

/// Writes what comes to stderr until nothing more can come.
fn write_all(waiting: &Receiver<Vec<u8>>, dropped: &AtomicU64) {
    for line in waiting {
        let _ = io::stderr().write_all(&line);
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => drop(writeln!(io::stderr(), "{count} lines of the log were dropped: nobody read them in time")),
        }
    }
}

/// Where lines wait.
#[derive(Clone)]
struct Queue {
    lines: Arc<Mutex<Option<SyncSender<Vec<u8>>>>>,
    dropped: Arc<AtomicU64>,
}

impl Write for Queue {
    /// Takes a whole line: the logger writes each in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.as_ref().is_some_and(|lines| lines.try_send(line.to_vec()).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of the log.
pub struct Flush {
    queue: Queue,
    end: Receiver<()>,
}

impl Flush {
    /// Waits until the last line is written, but not for ever.
    pub fn flush(self) {
        self.queue.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.end.recv_timeout(FLUSH);
    }
}
