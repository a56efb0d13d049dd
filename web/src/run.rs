//! Putting it together: from the command line to a server or a probe, and to the status that the process ends with.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::check;
use crate::cli::{self, Cli, Options, Subcommands};
use crate::connection::accept;
use crate::connection::table::Connections;
use crate::database::address::{Address, Parts};
use crate::database::link::Link;
use crate::follow::follower::Follower;
use crate::follow::status::Status;
use crate::metrics::Sources;
use crate::routes::app::App;
use crate::routes::health::Readiness;
use crate::signal::Stop;
use crate::stage::Stage;
use crate::url::Url;

/// How many open files a process may have where nobody tells.
const COMMON_LIMIT: u64 = 1024;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::read();
    let Ok(flush) = cli.log.init() else { return ExitCode::FAILURE };
    let is_tool = cli.subcommand.is_some();
    let done = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime");
    let done = done.and_then(|runtime| {
        let done = runtime.block_on(run(cli));
        runtime.shutdown_background(); // does not wait for a name server that never answers
        done
    });
    let status = match done {
        Ok(status) => ExitCode::from(status),
        // A probe is read by whoever called it, a server by its log.
        Err(error) if is_tool => {
            say(std::io::stderr(), &format!("{error:#}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    flush.flush();
    status
}

async fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.subcommand {
        Some(Subcommands::Check { url, listen }) => {
            let url = url.unwrap_or_else(|| check::readyz_of(listen.listen));
            check::check(&url).await?;
            say(std::io::stdout(), &format!("{url} answered 200"));
            Ok(0)
        }
        None => serve(cli.options).await,
    }
}

/// Prints a line. Where that can't be done, the status says all the same what there is to say.
fn say(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

async fn serve(options: Options) -> anyhow::Result<u8> {
    let mut stop = Stop::listen().context("cannot catch signals")?;
    let address = address(options.database)?;
    let name = options.name.unwrap_or_else(host_name);
    let connections = Connections::new(connection_limit(options.max_connections as usize));
    let stage = watch::Sender::new(Stage::Serving);
    let link = Link::new(address.clone(), name.clone());
    let listener = accept::bind(options.listen.listen)?;
    info!("listening on http://{}", listener.local_addr().context("a socket without an address")?);

    let quit = Arc::new(Notify::new());
    let status = options.follow.as_ref().map(|_| Arc::new(Status::default()));
    let source = options.follow.as_ref().map(Url::text);
    let app = {
        let (link, connections, follow) = (Arc::clone(&link), Arc::clone(&connections), source.zip(status.clone()));
        let open_connections = Box::new(move || connections.count());
        let readiness = Readiness { link: Arc::clone(&link), follow, stage: stage.subscribe() };
        let figures =
            Sources { counters: Arc::default(), link: Arc::clone(&link), follow: status.clone(), open_connections };
        App::new(link, readiness, figures, options.quit.then(|| Arc::clone(&quit)), stage.subscribe())
    };
    let mut serving = tokio::spawn(accept::serve(listener, app, Arc::clone(&connections), stage.subscribe()));
    let mut keeping = tokio::spawn(async move { link.keep().await });
    let follower = options.follow.zip(status).map(|(url, status)| {
        let follower = Follower::new(address, name, url, status);
        tokio::spawn(follower.run())
    });

    let delay = tokio::select! {
        signal = stop.requested() => {
            info!("stopping on {signal}");
            options.drain_delay
        }
        () = quit.notified() => {
            info!("stopping on a request for /quit");
            Duration::ZERO
        }
        unusable = &mut keeping => return Err(unusable?.context("the database can't be used")),
        ended = &mut serving => return ended.context("the server failed").map(|()| 1), // it never ends by itself
    };
    if let Some(follower) = follower {
        follower.abort(); // another replica takes over at once
    }
    tokio::select! {
        () = drain(serving, &stage, delay, options.drain_timeout, &connections) => Ok(0),
        signal = stop.requested_again() => {
            warn!("stopping at once on a second signal, {signal}");
            Ok(1)
        }
    }
}

/// Goes on for `delay`, unready, and then waits for the answers under way, but no longer than `patience`.
async fn drain(
    serving: JoinHandle<()>,
    stage: &watch::Sender<Stage>,
    delay: Duration,
    patience: Duration,
    connections: &Connections,
) {
    stage.send_replace(Stage::Draining);
    tokio::time::sleep(delay).await;
    stage.send_replace(Stage::Closing);
    if tokio::time::timeout(patience, serving).await.is_err() {
        warn!("{} answers were not taken within {patience:?} and are cut off", connections.count());
    }
}

/// Where the database is, as options and variables say.
fn address(options: cli::Database) -> anyhow::Result<Address> {
    let password = env::var_os("db_pass").filter(|password| !password.is_empty()).map(OsStringExt::into_vec);
    let address = match options.url {
        Some(url) => {
            ensure!(password.is_none(), "there are DATABASE_URL and db_pass, and only one of them can count");
            Address::from_url(&url)?
        }
        None => Address::from_parts(Parts {
            host: options.db_host.ok_or(anyhow!("no database is named: set db_host and db_user, or DATABASE_URL"))?,
            port: options.db_port,
            name: options.db_name,
            user: options.db_user.ok_or(anyhow!("no user of the database is named: set db_user"))?,
            password,
        }),
    };
    let address = match options.db_pass_file {
        Some(file) => address.with_password_in(file)?,
        None => address,
    };
    match options.db_ca {
        Some(ca) => address.with_authorities_in(&ca),
        None => Ok(address),
    }
}

/// The name of the host, which in Kubernetes is the pod's.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "web".to_owned(), |name| name.trim().to_owned())
}

/// Raises the soft limit of open files to the hard one, and returns how many connections that allows, at most `wanted`.
fn connection_limit(wanted: usize) -> usize {
    let reserved = 64; // for sessions with the database, and the few descriptors that every process has
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((COMMON_LIMIT, COMMON_LIMIT));
    let files = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            warn!("cannot raise the limit of open files: {error}");
            soft
        }
    };
    let allowed = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(reserved).max(1);
    if allowed < wanted {
        warn!("the limit of open files allows {allowed} connections instead of {wanted}");
    }
    allowed.min(wanted)
}
