//! Logging: structured events to standard error, as text on a terminal and as JSON elsewhere.

use super::CliError;
use crate::settings::{LogControl, LogFormat, LogLevel, Node};
use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry, reload};

/// Starts logging for the whole process; the handle changes the level later.
///
/// # Errors
/// Logging was started before.
pub fn init(node: &Node) -> Result<LogControl, CliError> {
    let (filter, handle) = reload::Layer::new(targets(node.log_level));
    let json = match node.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match json {
        true => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        false => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
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
