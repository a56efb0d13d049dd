//! `echo` serves one growing file over HTTP. See `ARCHITECTURE.md` for the path of a number.

mod access;
mod answer;
mod bearer;
mod bulk;
mod check;
mod conditional;
mod connections;
mod copies;
mod copy;
mod data;
mod edition;
mod exchange;
mod follow;
#[cfg(test)]
#[path = "../../fuzz/checks/echo.rs"]
mod fuzz;
mod generation;
mod growth;
mod health;
mod http;
mod identity;
mod jitter;
mod live;
mod log;
mod metrics;
mod mirror;
mod offset;
mod page;
mod progress;
mod query;
mod range;
mod received;
mod repeat;
mod representation;
mod server;
mod signal;
mod snapshot;
mod source;
mod sse;
mod stream;
mod supervise;
mod upstream;
mod url;
mod watched;

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tracing::{error, info, warn};

use bearer::Demand;
use connections::Connections;
use data::Data;
use growth::Growth;
use health::Readiness;
use http::App;
use identity::{Announced, Identity};
use live::Live;
use log::Log;
use metrics::{Served, Sources};
use mirror::Mirror;
use page::Page;
use progress::Progress;
use server::Stage;
use signal::Stop;
use source::Source;
use upstream::Upstream;
use url::Url;

/// Serves one growing file over HTTP, under its own name: whole lines only, as fresh as the file.
///
/// With a COMMAND it is the first process of a container: a small init that runs the server and COMMAND side by side,
/// passes signals on, reaps orphans, and ends when either of them ends, with its status.
#[derive(Parser)]
#[command(
    name = "echo",
    version,
    args_conflicts_with_subcommands = true,
    override_usage = "echo [OPTIONS] [-- COMMAND [ARG]...]\n       echo check [OPTIONS] [URL]"
)]
struct Cli {
    #[command(subcommand)]
    subcommand: Option<Subcommands>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: Log,
    /// A program to run beside the server, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Subcommand)]
enum Subcommands {
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
        parent: i32,
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Args)]
struct Listen {
    /// The address and port to listen on; `[::]:8000` takes IPv6, too
    #[arg(long, env = "ECHO_LISTEN", default_value = "0.0.0.0:8000", value_name = "ADDRESS")]
    listen: SocketAddr,
}

#[derive(Args)]
struct Options {
    /// The file to serve; it need not be there yet
    #[arg(long, env = "ECHO_FILE", default_value = "data", value_name = "PATH")]
    file: PathBuf,

    #[command(flatten)]
    listen: Listen,

    /// Keep the file a copy of the one at this URL, such as `http://numbers:8000/data`, and serve that
    ///
    /// Another echo is followed live; of any other server the end of the file is asked for every second, by Range. What is
    /// here is served on while the upstream is away.
    #[arg(long, env = "ECHO_UPSTREAM", value_name = "URL")]
    upstream: Option<Url>,

    /// Trust the certificates in this PEM file in place of the public authorities
    #[arg(long, env = "ECHO_UPSTREAM_CA", value_name = "FILE", requires = "upstream")]
    upstream_ca: Option<PathBuf>,

    /// Send the token in this file to the upstream; it is read anew for every connection
    #[arg(long, env = "ECHO_UPSTREAM_TOKEN_FILE", value_name = "FILE", requires = "upstream")]
    upstream_token_file: Option<PathBuf>,

    /// Demand the token in this file from all clients but probes: `Authorization: Bearer TOKEN`
    #[arg(long, env = "ECHO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Be ready only while the newest line is not older than this, such as 10s
    #[arg(long, env = "ECHO_FRESH_WITHIN", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    fresh_within: Option<Duration>,

    /// How long to go on serving after SIGTERM, unready, while load balancers take notice
    #[arg(long, env = "ECHO_DRAIN_DELAY", default_value = "0s", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    drain_delay: Duration,

    /// How long answers under way may take to end after that
    #[arg(long, env = "ECHO_DRAIN_TIMEOUT", default_value = "8s", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    drain_timeout: Duration,

    /// How many connections may be open; past that, the one idle longest makes room
    #[arg(long, env = "ECHO_MAX_CONNECTIONS", default_value = "16384", value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    max_connections: u32,

    /// How many clients may wait for new lines at the same time
    #[arg(long, env = "ECHO_MAX_LIVE", default_value = "12288", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_live: u32,
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.log.init();
    let is_tool = cli.subcommand.is_some();
    let done = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime");
    let done = done.and_then(|runtime| {
        let done = runtime.block_on(run(cli));
        runtime.shutdown_background(); // does not wait for a name server, or a disk, that never answers
        done
    });
    match done {
        Ok(status) => return ExitCode::from(status),
        // A probe is read by whoever called it, a server by its log.
        Err(error) if is_tool => say(std::io::stderr(), &format!("{error:#}")),
        Err(error) => error!("{error:#}"),
    }
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.subcommand {
        Some(Subcommands::Exec { parent, program, arguments }) => Ok(supervise::exec(parent, &program, &arguments)),
        Some(Subcommands::Check { url, listen }) => {
            let url = url.unwrap_or_else(|| check::readyz_of(listen.listen));
            check::check(&url).await?;
            say(std::io::stdout(), &format!("{url} answered 200"));
            Ok(0)
        }
        None if cli.command.is_empty() => serve(cli.options).await,
        None => {
            let Options { drain_delay, drain_timeout, .. } = cli.options;
            let own = std::env::args_os().skip(1).take_while(|argument| argument != "--").collect::<Vec<_>>();
            supervise::supervise(&own, &cli.command, cli.log, drain_delay + drain_timeout + Duration::from_secs(1))
                .await
        }
    }
}

/// Prints a line. Where that can't be done, the status says all the same what there is to say.
fn say(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

async fn serve(options: Options) -> anyhow::Result<u8> {
    let mut stop = Stop::listen().context("cannot catch signals")?;
    refuse_what_can_never_be_served(&options.file)?;
    let limit = connection_limit(options.max_connections as usize)?;
    let announced = Arc::new(Announced::default());
    let identity = match options.upstream {
        Some(_) => Identity::Announced(Arc::clone(&announced)),
        None => Identity::Own,
    };
    let source = Arc::new(Source::new(options.file.clone(), identity));
    let stage = watch::Sender::new(Stage::Serving);
    let served = Arc::new(Served::default());
    let growth = Growth::new(Arc::clone(&source));
    let live =
        Arc::new(Live::new(Arc::clone(&growth), stage.subscribe(), options.max_live as usize, Arc::clone(&served)));
    let data = Data::new(Arc::clone(&source), Arc::clone(&live), Arc::clone(&served))?;
    let demand = options.token_file.map(Demand::new).transpose()?;
    let progress = options.upstream.as_ref().map(|_| Arc::new(Progress::new()));
    let mirror = match (options.upstream, &progress) {
        (Some(url), Some(progress)) => {
            let upstream = Upstream { url, ca: options.upstream_ca, token_file: options.upstream_token_file };
            Some(Mirror::new(upstream, options.file.clone(), announced, growth, Arc::clone(progress))?)
        }
        _ => None,
    };
    let connections = Connections::new(limit);
    let listener = server::bind(options.listen.listen)?;
    info!("listening on http://{}", listener.local_addr().context("a socket without an address")?);
    // Looked at once now, so that the log says whether the file is there.
    let _ = source.snapshot();
    if let Some(mirror) = mirror {
        mirror.spawn()?;
    }

    let readiness = Readiness {
        source: Arc::clone(&source),
        progress: progress.clone(),
        fresh_within: options.fresh_within,
        stage: stage.subscribe(),
    };
    let requests = Arc::default();
    let figures = Sources { source, served, progress, live, connections: Arc::clone(&connections), requests };
    let app = App::new(data, readiness, Page::new(&options.file), figures, demand, stage.subscribe());
    let mut serving = tokio::spawn(server::serve(listener, app, Arc::clone(&connections), stage.subscribe()));

    let signal = tokio::select! {
        signal = stop.requested() => signal,
        ended = &mut serving => return ended.context("the server failed").map(|()| 1), // it never ends by itself
    };
    info!("stopping on {signal}");
    let drain = async {
        stage.send_replace(Stage::Draining);
        tokio::time::sleep(options.drain_delay).await;
        stage.send_replace(Stage::Closing);
        if tokio::time::timeout(options.drain_timeout, serving).await.is_err() {
            warn!("{} answers were not taken within {:?} and are cut off", connections.count(), options.drain_timeout);
        }
    };
    tokio::select! {
        () = drain => Ok(0),
        signal = stop.requested() => {
            warn!("stopping at once on a second signal, {signal}");
            Ok(1)
        }
    }
}

/// A folder that is not there, or a folder in the file's place, is a mistake; a file that is not there may still come.
fn refuse_what_can_never_be_served(file: &Path) -> anyhow::Result<()> {
    let folder = access::folder_of(file);
    if !std::fs::metadata(folder).with_context(|| format!("cannot look into the folder {}", folder.display()))?.is_dir()
    {
        bail!("{} is not a folder", folder.display());
    }
    if file.is_dir() {
        bail!("{} is a folder, not a file", file.display());
    }
    Ok(())
}

/// Raises the soft limit of open files to the hard one, and returns how many connections that allows, at most `wanted`.
fn connection_limit(wanted: usize) -> anyhow::Result<usize> {
    let reserved = 64; // for the files themselves, and the few descriptors that every process has
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")?;
    let allowed = maximum.map_or(usize::MAX, |files| (files as usize).saturating_sub(reserved)).max(1);
    if allowed < wanted {
        warn!("the limit of open files allows {allowed} connections instead of {wanted}");
    }
    Ok(allowed.min(wanted))
}
