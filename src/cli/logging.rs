//! Logging: structured events to standard error, or where `proxy_error_log` says, as text on a
//! terminal and as JSON elsewhere.

use super::CliError;
use crate::access_log::{Destination, LogFile};
use crate::settings::{LogControl, LogFormat, LogLevel, Node, Settings};
use arc_swap::ArcSwap;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry, reload};

/// Where the events of the process go.
#[derive(Clone)]
pub struct EventLog {
    destination: Destination,
    file: Arc<ArcSwap<LogFile>>,
}

impl EventLog {
    fn open(destination: Destination) -> io::Result<EventLog> {
        let file = LogFile::open(&destination)?;
        Ok(EventLog {
            destination,
            file: Arc::new(ArcSwap::from_pointee(file)),
        })
    }

    /// Opens the file again: it may have been renamed.
    pub fn reopen(&self) {
        match LogFile::open(&self.destination) {
            Ok(file) => self.file.store(Arc::new(file)),
            Err(error) => tracing::error!(
                path = %self.destination,
                %error,
                "the log cannot be opened again: its old file is written on"
            ),
        }
    }

    fn is_terminal(&self) -> bool {
        match self.destination {
            Destination::Stdout => io::stdout().is_terminal(),
            Destination::Stderr => io::stderr().is_terminal(),
            Destination::File(_) => false,
        }
    }
}

impl io::Write for EventLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&**self.file.load()).write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // One event after the other, also where the system takes an event in parts.
        let _turn = io::stderr().lock();
        (&**self.file.load()).write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging for the whole process, where the settings say. On a file system that is read-only
/// that is standard error.
///
/// # Errors
/// The file cannot be opened, or logging was started before.
pub fn init_where_set(settings: &Settings) -> Result<(LogControl, EventLog), CliError> {
    let (setting, wanted) = match &settings.logs.events {
        Some((setting, destination)) => (*setting, destination.clone()),
        None => ("", Destination::Stderr),
    };
    let (log, refused) = match EventLog::open(wanted.clone()) {
        Ok(log) => (log, None),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            let log = EventLog::open(Destination::Stderr).map_err(CliError::Write)?;
            (log, Some(error))
        }
        Err(source) => {
            return Err(CliError::Create {
                path: format!("{wanted} ({setting})"),
                source,
            });
        }
    };
    let control = start(&settings.node, log.clone())?;
    if let Some(error) = refused {
        tracing::warn!(setting, path = %wanted, %error, "logged to standard error instead");
    }
    Ok((control, log))
}

/// Starts logging for the whole process, to standard error; the handle changes the level later.
///
/// # Errors
/// Logging was started before.
pub fn init(node: &Node) -> Result<LogControl, CliError> {
    start(
        node,
        EventLog::open(Destination::Stderr).map_err(CliError::Write)?,
    )
}

fn start(node: &Node, log: EventLog) -> Result<LogControl, CliError> {
    let (filter, handle) = reload::Layer::new(targets(node.log_level));
    let json = match node.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !log.is_terminal(),
    };
    let colours = log.is_terminal();
    let lines = fmt::layer().with_writer(move || log.clone());
    let lines = match json {
        true => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        false => lines.with_ansi(colours).boxed(),
    };
    registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|e| CliError::Logging(e.to_string()))?;
    Ok(LogControl::new(node.log_level, move |level| {
        if let Err(error) = handle.reload(targets(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }))
}

/// Kong's levels as the nearest of ours.
fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info | LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Crit | LogLevel::Alert | LogLevel::Emerg => LevelFilter::ERROR,
    }
}

/// Our own events at the level, those of libraries at `warn` at most, or `info` when debugging.
fn targets(level: LogLevel) -> Targets {
    let own = filter_of(level);
    let libraries = match level {
        LogLevel::Debug => LevelFilter::INFO,
        _ => own.min(LevelFilter::WARN),
    };
    Targets::new()
        .with_target("langur", own)
        .with_default(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn levels() {
        for (level, target, event, expected) in [
            (LogLevel::Debug, "langur::cli", Level::DEBUG, true),
            (LogLevel::Debug, "rustls", Level::DEBUG, false),
            (LogLevel::Debug, "rustls", Level::INFO, true),
            (LogLevel::Notice, "langur", Level::INFO, true),
            (LogLevel::Notice, "langur", Level::DEBUG, false),
            (LogLevel::Notice, "actix_server", Level::INFO, false),
            (LogLevel::Notice, "actix_server", Level::WARN, true),
            (LogLevel::Warn, "langur", Level::INFO, false),
            (LogLevel::Crit, "langur", Level::ERROR, true),
            (LogLevel::Crit, "langur", Level::WARN, false),
            (LogLevel::Error, "actix_server", Level::WARN, false),
        ] {
            let found = targets(level).would_enable(target, &event);
            assert_eq!(found, expected, "{level:?} {target} {event}");
        }
    }
}
