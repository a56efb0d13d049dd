//! The command line: options, their variables and their defaults.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::log::Log;
use numbers::LONGEST_LINE;

/// Appends a random number (0 to 32767) to a file, as a line, at every interval.
///
/// Whole lines only, by one writer: what a crash or a full disk left of a line is cut off or finished, and a file that
/// was deleted, replaced or truncated meanwhile is noticed. SIGTERM and SIGINT end it with status 0.
#[derive(Parser)]
#[command(name = "generator", version, args_conflicts_with_subcommands = true, after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub log: Log,
}

#[derive(Subcommand)]
pub enum Command {
    /// Exit 0 if the generator of a file is alive, else 1: a liveness probe
    ///
    /// It is alive if the file was written within three intervals and a second, or its lines are being counted. A full disk
    /// is said, and is no failure: a restart would free no space.
    Check(Target),
    /// Exit 0 if every line of a file is the one that its seed says
    ///
    /// Only complete lines count. Else the first missing, repeated or foreign line is named by its number and byte offset.
    Verify(Verify),
}

/// What is written, and how often.
#[derive(Args)]
pub struct Target {
    /// File to append to
    ///
    /// It is made if it is not there. It may be no link, and have no second name.
    #[arg(long, env = "GENERATOR_FILE", default_value = "data", value_name = "PATH")]
    pub file: PathBuf,

    /// Time between numbers: 500ms, 2s
    ///
    /// 0s is as fast as it goes.
    #[arg(long, env = "GENERATOR_INTERVAL", default_value = "2s", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub interval: Duration,
}

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    pub target: Target,

    /// Stop after so many numbers, with status 0
    #[arg(long, env = "GENERATOR_COUNT", value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub count: Option<u64>,

    /// Make line i follow from SEED and i alone
    ///
    /// That is what `generator verify` checks, and what lets a restarted generator go on where the file ends.
    #[arg(long, env = "GENERATOR_SEED", value_name = "SEED", allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Begin a new file before this size is passed
    ///
    /// The full one becomes PATH.1. A number of bytes, or such as 10MB (10,000,000 bytes) or 10MiB (10,485,760 bytes).
    #[arg(long, env = "GENERATOR_MAX_SIZE", value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub max_size: Option<u64>,

    /// Let each write reach the disk before the next
    #[arg(long, env = "GENERATOR_SYNC", value_parser = boolish)]
    pub sync: bool,
}

#[derive(Args)]
pub struct Verify {
    /// The file to read
    pub file: PathBuf,

    /// The seed that the file was written with
    #[arg(long, env = "GENERATOR_SEED", value_name = "SEED", allow_negative_numbers = true)]
    pub seed: u64,

    /// Follow the file until it has so many complete lines
    #[arg(long, env = "GENERATOR_LINES", value_name = "N", allow_negative_numbers = true)]
    pub lines: Option<u64>,

    /// How long to wait for them
    #[arg(long, env = "GENERATOR_TIMEOUT", default_value = "1m", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub timeout: Duration,
}

/// What is shown at the end of `--help`.
const EXAMPLES: &str = "\
Examples:
  # a number every half second, in a file that is renamed to numbers.1 at 10 MB
  generator --file numbers --interval 500ms --max-size 10MB
  # a thousand numbers as fast as it goes, and the proof that all are there
  generator --interval 0s --seed 42 --count 1000 && generator verify --seed 42 data
  # is it alive?
  generator check --file numbers --interval 500ms";

/// Parses a number of bytes, alone or with a decimal or binary unit; `B` at its end may be left out.
fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => Some(1),
        "k" => Some(1000),
        "m" => Some(1_000_000),
        "g" => Some(1_000_000_000),
        "ki" => Some(1 << 10),
        "mi" => Some(1 << 20),
        "gi" => Some(1 << 30),
        _ => None,
    };
    let size = factor.zip(number.parse::<u64>().ok()).and_then(|(factor, number)| number.checked_mul(factor));
    match size {
        Some(size) if size >= LONGEST_LINE => Ok(size),
        Some(_) => Err(format!("a line alone may have {LONGEST_LINE} bytes")),
        None => Err("a number of bytes is expected, such as 500000, 10MB or 10MiB".to_owned()),
    }
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
