//! `generator` appends a random number to a file at every interval. See `ARCHITECTURE.md` for the path of a number.

mod access;
mod append;
mod check;
mod disk;
#[cfg(test)]
#[path = "../../fuzz/checks/generator.rs"]
mod fuzz;
mod log;
mod numbers;
mod rotation;
mod signal;
mod verify;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{error, info, warn};

use append::Appender;
use log::Log;
use numbers::{LONGEST_LINE, Numbers};
use signal::Stop;

/// Appends a random number (0 to 32767, a decimal line) to a file, at once and then at every interval.
///
/// Whole lines only, by one writer: what a crash or a full disk left of a line is cut off or finished, and a file that
/// was deleted, replaced or truncated meanwhile is noticed. SIGTERM and SIGINT end it with status 0.
#[derive(Parser)]
#[command(name = "generator", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
    #[command(flatten)]
    log: Log,
}

#[derive(Subcommand)]
enum Command {
    /// Exit 0 if the file was written within three intervals and a second, else 1: a liveness probe
    ///
    /// A disk that is full is said, and no failure: a restart would free no space.
    Check(Target),
    /// Compare a file with the sequence of its seed; exit 0 only if every complete line is right
    ///
    /// Else the first missing, repeated or foreign line is named by its number and byte offset.
    Verify(Verify),
}

/// What is written, and how often.
#[derive(Args)]
struct Target {
    /// The file to append to; it is created if it is not there
    #[arg(long, env = "GENERATOR_FILE", default_value = "data", value_name = "PATH")]
    file: PathBuf,

    /// Time from one number to the next, such as 500ms, 2s or 1m; 0s is as fast as it goes
    #[arg(long, env = "GENERATOR_INTERVAL", default_value = "2s", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    interval: Duration,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    target: Target,

    /// Stop after so many numbers, with status 0
    #[arg(long, env = "GENERATOR_COUNT", value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    count: Option<u64>,

    /// Make line i of the file depend on this and i alone, so that `generator verify` can check it
    #[arg(long, env = "GENERATOR_SEED", value_name = "SEED", allow_negative_numbers = true)]
    seed: Option<u64>,

    /// Rename the file to `PATH.1` and begin a new one before it would grow past so many bytes
    #[arg(long, env = "GENERATOR_MAX_SIZE", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(LONGEST_LINE..), allow_negative_numbers = true)]
    max_size: Option<u64>,

    /// Let every write reach the disk before the next begins
    #[arg(long, env = "GENERATOR_SYNC", value_parser = boolish)]
    sync: bool,
}

#[derive(Args)]
struct Verify {
    /// The file to read
    file: PathBuf,

    /// The seed that the file was written with
    #[arg(long, env = "GENERATOR_SEED", value_name = "SEED", allow_negative_numbers = true)]
    seed: u64,

    /// Follow the file until it has so many complete lines
    #[arg(long, env = "GENERATOR_LINES", value_name = "N", allow_negative_numbers = true)]
    lines: Option<u64>,

    /// How long to wait for them
    #[arg(long, env = "GENERATOR_TIMEOUT", default_value = "1m", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    timeout: Duration,
}

/// Parses a duration of at most a year, which is what clocks can be added up to without a thought.
fn duration(text: &str) -> Result<Duration, String> {
    let year = Duration::from_hours(365 * 24);
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= year => Ok(duration),
        Ok(_) => Err("it is longer than a year".to_owned()),
        Err(_) => Err("a number and a unit are expected, such as 500ms, 2s or 1m".to_owned()),
    }
}

/// Parses what people write into a variable that is a switch. clap's own parser for it costs 10 kB of the image.
fn boolish(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" | "" => Ok(false),
        _ => Err("true or false is expected".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.log.init();
    let is_tool = cli.command.is_some();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(run(cli))) {
        Ok(()) => return ExitCode::SUCCESS,
        // A probe and a test are read by whoever called them, a generator by its log.
        Err(error) if is_tool => say(std::io::stderr(), &format!("{error:#}")),
        Err(error) => error!("{error:#}"),
    }
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("cannot catch signals")?;
    let said = match cli.command {
        None => return generate(cli.run, stop).await,
        Some(Command::Check(Target { file, interval })) => check::check(&file, interval)?,
        Some(Command::Verify(Verify { file, seed, lines, timeout })) => tokio::select! {
            verified = verify::verify(&file, seed, lines, timeout) => verified?,
            signal = stop.requested() => bail!("ended by {signal}"),
        },
    };
    say(std::io::stdout(), &said);
    Ok(())
}

/// Prints a line. Where that can't be done, the status says all the same what there is to say.
fn say(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

async fn generate(run: Run, mut stop: Stop) -> anyhow::Result<()> {
    signal::survive_file_size_limit().context("cannot catch signals")?;
    let Run { target: Target { file, interval }, count, seed, max_size, sync } = run;
    let numbers = Numbers::new(seed).context("cannot get random numbers")?;
    let mut appender = Appender::new(file.clone(), numbers, sync, max_size);
    match appender.attach() {
        Err(error) if !is_full(&error) => return Err(error),
        // A full disk is reported, and waited for, by the first tick.
        _ => info!(file = %file.display(), ?interval, "appending"),
    }

    let mut pace = Pace::new(interval);
    let mut failing: Option<Failure> = None;
    while count.is_none_or(|count| appender.written() < count) {
        tokio::select! {
            biased;
            signal = stop.requested() => {
                // First the file, because the log may be held up by who reads it.
                let lines = appender.close();
                info!(lines, "stopping on {signal}");
                return Ok(());
            }
            () = pace.next(failing.is_some()) => {}
        }
        let left = count.map_or(u64::MAX, |count| count - appender.written());
        let outcome = if interval.is_zero() { appender.append_batch(left) } else { appender.append_line() };
        failing = match outcome {
            Ok(()) => failing.and_then(Failure::ended),
            Err(error) => Some(Failure::goes_on(failing, &error)),
        };
    }
    info!(lines = appender.written(), "stopping after --count");
    Ok(())
}

/// Whether the file system had no room: something that may come to an end, unlike all other reasons not to start.
fn is_full(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

/// When the next number is due.
enum Pace {
    /// A tick missed while the machine was frozen is skipped, and the next comes a whole interval later.
    Every(Interval),
    AtOnce,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        if interval.is_zero() {
            return Self::AtOnce;
        }
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Every(ticks)
    }

    async fn next(&mut self, failing: bool) {
        match self {
            Self::Every(ticks) => {
                ticks.tick().await;
            }
            Self::AtOnce if failing => tokio::time::sleep(Duration::from_millis(100)).await,
            Self::AtOnce => tokio::task::yield_now().await,
        }
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
