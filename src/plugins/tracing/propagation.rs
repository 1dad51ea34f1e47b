//! Which headers are read and written, as it is configured.

use super::extract::{Extracted, Headers, extract};
use super::format::{Format, HeaderType};
use super::inject::{Injected, inject};
use crate::plugins::Context;
use serde::{Deserialize, Serialize};

/// The record `propagation` of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PropagationConfig {
    pub extract: Option<Vec<Format>>,
    pub clear: Option<Vec<String>>,
    pub inject: Option<Vec<HeaderType>>,
    pub default_format: Option<Format>,
}

/// The order in which formats are tried where only `header_type` is given.
const EVERY: [Format; 7] = [
    Format::B3,
    Format::W3c,
    Format::Jaeger,
    Format::Ot,
    Format::Datadog,
    Format::Aws,
    Format::Gcp,
];

/// A compiled configuration.
#[derive(Clone, Debug)]
pub struct Propagation {
    extract: Vec<Format>,
    clear: Vec<String>,
    inject: Vec<HeaderType>,
    default: Format,
}

impl Propagation {
    /// `header_type` counts where `propagation` says nothing but its default format, which is `default` where
    /// that is not given either.
    pub fn new(
        config: &PropagationConfig,
        header_type: Option<HeaderType>,
        default: Format,
    ) -> Propagation {
        let new_style =
            config.extract.is_some() || config.clear.is_some() || config.inject.is_some();
        let (extract, inject) = match header_type {
            _ if new_style => (
                config.extract.clone().unwrap_or_default(),
                config.inject.clone().unwrap_or_default(),
            ),
            None => (Vec::new(), Vec::new()),
            Some(HeaderType::Ignore) => (Vec::new(), vec![HeaderType::Preserve]),
            Some(HeaderType::Preserve) => (EVERY.to_vec(), vec![HeaderType::Preserve]),
            Some(other) => (EVERY.to_vec(), vec![HeaderType::Preserve, other]),
        };
        Propagation {
            extract,
            inject,
            clear: config.clear.clone().unwrap_or_default(),
            default: config.default_format.unwrap_or(default),
        }
    }

    /// What the client says of the trace that its request belongs to.
    pub fn extract(&self, context: &Context<'_>) -> Extracted {
        self.extract_from(&Sent(context))
    }

    pub(super) fn extract_from(&self, headers: &dyn Headers) -> Extracted {
        let formats = self.extract.iter();
        let mut found = formats.filter_map(|format| extract(*format, headers));
        found.next().unwrap_or_default()
    }

    /// Tells the upstream. `extracted` is what the client said.
    pub fn inject(&self, context: &mut Context<'_>, extracted: &Extracted, injected: &Injected) {
        for name in &self.clear {
            context.clear_request_header(name);
        }
        self.inject_into(extracted, injected, &mut |name, value| match value {
            Some(value) => context.request_edits.set(name, value.as_bytes()),
            None => context.clear_request_header(name),
        });
    }

    /// `None` for a value clears the header.
    pub(super) fn inject_into(
        &self,
        extracted: &Extracted,
        injected: &Injected,
        out: &mut dyn FnMut(&str, Option<&str>),
    ) {
        for wanted in &self.inject {
            let format = match wanted {
                HeaderType::Format(format) => *format,
                HeaderType::Preserve | HeaderType::Ignore => {
                    extracted.format.unwrap_or(self.default)
                }
            };
            inject(format, injected, &extracted.baggage, out);
        }
    }
}

/// The headers of a request as it would be sent upstream now.
struct Sent<'c, 'a>(&'c Context<'a>);

impl Headers for Sent<'_, '_> {
    fn get<'h>(&'h self, name: &'h str) -> Option<&'h str> {
        std::str::from_utf8(self.0.request_header(name)?).ok()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        let context = self.0;
        for (name, value) in context.request_edits.apply(&context.head.headers) {
            if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
                visit(name, value);
            }
        }
    }
}
