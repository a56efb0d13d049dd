//! Putting it together: from the command line to a server, a probe or an init, and to the status that the process ends with.

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::cli::{Cli, Options, Subcommands};
use crate::connection::accept;
use crate::connection::table::Connections;
use crate::counters::{Requests, Served};
use crate::file::identity::{Announced, Identity};
use crate::file::open::Links;
use crate::file::source::Source;
use crate::file::watcher::Growth;
use crate::http::bearer::Demand;
use crate::init::{child, family, signals};
use crate::live::clients::Live;
use crate::metrics::Sources;
use crate::mirror::client::Upstream;
use crate::mirror::session::Mirror;
use crate::mirror::status::Progress;
use crate::names::{self, Names};
use crate::routes::app::{self, App, Figures};
use crate::routes::content::Contents;
use crate::routes::file::Data;
use crate::routes::health::Readiness;
use crate::routes::page::Page;
use crate::routes::server_fields::ServerFields;
use crate::signal::Stop;
use crate::stage::Stage;
use crate::{check, permissions, signal, stderr};

/// How many open files a process may have where nobody tells.
const COMMON_LIMIT: u64 = 1024;

/// Runs the program, to its end.
pub fn main() -> ! {
    let cli = Cli::of_this_process();
    let begun = if cli.command.is_empty() { signal::begin() } else { signal::begin().and_then(|()| signals::block()) };
    if let Err(error) = begun.and_then(|()| cli.log.init()) {
        say(io::stderr(), &format!("cannot begin: {error}"));
        exit(1);
    }
    end(status(cli))
}

/// Ends the program. Nothing is dropped: to close a file may take as long as its disk hangs.
fn end(status: u8) -> ! {
    stderr::flush();
    exit(status.into())
}

fn status(cli: Cli) -> u8 {
    let is_tool = cli.subcommand.is_some();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime");
    match runtime.and_then(|runtime| ManuallyDrop::new(runtime).block_on(run(cli))) {
        Ok(status) => return status,
        // A probe is read by whoever called it, a server by its log.
        Err(error) if is_tool => say(io::stderr(), &format!("{error:#}")),
        Err(error) => error!("{error:#}"),
    }
    1
}

async fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.subcommand {
        Some(Subcommands::Exec { session, parent, program, arguments }) => {
            Ok(child::exec(parent, session, &program, &arguments))
        }
        Some(Subcommands::Check { url, listen }) => {
            let urls = url.map_or_else(|| check::readyz_of(listen.listen), |url| vec![url]);
            say(io::stdout(), &format!("{} answered 200", check::check(&urls).await?));
            Ok(0)
        }
        None if cli.command.is_empty() => serve(cli.options).await,
        None => {
            let Options { drain_delay, drain_timeout, .. } = cli.options;
            let own = std::env::args_os().skip(1).take_while(|argument| argument != "--").collect::<Vec<_>>();
            family::supervise(&own, &cli.command, cli.log, drain_delay + drain_timeout + Duration::from_secs(1))
        }
    }
}

/// Prints a line. Where that can't be done, the status says all the same what there is to say.
fn say(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

async fn serve(options: Options) -> anyhow::Result<u8> {
    let mut stop = Stop::listen().context("cannot catch signals")?;
    refuse_what_can_never_be_served(&options.file).context("--file (ECHO_FILE)")?;
    let limit = connection_limit(options.max_connections as usize);
    let announced = Arc::new(Announced::default());
    let identity = match options.upstream {
        Some(_) => Identity::Announced(Arc::clone(&announced)),
        None => Identity::Own,
    };
    let links = if options.follow_links { Links::Follow } else { Links::Beneath };
    let source = Arc::new(Source::new(options.file.clone(), identity, links));
    let stage = watch::Sender::new(Stage::Serving);
    let served = Arc::new(Served::default());
    let growth = Growth::new(Arc::clone(&source));
    let live =
        Arc::new(Live::new(Arc::clone(&growth), stage.subscribe(), options.max_live as usize, Arc::clone(&served)));
    let data = Data::new(Arc::clone(&source), Arc::clone(&live), Contents::new(Arc::clone(&served)))?;
    let demand = options.token_file.map(Demand::new).transpose().context("--token-file (ECHO_TOKEN_FILE)")?;
    let progress = options.upstream.as_ref().map(|url| Arc::new(Progress::new(&url.host)));
    let mirror = match (options.upstream, &progress) {
        (Some(url), Some(progress)) => {
            let upstream = Upstream { url, ca: options.upstream_ca, token_file: options.upstream_token_file };
            Some(Mirror::new(upstream, options.file.clone(), announced, Arc::clone(&growth), Arc::clone(progress))?)
        }
        _ => None,
    };
    let connections = Connections::new(limit);
    let listener = listen(options.listen.listen)?;
    info!("listening on http://{}", listener.local_addr().context("a socket without an address")?);
    // Looked at once now, so that the log says whether the file is there.
    let _ = source.snapshot().await;
    if let Some(mirror) = mirror {
        mirror.spawn()?;
    }

    let own_name = options.name.or_else(names::host_name).filter(|name| name != "none");
    let origin = options.allow_origin.as_ref().and_then(|origin| origin.to_str().ok()).map(str::to_owned);
    let server_fields = Arc::new(ServerFields::new(Names::new(own_name), progress.clone(), origin));
    let readiness = Readiness {
        source: Arc::clone(&source),
        progress: progress.clone(),
        server_fields: Arc::clone(&server_fields),
        fresh_within: options.fresh_within,
        stage: stage.subscribe(),
    };
    let requests = Arc::new(Requests::default());
    let (table, counted) = (Arc::clone(&connections), Arc::clone(&requests));
    let sources =
        Sources { source: Arc::clone(&source), served, progress, live, connections: table, requests: counted };
    let figures: Figures = Arc::new(move |snapshot| sources.text(snapshot));
    let others = app::others(readiness, Page::new(&options.file), source, figures);
    let app = App::new(data, others, server_fields, demand, requests, stage.subscribe());
    let mut serving = tokio::spawn(accept::serve(listener, app, Arc::clone(&connections), stage.subscribe()));

    let signal = tokio::select! {
        signal = stop.requested() => signal,
        ended = &mut serving => return ended.context("the server failed").map(|()| 1), // it never ends by itself
    };
    info!("stopping on {signal}");
    let drain = async {
        stage.send_replace(Stage::Draining);
        tokio::time::sleep(options.drain_delay).await;
        stage.send_replace(Stage::Closing);
        growth.wake_all();
        if tokio::time::timeout(options.drain_timeout, serving).await.is_err() {
            warn!("{} answers were not taken within {:?} and are cut off", connections.count(), options.drain_timeout);
        }
    };
    tokio::select! {
        () = drain => end(0),
        signal = stop.requested() => {
            warn!("stopping at once on a second signal, {signal}");
            end(1)
        }
    }
}

/// A folder that is not there, or a folder in the file's place, is a mistake; a file that is not there may still come.
fn refuse_what_can_never_be_served(file: &Path) -> anyhow::Result<()> {
    let folder = permissions::folder_of(file);
    if !std::fs::metadata(folder).with_context(|| format!("cannot look into the folder {}", folder.display()))?.is_dir()
    {
        bail!("{} is not a folder", folder.display());
    }
    if file.is_dir() {
        bail!("{} is a folder, not a file", file.display());
    }
    Ok(())
}

/// Listens on `address`. One that stands for all of IPv6, and IPv4 with it, does so where the kernel has no IPv6.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let has_no_ipv6 = |error: &anyhow::Error| {
        let error = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        error == Some(Errno::AFNOSUPPORT.raw_os_error())
    };
    let listener = match accept::bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && has_no_ipv6(&error) => {
            warn!("this kernel has no IPv6: listening on IPv4 alone");
            accept::bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        listener => listener,
    };
    listener.map_err(|error| anyhow!("{error:#}; --listen (ECHO_LISTEN) takes another address"))
}

/// Raises the soft limit of open files to the hard one, and returns how many connections that allows, at most `wanted`.
fn connection_limit(wanted: usize) -> usize {
    let reserved = 64; // for the files themselves, and the few descriptors that every process has
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
