//! `langur quickstart`: a control plane, a data plane and an echo upstream that need nothing.
//!
//! Everything lives under one directory, so that a second run continues with the same data. The
//! two nodes have settings of their own and a real mutual-TLS link between them.

use super::start::{Planes, Signals, StartError, Stop};
use super::{CliError, echo, hybrid, logging, start};
use crate::plugins::Descriptor;
use crate::settings::{LogControl, Settings, Sources};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod tour;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where certificates, database and cache are kept.
    #[arg(long, value_name = "DIR", default_value = ".langur")]
    dir: PathBuf,
    /// The address everything listens on.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Proxy, HTTP.
    #[arg(long, default_value_t = 8000)]
    proxy_port: u16,
    /// Proxy, HTTPS.
    #[arg(long, default_value_t = 8443)]
    proxy_ssl_port: u16,
    /// Admin API.
    #[arg(long, default_value_t = 8001)]
    admin_port: u16,
    /// Cluster link: configuration.
    #[arg(long, default_value_t = 8005)]
    cluster_port: u16,
    /// Cluster link: telemetry.
    #[arg(long, default_value_t = 8006)]
    telemetry_port: u16,
    /// Status API of the control plane.
    #[arg(long, default_value_t = 8007)]
    control_plane_status_port: u16,
    /// Status API of the data plane.
    #[arg(long, default_value_t = 8100)]
    data_plane_status_port: u16,
    /// Echo upstream.
    #[arg(long, default_value_t = 9080)]
    echo_port: u16,
    /// Least severe level that is logged.
    #[arg(long, default_value = "warn")]
    log_level: String,
}

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Plan {
    pub directory: PathBuf,
    pub control_plane: Arc<Settings>,
    pub data_plane: Arc<Settings>,
    /// Where the echo upstream listens.
    pub echo: SocketAddr,
}

/// Makes what is missing under the directory, then runs.
pub fn command(args: &Args, build: &'static [Descriptor]) -> Result<(), CliError> {
    let plan = plan(args)?;
    let log = logging::init(&plan.control_plane.node)?;
    start::block_on(run(plan, log, build))?;
    Ok(())
}

/// Runs both nodes and the echo upstream until the process is told to stop.
///
/// # Errors
/// A part could not start.
pub async fn run(
    plan: Plan,
    log: LogControl,
    build: &'static [Descriptor],
) -> Result<(), StartError> {
    let mut signals = Signals::catch()?;
    let echo = echo::serve("--echo-port", plan.echo)?;
    let control_plane = Planes::start(Arc::clone(&plan.control_plane), log.clone(), build).await?;
    let data_plane = Planes::start(Arc::clone(&plan.data_plane), log, build).await?;
    for planes in [&control_plane, &data_plane] {
        let logs = planes.access_logs();
        signals.reopens(move || logs.reopen());
    }
    print!("{}", tour::text(&plan));
    let stop = signals.next().await;
    data_plane.stop(stop, &mut signals).await;
    control_plane.stop(stop, &mut signals).await;
    echo.stop(stop == Stop::Drain).await;
    Ok(())
}

fn plan(args: &Args) -> Result<Plan, CliError> {
    let directory = std::path::absolute(&args.dir).map_err(|e| create_error(&args.dir, e))?;
    std::fs::create_dir_all(&directory).map_err(|e| create_error(&directory, e))?;
    let cert = directory.join("cluster.crt");
    let key = directory.join("cluster.key");
    if !cert.exists() || !key.exists() {
        hybrid::generate(&cert, &key, 1095)?;
    }
    let common = |role: &str, status_port: u16| {
        let prefix = directory.join(role.replace('_', "-"));
        vec![
            ("role", role.to_owned()),
            ("prefix", prefix.display().to_string()),
            ("cluster_cert", cert.display().to_string()),
            ("cluster_cert_key", key.display().to_string()),
            ("log_level", args.log_level.clone()),
            ("status_listen", listen(args, status_port)),
        ]
    };
    let mut control_plane = common("control_plane", args.control_plane_status_port);
    control_plane.extend([
        ("admin_listen", listen(args, args.admin_port)),
        ("cluster_listen", listen(args, args.cluster_port)),
        (
            "cluster_telemetry_listen",
            listen(args, args.telemetry_port),
        ),
    ]);
    let mut data_plane = common("data_plane", args.data_plane_status_port);
    let (http, https) = (
        listen(args, args.proxy_port),
        listen(args, args.proxy_ssl_port),
    );
    data_plane.extend([
        ("proxy_listen", format!("{http}, {https} ssl http2")),
        ("cluster_control_plane", reach(args, args.cluster_port)),
        (
            "cluster_telemetry_endpoint",
            reach(args, args.telemetry_port),
        ),
    ]);
    Ok(Plan {
        control_plane: load(control_plane)?,
        data_plane: load(data_plane)?,
        echo: SocketAddr::new(args.bind, args.echo_port),
        directory,
    })
}

fn listen(args: &Args, port: u16) -> String {
    SocketAddr::new(args.bind, port).to_string()
}

/// Where the data plane finds its control plane: a wildcard cannot be connected to.
fn reach(args: &Args, port: u16) -> String {
    let loopback: IpAddr = match args.bind {
        IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(loopback, port).to_string()
}

/// From these alone: what happens to be in the environment must not change a first impression.
fn load(pairs: Vec<(&str, String)>) -> Result<Arc<Settings>, CliError> {
    let flags: Vec<_> = pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let sources = Sources {
        flags: &flags,
        ..Sources::default()
    };
    let (settings, _) = Settings::load(&sources)?;
    Ok(Arc::new(settings))
}

fn create_error(path: &Path, source: std::io::Error) -> CliError {
    CliError::Create {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Database;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn planned(directory: &Path, more: &[&str]) -> Plan {
        let dir = directory.to_str().unwrap();
        let line = ["quickstart", "--dir", dir]
            .into_iter()
            .chain(more.iter().copied());
        plan(&Line::try_parse_from(line).unwrap().args).unwrap()
    }

    #[test]
    fn two_nodes_that_find_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let plan = planned(
            directory.path(),
            &["--cluster-port", "9005", "--bind", "0.0.0.0"],
        );
        let (cp, dp) = (&plan.control_plane, &plan.data_plane);
        assert!(cp.check_credentials().is_empty() && dp.check_credentials().is_empty());
        assert_eq!(cp.listeners.cluster[0].port, 9005);
        assert_eq!(dp.cluster.control_planes[0].to_string(), "127.0.0.1:9005");
        let endpoint = dp.cluster.telemetry_endpoint(&dp.cluster.control_planes[0]);
        assert_eq!(endpoint.port, cp.listeners.cluster_telemetry[0].port);
        assert_ne!(cp.node.prefix, dp.node.prefix);
        assert!(matches!(cp.database, Database::Sqlite { .. }));
        let status = |s: &Settings| s.listeners.status[0].port;
        assert_eq!((status(cp), status(dp)), (8007, 8100));
    }

    #[test]
    fn a_second_run_keeps_the_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let fingerprint = |plan: Plan| {
            let identity = plan.data_plane.cluster.identity().unwrap();
            identity.unwrap().fingerprint()
        };
        let first = fingerprint(planned(directory.path(), &[]));
        assert_eq!(fingerprint(planned(directory.path(), &[])), first);
    }
}
