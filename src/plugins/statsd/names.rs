//! Whose a request was, as names and tags of metrics say it.

use super::config::{Config, Metric, ServiceIdentifier, TagStyle, WorkspaceIdentifier};
use crate::plugins::runtime::{service_host, without_dots};
use crate::plugins::{ConsumerIdentifier, Context, WORKSPACE, WORKSPACE_NAME};

/// How one metric names consumers, services and workspaces.
#[derive(Clone, Copy, Debug)]
pub struct Identifiers {
    pub consumer: ConsumerIdentifier,
    pub service: ServiceIdentifier,
    pub workspace: WorkspaceIdentifier,
}

impl Identifiers {
    pub fn of(config: &Config, metric: &Metric) -> Identifiers {
        let consumer = metric
            .consumer_identifier
            .or(config.consumer_identifier_default);
        let service = metric
            .service_identifier
            .or(config.service_identifier_default);
        let workspace = metric
            .workspace_identifier
            .or(config.workspace_identifier_default);
        Identifiers {
            consumer: consumer.unwrap_or(ConsumerIdentifier::CustomId),
            service: service.unwrap_or(ServiceIdentifier::NameOrHost),
            workspace: workspace.unwrap_or(WorkspaceIdentifier::WorkspaceId),
        }
    }

    pub fn workspace(self) -> &'static str {
        match self.workspace {
            WorkspaceIdentifier::WorkspaceId => WORKSPACE,
            WorkspaceIdentifier::WorkspaceName => WORKSPACE_NAME,
        }
    }

    /// The name of the request's service; `None` where the service has no such name.
    fn service(self, context: &Context<'_>) -> Option<String> {
        let service = context.service?;
        let name = || service.name.map(str::to_owned);
        match self.service {
            ServiceIdentifier::Id => Some(service.id.to_string()),
            ServiceIdentifier::Name => name(),
            ServiceIdentifier::Host => service_host(context),
            ServiceIdentifier::NameOrHost => name().or_else(|| service_host(context)),
        }
    }

    /// What the names of a request's metrics begin with after the prefix, where there are no tags.
    pub fn scope(self, context: &Context<'_>) -> String {
        match (context.service, self.service(context)) {
            (None, _) => "global.unmatched".to_owned(),
            (_, None) => "service.unnamed".to_owned(),
            (_, Some(name)) => format!("service.{}", without_dots(&name)),
        }
    }

    /// The tags of a request's metrics.
    pub fn tags(
        self,
        context: &Context<'_>,
        node: &str,
        status: u16,
    ) -> Vec<(&'static str, String)> {
        let mut tags = Vec::with_capacity(6);
        if let Some(service) = self.service(context) {
            tags.push(("service", service));
        }
        if let Some(route) = context.route {
            let name = route.name.map(str::to_owned);
            tags.push(("route", name.unwrap_or_else(|| route.id.to_string())));
        }
        tags.push(("workspace", self.workspace().to_owned()));
        tags.push(("node", node.to_owned()));
        if let Some(consumer) = self.consumer.of(context) {
            tags.push(("consumer", consumer));
        }
        tags.push(("status", status.to_string()));
        tags
    }
}

/// Puts a name, a value (`:1|c`) and tags together.
pub fn tagged(style: TagStyle, name: &str, value: &str, tags: &[(&'static str, String)]) -> String {
    let join = |equals: char| {
        let each = tags
            .iter()
            .map(|(key, value)| format!("{key}{equals}{value}"));
        each.collect::<Vec<_>>().join(",")
    };
    match style {
        TagStyle::Dogstatsd => format!("{name}{value}|#{}", join(':')),
        TagStyle::Influxdb => format!("{name},{}{value}", join('=')),
        TagStyle::Librato => format!("{name}#{}{value}", join('=')),
        TagStyle::Signalfx => format!("{name}[{}]{value}", join('=')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_in_every_style() {
        let tags = [("service", "s".to_owned()), ("status", "200".to_owned())];
        for (style, expected) in [
            (
                TagStyle::Dogstatsd,
                "kong.latency:7|ms|#service:s,status:200",
            ),
            (TagStyle::Influxdb, "kong.latency,service=s,status=200:7|ms"),
            (TagStyle::Librato, "kong.latency#service=s,status=200:7|ms"),
            (
                TagStyle::Signalfx,
                "kong.latency[service=s,status=200]:7|ms",
            ),
        ] {
            assert_eq!(tagged(style, "kong.latency", ":7|ms", &tags), expected);
        }
    }
}
