//! Logging to stderr, as text or as JSON lines.

use std::io;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

use crate::stderr::{self, Stderr};

/// What is logged, and how.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Logging (to stderr)")]
pub struct Log {
    /// text, or json: an object a line
    #[arg(
        long,
        env = "GENERATOR_LOG_FORMAT",
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        hide_possible_values = true,
        global = true
    )]
    log_format: Format,

    /// Least severity to log
    ///
    /// One of off, error, warn, info, debug and trace.
    #[arg(long, env = "GENERATOR_LOG_LEVEL", default_value = "info", value_name = "LEVEL", global = true)]
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
    /// When the thread that writes can't be started.
    pub fn init(self) -> io::Result<()> {
        stderr::start()?;
        let log = tracing_subscriber::fmt()
            .with_writer(|| Stderr)
            .with_max_level(self.log_level)
            .with_target(false)
            .log_internal_errors(false); // a log on a full disk is no reason to end
        match self.log_format {
            Format::Text => log.init(),
            Format::Json => log.json().flatten_event(true).init(),
        }
        Ok(())
    }
}
