//! The command line: options, their variables and their defaults.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Arg, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::log::Log;
use crate::url::Url;

/// Keeps lines in Postgres, and shows them over HTTP: those that clients write, and those of a followed file, each
/// exactly once.
#[derive(Parser)]
#[command(
    name = "web",
    version,
    args_conflicts_with_subcommands = true,
    override_usage = "web [OPTIONS]\n       web check [OPTIONS] [URL]"
)]
pub struct Cli {
    #[command(subcommand)]
    pub subcommand: Option<Subcommands>,
    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub log: Log,
}

impl Cli {
    /// Parses the command line and the environment, where an empty variable is as good as none. Exits if that fails.
    pub fn read() -> Self {
        let matches = without_empty_variables(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

#[derive(Subcommand)]
pub enum Subcommands {
    /// Exit 0 if the server answers 200, else 1 with the reason: a probe for images without a shell
    ///
    /// /readyz, which is asked by default, suits a readiness probe: it fails while the database is away. /healthz suits a
    /// liveness probe: it fails only when a restart helps.
    Check {
        /// What to get [default: /readyz on the port of --listen]
        url: Option<String>,
        #[command(flatten)]
        listen: Listen,
    },
}

#[derive(Args)]
pub struct Listen {
    /// The address and port to listen on; `[::]:8080` takes IPv6, too
    #[arg(long, env = "WEB_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
}

/// Where the database is. The password has no option of its own, because the list of processes shows options: it comes in
/// the variable `db_pass`, in a file, or in the variable `DATABASE_URL`.
#[derive(Args)]
#[command(next_help_heading = "Database (its password: in the variable db_pass, in a file, or in DATABASE_URL)")]
pub struct Database {
    /// All of it in one URL, such as `postgresql://web@db:5432/web`, in place of the options below
    #[arg(long = "database-url", id = "database_url", env = "DATABASE_URL", hide_env_values = true, value_name = "URL", conflicts_with_all = ["db_host", "db_port", "db_name", "db_user"])]
    pub url: Option<String>,

    /// The host of the database, or the folder of its socket
    #[arg(long, env = "db_host", value_name = "HOST")]
    pub db_host: Option<String>,

    /// The port of the database [default: 5432]
    #[arg(long, env = "db_port", value_name = "PORT")]
    pub db_port: Option<u16>,

    /// The name of the database [default: that of the user]
    #[arg(long, env = "db_name", value_name = "NAME")]
    pub db_name: Option<String>,

    /// The user of the database
    #[arg(long, env = "db_user", value_name = "NAME")]
    pub db_user: Option<String>,

    /// The file that holds the password; it is read anew for every connection
    #[arg(long, env = "db_pass_file", value_name = "FILE")]
    pub db_pass_file: Option<PathBuf>,

    /// Demand TLS, and trust the certificates in this PEM file; with `sslmode=require` in `DATABASE_URL` alone,
    /// those of the public authorities
    #[arg(long, env = "db_ca", value_name = "FILE")]
    pub db_ca: Option<PathBuf>,
}

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub listen: Listen,

    /// Store each line of the file that an echo serves at this URL, such as `http://echo:8000/data`, exactly once
    ///
    /// Of all replicas that share a database one follows; when it ends, another goes on where it was.
    #[arg(long, env = "WEB_FOLLOW", value_name = "URL")]
    pub follow: Option<Url>,

    /// Let `GET /quit` end this program, to show what a restart keeps
    #[arg(long, env = "WEB_QUIT", value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub quit: bool,

    /// What this replica is called in /readyz of all of them [default: the host name]
    #[arg(long, env = "WEB_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// How long to go on serving after SIGTERM, unready, while load balancers take notice
    #[arg(long, env = "WEB_DRAIN_DELAY", default_value = "0s", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub drain_delay: Duration,

    /// How long answers under way may take to end after that
    #[arg(long, env = "WEB_DRAIN_TIMEOUT", default_value = "8s", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub drain_timeout: Duration,

    /// How many connections may be open; past that, the one idle longest makes room
    #[arg(long, env = "WEB_MAX_CONNECTIONS", default_value = "1024", value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub max_connections: u32,

    #[command(flatten)]
    pub database: Database,
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
