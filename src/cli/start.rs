//! `langur start`: settings, logging, identity, then the planes of the role, until a signal.
//!
//! SIGTERM and SIGQUIT drain: listeners close, requests in flight finish within
//! `shutdown_timeout`. SIGINT stops at once; so does a second signal. SIGHUP reads the settings
//! again for `log_level`; everything else is read at the start only.

use super::args::SettingsArgs;
use super::{CliError, Exit, logging, reload};
use crate::node::{Node, NodeError};
use crate::plugins::Implemented;
use crate::settings::{LogControl, Settings};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,
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
                NodeError::Serve(_) | NodeError::Listen(_) => Exit::System,
                NodeError::Database(_) => Exit::Unavailable,
                NodeError::Cache(_) => Exit::Io,
            },
        }
    }
}

/// Checks everything that can be checked before a socket is opened, then runs.
pub fn command(args: &Args, build: &'static [Implemented]) -> Result<(), CliError> {
    let (settings, warnings) = args.settings.load()?;
    let errors = settings.check_credentials();
    if !errors.is_empty() {
        return Err(CliError::Credentials(errors));
    }
    let log = logging::init(&settings.node)?;
    for warning in warnings {
        tracing::warn!(warning, "settings");
    }
    let settings = Arc::new(settings);
    let (from, running, level) = (args.settings.clone(), Arc::clone(&settings), log.clone());
    let reload = move || reload::reload(&from, &running, &level);
    block_on(run(settings, log, build, Box::new(reload)))?;
    Ok(())
}

/// Runs a future on an actix system that is never taken down: the process ends right after,
/// and actors that are dropped without a running reactor would panic.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let system = ManuallyDrop::new(actix_rt::System::new());
    system.block_on(future)
}

/// Runs the planes of the role until the process is told to stop.
///
/// # Errors
/// A part could not start.
pub async fn run(
    settings: Arc<Settings>,
    log: LogControl,
    build: &'static [Implemented],
    reload: Box<dyn Fn()>,
) -> Result<(), StartError> {
    let mut signals = Signals::catch()?.reloading(reload);
    let planes = Planes::start(settings, log, build).await?;
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
    reload: Box<dyn Fn()>,
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
            reload: Box::new(nothing_to_reload),
        })
    }

    /// The same, with something for SIGHUP to do.
    pub fn reloading(self, reload: Box<dyn Fn()>) -> Signals {
        Signals { reload, ..self }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Drain,
                _ = self.quit.recv() => return Stop::Drain,
                _ = self.interrupt.recv() => return Stop::Now,
                _ = self.hang_up.recv() => (self.reload)(),
            }
        }
    }
}

/// The running planes of one node.
pub struct Planes {
    #[cfg(feature = "control-plane")]
    control: Option<crate::control_plane::ControlPlane>,
    #[cfg(feature = "data-plane")]
    data: Option<crate::data_plane::DataPlane>,
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
        build: &'static [Implemented],
    ) -> Result<Planes, StartError> {
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
            status,
        })
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
    }
}

/// What the control plane of this process has for its data plane.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
fn own_configuration(
    control: &crate::control_plane::ControlPlane,
) -> crate::data_plane::OwnConfiguration<'_> {
    let (epoch, config) = control.configuration();
    crate::data_plane::OwnConfiguration {
        epoch,
        config,
        came_from: Box::new(|earlier| control.came_from(earlier)),
    }
}

/// The links of a node with both roles: memory instead of a network, the same code otherwise.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
fn planes_in_one(control: &crate::control_plane::ControlPlane) -> crate::data_plane::Links {
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
