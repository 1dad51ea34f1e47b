//! `langur start`: settings, logging, identity, then the planes of the role, until a signal.
//!
//! SIGTERM and SIGQUIT drain: listeners close, requests in flight finish within
//! `shutdown_timeout`. SIGINT stops at once; so does a second signal. SIGHUP reads the settings
//! again for `log_level`; everything else is read at the start only. SIGUSR1 opens the log files
//! again, after somebody has renamed them, and so does SIGHUP. SIGUSR2 means something to nginx and does nothing here.

use super::args::SettingsArgs;
use super::nginx::{NginxArgs, no_effect};
use super::pid_file::{PidError, PidFile};
use super::{Caller, CliError, Exit, background, logging, reload};
use crate::access_log::AccessLogs;
use crate::node::{Node, NodeError};
use crate::plugins::Descriptor;
use crate::settings::{LogControl, Settings};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,
    #[command(flatten)]
    nginx: NginxArgs,

    /// Accepted: migrations always run at the start.
    #[arg(long, hide_short_help = true)]
    run_migrations: bool,

    /// Accepted: pg_timeout says how long the database may take.
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    db_timeout: Option<u64>,

    /// Accepted, without effect.
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    lock_timeout: Option<u64>,

    /// Say on standard output when the node serves.
    #[arg(long, hide = true)]
    announce: bool,
}

/// Why a node did not start, or did not end well.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("role = \"{0}\" cannot be started by this build")]
    NotInThisBuild(&'static str),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
}

impl StartError {
    pub fn exit(&self) -> Exit {
        match self {
            StartError::NotInThisBuild(_) => Exit::Config,
            StartError::Signals(_) => Exit::System,
            StartError::Node(error) => match error {
                NodeError::Identity(_) => Exit::CannotCreate,
                NodeError::Credential(_)
                | NodeError::NoClusterCertificate
                | NodeError::Tls(_)
                | NodeError::Declarative(_) => Exit::Config,
                NodeError::Setting(_) => Exit::Config,
                NodeError::AccessLog(_) => Exit::CannotCreate,
                NodeError::Serve(_) | NodeError::Listen(_) => Exit::System,
                NodeError::Database(_) => Exit::Unavailable,
                NodeError::Cache(_) => Exit::Io,
                NodeError::Configuration(_) => Exit::Internal,
            },
        }
    }
}

impl Args {
    fn warn(&self) {
        self.nginx.warn();
        for (given, option) in [
            (self.db_timeout.is_some(), "--db-timeout"),
            (self.lock_timeout.is_some(), "--lock-timeout"),
            (self.settings.verbose, "--v"),
            (self.settings.very_verbose, "--vv"),
        ] {
            if given {
                no_effect(option);
            }
        }
    }
}

/// Runs a node: `langur start` in the foreground, `kong start` as `nginx_daemon` says.
pub fn command(args: &Args, build: &'static [Descriptor]) -> Result<(), CliError> {
    args.warn();
    let loaded = args.settings.load()?;
    let node = &loaded.0.node;
    match (args.settings.caller, node.daemon) {
        (Caller::Kong, None | Some(true)) => {
            check_credentials(&loaded.0)?;
            background::expect_nobody(&node.prefix)?;
            background::start(&args.settings, &node.prefix)
        }
        (Caller::Langur, Some(true)) if !args.announce => {
            eprintln!(
                "langur: warning: nginx_daemon = on: langur start stays in the foreground; \
                 kong start does not"
            );
            serve(args, loaded, build)
        }
        _ => serve(args, loaded, build),
    }
}

/// Runs a node in the foreground, whatever the settings say.
pub fn foreground(args: &Args, build: &'static [Descriptor]) -> Result<(), CliError> {
    args.warn();
    serve(args, args.settings.load()?, build)
}

fn check_credentials(settings: &Settings) -> Result<(), CliError> {
    match settings.check_credentials() {
        errors if errors.is_empty() => Ok(()),
        errors => Err(CliError::Credentials(errors)),
    }
}

/// Checks everything that can be checked before a socket is opened, then runs.
fn serve(
    args: &Args,
    (settings, warnings): (Settings, Vec<String>),
    build: &'static [Descriptor],
) -> Result<(), CliError> {
    check_credentials(&settings)?;
    let (log, events) = logging::init_where_set(&settings)?;
    // Until the process ends.
    let _pid_file = match PidFile::take(&settings.node.prefix) {
        Ok(file) => Some(file),
        Err(PidError::AlreadyRuns(prefix)) => return Err(CliError::AlreadyRuns(prefix)),
        Err(error) => {
            let lost = "quit, stop and reload will not find this node";
            tracing::warn!(%error, "the process id cannot be written down: {lost}");
            None
        }
    };
    for warning in warnings {
        tracing::warn!(warning, "settings");
    }
    let settings = Arc::new(settings);
    let (from, running, level) = (args.settings.clone(), Arc::clone(&settings), log.clone());
    let reload = move || reload::reload(&from, &running, &level);
    let announce = args.announce;
    let started = move || {
        if announce {
            background::announce();
        }
    };
    let reopen = move || events.reopen();
    block_on(run(settings, log, build, reload, reopen, started))?;
    Ok(())
}

/// Runs a future on an actix system that is never taken down: the process ends right after,
/// and actors that are dropped without a running reactor would panic.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let system = ManuallyDrop::new(actix_rt::System::new());
    system.block_on(future)
}

/// Runs the planes of the role until the process is told to stop. `reload` is what SIGHUP does,
/// `reopen` a part of what SIGUSR1 does. `started` is called once they serve.
///
/// # Errors
/// A part could not start.
pub async fn run(
    settings: Arc<Settings>,
    log: LogControl,
    build: &'static [Descriptor],
    reload: impl Fn() + 'static,
    reopen: impl Fn() + 'static,
    started: impl FnOnce(),
) -> Result<(), StartError> {
    let mut signals = Signals::catch()?.reloading(reload);
    signals.reopens(reopen);
    let planes = Planes::start(settings, log, build).await?;
    let logs = planes.access_logs();
    signals.reopens(move || logs.reopen());
    started();
    let stop = signals.next().await;
    planes.stop(stop, &mut signals).await;
    Ok(())
}

/// How a node is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Finish what is under way.
    Drain,
    Now,
}

/// The signals that end a node.
pub struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// nginx opens its log files again.
    user_1: Signal,
    /// nginx starts its new binary.
    user_2: Signal,
    reload: Box<dyn Fn()>,
    /// Open log files again.
    reopen: Vec<Box<dyn Fn()>>,
}

/// What SIGHUP does to a process that has no settings to read again.
fn nothing_to_reload() {
    tracing::warn!("there are no settings to read again: SIGHUP does nothing");
}

impl Signals {
    /// # Errors
    /// The system refuses.
    pub fn catch() -> Result<Signals, StartError> {
        let catch = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Signals {
            terminate: catch(SignalKind::terminate())?,
            quit: catch(SignalKind::quit())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
            user_1: catch(SignalKind::user_defined1())?,
            user_2: catch(SignalKind::user_defined2())?,
            reload: Box::new(nothing_to_reload),
            reopen: Vec::new(),
        })
    }

    /// The same, with something for SIGHUP to do.
    pub fn reloading(self, reload: impl Fn() + 'static) -> Signals {
        Signals {
            reload: Box::new(reload),
            ..self
        }
    }

    /// Another log for SIGUSR1 to open again.
    pub fn reopens(&mut self, reopen: impl Fn() + 'static) {
        self.reopen.push(Box::new(reopen));
    }

    fn reopen_logs(&self) {
        self.reopen.iter().for_each(|reopen| reopen());
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Drain,
                _ = self.quit.recv() => return Stop::Drain,
                _ = self.interrupt.recv() => return Stop::Now,
                _ = self.hang_up.recv() => {
                    (self.reload)();
                    self.reopen_logs();
                }
                _ = self.user_1.recv() => {
                    self.reopen_logs();
                    tracing::info!("SIGUSR1: the log files are opened again");
                }
                _ = self.user_2.recv() => tracing::warn!("SIGUSR2 does nothing: install the new version, then restart"),
            }
        }
    }
}

/// How long the last lines of access logs may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The running planes of one node.
pub struct Planes {
    #[cfg(feature = "control-plane")]
    control: Option<crate::control_plane::ControlPlane>,
    #[cfg(feature = "data-plane")]
    data: Option<crate::data_plane::DataPlane>,
    access_logs: AccessLogs,
    status: Option<crate::serve::Running>,
}

impl Planes {
    /// Starts what the role asks for.
    ///
    /// # Errors
    /// A part could not start; what had started is gone with the process.
    pub async fn start(
        settings: Arc<Settings>,
        log: LogControl,
        build: &'static [Descriptor],
    ) -> Result<Planes, StartError> {
        let warning = settings
            .check_cluster_validity(epoch_seconds())
            .map_err(NodeError::Credential)?;
        if let Some(warning) = warning {
            tracing::warn!(warning, "settings");
        }
        actix_rt::spawn(watch_validity(Arc::clone(&settings)));
        let node = Node::new(settings, log, build)?;
        let role = node.settings.node.role;
        let mut parts = Vec::new();

        #[cfg(feature = "control-plane")]
        let mut control = None;
        #[cfg(feature = "control-plane")]
        if role.has_control_plane() {
            let plane = crate::control_plane::ControlPlane::open(&node).await?;
            parts.push(plane.status());
            control = Some(plane);
        }
        #[cfg(not(feature = "control-plane"))]
        if role.has_control_plane() {
            return Err(StartError::NotInThisBuild(role.as_str()));
        }

        #[cfg(feature = "data-plane")]
        let mut data = None;
        #[cfg(feature = "data-plane")]
        if role.has_data_plane() {
            #[cfg(feature = "control-plane")]
            let links = match &control {
                Some(plane) => planes_in_one(plane),
                None => crate::data_plane::Links::over_network(&node)?,
            };
            #[cfg(not(feature = "control-plane"))]
            let links = crate::data_plane::Links::over_network(&node)?;
            #[cfg(feature = "control-plane")]
            let own = control.as_ref().map(own_configuration);
            #[cfg(not(feature = "control-plane"))]
            let own = None;
            let plane = crate::data_plane::DataPlane::start(&node, links, own).await?;
            parts.push(plane.status());
            data = Some(plane);
        }
        #[cfg(not(feature = "data-plane"))]
        if role.has_data_plane() {
            return Err(StartError::NotInThisBuild(role.as_str()));
        }

        #[cfg(feature = "data-plane")]
        let upstreams = data.as_ref().map(crate::data_plane::DataPlane::upstreams);
        #[cfg(not(feature = "data-plane"))]
        let upstreams = None;
        let pages = node.status_pages(parts, upstreams);
        let status = node.serve_status(pages.clone())?;
        #[cfg(feature = "control-plane")]
        if let Some(plane) = &mut control {
            plane.serve(pages)?;
        }
        tracing::info!(role = role.as_str(), node_id = %node.id, "started");
        Ok(Planes {
            #[cfg(feature = "control-plane")]
            control,
            #[cfg(feature = "data-plane")]
            data,
            access_logs: node.access_logs.clone(),
            status,
        })
    }

    /// The access logs of the node.
    pub fn access_logs(&self) -> AccessLogs {
        self.access_logs.clone()
    }

    /// Stops everything. A second signal while draining stops at once.
    pub async fn stop(self, stop: Stop, signals: &mut Signals) {
        tracing::info!(?stop, "stopping");
        tokio::select! {
            () = self.stop_all(stop == Stop::Drain) => {}
            _ = signals.next() => self.stop_all(false).await,
        }
    }

    /// The data plane first: its last telemetry still finds a control plane.
    pub async fn stop_all(&self, graceful: bool) {
        #[cfg(feature = "data-plane")]
        if let Some(plane) = &self.data {
            plane.stop(graceful).await;
        }
        #[cfg(feature = "control-plane")]
        if let Some(plane) = &self.control {
            plane.stop(graceful).await;
        }
        if let Some(status) = &self.status {
            status.stop(graceful).await;
        }
        if !self.access_logs.finish(LAST_LINES).await {
            tracing::warn!("the last lines of access logs are not written: nobody takes them");
        }
    }
}

/// What the control plane of this process has for its data plane.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) fn own_configuration(
    control: &crate::control_plane::ControlPlane,
) -> crate::data_plane::OwnConfiguration<'_> {
    let (epoch, config) = control.configuration();
    crate::data_plane::OwnConfiguration {
        epoch,
        config,
        came_from: Box::new(|earlier| control.came_from(earlier)),
    }
}

/// How often a running node looks at the dates of its cluster certificate.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Warns each day while the cluster certificate is about to expire, or has.
async fn watch_validity(settings: Arc<Settings>) {
    loop {
        tokio::time::sleep(A_DAY).await;
        match settings.check_cluster_validity(epoch_seconds()) {
            Ok(None) => {}
            Ok(Some(warning)) => tracing::warn!(warning, "settings"),
            Err(error) => tracing::error!(%error, "no new link is accepted or opened"),
        }
    }
}

/// Seconds since 1970.
pub(super) fn epoch_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// The links of a node with both roles: memory instead of a network, the same code otherwise.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) fn planes_in_one(
    control: &crate::control_plane::ControlPlane,
) -> crate::data_plane::Links {
    use crate::link::InMemory;
    use std::rc::Rc;

    let (links, telemetry, node) = (control.links(), control.telemetry(), control.node_id());
    let configuration = InMemory::new(move |end| {
        let links = links.clone();
        actix_rt::spawn(async move { links.accept_in_memory(end).await });
        Ok(())
    });
    let telemetry = InMemory::new(move |end| {
        let telemetry = telemetry.clone();
        actix_rt::spawn(async move { telemetry.serve(crate::link::Link::from(end), node).await });
        Ok(())
    });
    crate::data_plane::Links {
        configuration: crate::data_plane::ControlPlanes::new(vec![Rc::new(configuration)]),
        telemetry: Rc::new(telemetry),
    }
}
