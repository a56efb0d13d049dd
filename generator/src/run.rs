//! Putting it together: from the command line to a generator, a probe or a proof, and to the status that the process ends with.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{CommandFactory, FromArgMatches};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::cli::{Cli, Command, Run, Target, Verify};
use crate::generate::{Plan, generate};
use crate::signal::Stop;
use crate::{check, stderr, variables, verify};

/// Runs the program.
pub fn main() -> ExitCode {
    let matches = variables::parse(Cli::command());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Err(error) = cli.log.init() {
        say(std::io::stderr(), &format!("cannot start a thread for the log: {error}"));
        return ExitCode::FAILURE;
    }
    let status = status(cli);
    stderr::flush();
    status
}

fn status(cli: Cli) -> ExitCode {
    let is_tool = cli.command.is_some();
    let done = Builder::new_current_thread().enable_all().build().context("cannot start the runtime");
    let done = done.and_then(|runtime| {
        let done = runtime.block_on(run(cli));
        runtime.shutdown_background(); // does not wait for a disk that never answers
        done
    });
    match done {
        Ok(()) => return ExitCode::SUCCESS,
        // A probe and a proof are read by whoever called them, a generator by its log.
        Err(error) if is_tool => say(std::io::stderr(), &format!("{error:#}")),
        Err(error) => error!("{error:#}"),
    }
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("cannot catch signals")?;
    let said = match cli.command {
        None => {
            let Run { target: Target { file, interval }, count, seed, max_size, sync } = cli.run;
            return generate(Plan { file, interval, count, seed, max_size, sync }, stop).await;
        }
        Some(Command::Check(Target { file, interval })) => check::check(file, interval).await?,
        Some(Command::Verify(Verify { file, seed, lines, timeout })) => {
            // On a thread of its own, as the disk may take its time.
            let verified = spawn_blocking(move || {
                let runtime =
                    Builder::new_current_thread().enable_time().build().context("cannot start the runtime")?;
                runtime.block_on(verify::verify(&file, seed, lines, timeout))
            });
            tokio::select! {
                verified = verified => verified.context("the reader failed")??,
                signal = stop.requested() => bail!("ended by {signal}"),
            }
        }
    };
    say(std::io::stdout(), &said);
    Ok(())
}

/// Prints a line. Where that can't be done, the status says all the same what there is to say.
fn say(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
