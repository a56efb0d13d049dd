//! The command line: options, their variables and their defaults.
//!
//! 1. A variable that is empty counts as unset.
//! 2. clap takes the command line apart; [`value`] parses what it does not know itself.
//! 3. What is refused is explained by [`hint`].

mod hint;
mod value;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use clap::builder::{BoolishValueParser, Resettable};
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::process::Pid;

use crate::http::url::Url;
use crate::log::Log;

const EXAMPLES: &str = "\
Examples:
  ./echo --file /var/log/app.log --listen 8080
      Serve a log on port 8080; read it by `curl -N localhost:8080/app.log?follow`
  ./echo -- ./generator --interval 1s
      Run a program that writes the file `data`, and serve that
  ./echo --file copy/data --upstream http://numbers:8000/data
      Serve a copy of what another echo serves";

/// Serves one growing file over HTTP, under its own name: whole lines only, as fresh as the file.
///
/// With a COMMAND it is the first process of a container: a small init that runs the server and COMMAND side by side,
/// passes signals on, reaps orphans, and ends when either of them ends, with its status.
#[derive(Parser)]
#[command(
    name = "echo",
    version,
    args_conflicts_with_subcommands = true,
    term_width = 80,
    after_long_help = EXAMPLES,
    override_usage = "echo [OPTIONS] [-- COMMAND [ARG]...]\n       echo check [OPTIONS] [URL]"
)]
pub struct Cli {
    #[command(subcommand)]
    pub subcommand: Option<Subcommands>,
    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub log: Log,
    /// A program to run beside the server, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl Cli {
    /// Takes the command line and the variables of this process apart. Ends the process where that can't be done, and after
    /// `--help`.
    pub fn of_this_process() -> Self {
        let command = without_empty_variables(Self::command());
        let parsed = command.try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        parsed.unwrap_or_else(|error| hint::explain(error).exit())
    }
}

fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command.mut_subcommands(without_empty_variables).mut_args(|argument| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(Resettable::Reset),
        _ => argument,
    })
}

#[derive(Subcommand)]
pub enum Subcommands {
    /// Exit 0 if the server answers 200, else 1 with the reason: a probe for images without a shell
    ///
    /// /readyz, which is asked by default, suits a readiness probe, and a health check that should notice when the file
    /// is not there or not fresh. /healthz suits a liveness probe: it fails only when a restart helps.
    Check {
        /// What to get [default: /readyz on the port of --listen]
        url: Option<String>,
        #[command(flatten)]
        listen: Listen,
    },
    /// Become PROGRAM, and die with the process PARENT
    #[command(hide = true)]
    Exec {
        /// In a session of its own
        #[arg(long)]
        session: bool,
        #[arg(value_parser = value::pid)]
        parent: Pid,
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Args)]
pub struct Listen {
    /// The address and port to listen on, or a port alone; `[::]:8000` takes IPv6, too
    #[arg(long, env = "ECHO_LISTEN", default_value = "0.0.0.0:8000", value_name = "ADDRESS", value_parser = value::address)]
    pub listen: SocketAddr,
}

#[derive(Args)]
pub struct Options {
    /// The file to serve; it need not be there yet
    #[arg(long, env = "ECHO_FILE", default_value = "data", value_name = "PATH")]
    pub file: PathBuf,

    #[command(flatten)]
    pub listen: Listen,

    /// Serve what a link points to outside of the file's folder, too
    #[arg(long, env = "ECHO_FOLLOW_LINKS", value_parser = BoolishValueParser::new())]
    pub follow_links: bool,

    /// The name in X-Served-By; `none` sends none [default: the host name]
    #[arg(long, env = "ECHO_NAME", value_parser = value::name)]
    pub name: Option<String>,

    /// Let pages of this origin read, such as `https://a.example`; `*` lets those of all
    #[arg(long, env = "ECHO_ALLOW_ORIGIN", value_name = "ORIGIN", value_parser = value::origin)]
    pub allow_origin: Option<HeaderValue>,

    /// Keep the file a copy of the one at this URL, such as `http://numbers:8000/data`, and serve that
    ///
    /// Another echo is followed live; of any other server the end of the file is asked for every second, by Range. What is
    /// here is served on while the upstream is away.
    #[arg(long, env = "ECHO_UPSTREAM", value_name = "URL")]
    pub upstream: Option<Url>,

    /// Trust the certificates in this PEM file in place of the public authorities
    #[arg(long, env = "ECHO_UPSTREAM_CA", value_name = "FILE", requires = "upstream")]
    pub upstream_ca: Option<PathBuf>,

    /// Send the token in this file to the upstream; it is read anew for every connection
    #[arg(long, env = "ECHO_UPSTREAM_TOKEN_FILE", value_name = "FILE", requires = "upstream")]
    pub upstream_token_file: Option<PathBuf>,

    /// Demand the token in this file from all clients but probes: `Authorization: Bearer TOKEN`
    #[arg(long, env = "ECHO_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Be ready only while the newest line is not older than this, such as 10s
    #[arg(long, env = "ECHO_FRESH_WITHIN", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    pub fresh_within: Option<Duration>,

    /// How long to go on serving after SIGTERM, unready, while load balancers take notice
    #[arg(long, env = "ECHO_DRAIN_DELAY", default_value = "0s", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    pub drain_delay: Duration,

    /// How long answers under way may take to end after that
    #[arg(long, env = "ECHO_DRAIN_TIMEOUT", default_value = "8s", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    pub drain_timeout: Duration,

    /// How many connections may be open; past that, the one idle longest makes room
    #[arg(long, env = "ECHO_MAX_CONNECTIONS", default_value = "16384", value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub max_connections: u32,

    /// How many clients may wait for new lines at the same time
    #[arg(long, env = "ECHO_MAX_LIVE", default_value = "12288", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_live: u32,
}
