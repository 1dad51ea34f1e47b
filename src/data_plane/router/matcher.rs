//! One entry of the route index: a route, or a group of its paths, with its place in the order.

use super::conditions::Conditions;
use super::facts::Facts;
use super::priority::{MatchOrder, OrderKey, Weights, group_id, order_key, priority};
use super::protocols::Protocols;
use super::regex_path::RegexPath;
use crate::model::{self, Row};
use crate::telemetry::record::{Label, Labelled};
use smallvec::SmallVec;
use std::sync::Arc;
use uuid::Uuid;

/// Longer path keys are filed under their beginning; matchers compare the whole text. This
/// bounds the depth of the tries.
pub(super) const MAX_PATH_KEY: usize = 256;

/// A route as requests see it. Where there are many routes, looking at one means waiting for
/// memory: what the index looks at stands in front, all in one block.
#[derive(Debug)]
#[repr(C)]
pub struct CompiledRoute {
    /// Nearly all routes have one.
    parts: SmallVec<[Part; 1]>,
    pub(super) conditions: Conditions,
    pub service: Option<Uuid>,
    pub protocols: Protocols,
    /// What a plain request to an https-only route is answered with.
    pub https_redirect_status_code: u16,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub request_buffering: bool,
    pub response_buffering: bool,
    /// The name for telemetry: the route's name, else its id.
    pub label: Label,
    pub id: Uuid,
    pub name: Option<Arc<str>>,
    /// The entity itself, shared with the configuration.
    pub row: Row,
}

/// A kind of path of a route, with its place in the order of routes.
#[derive(Debug)]
struct Part {
    key: OrderKey,
    paths: Paths,
}

/// The paths of one matcher; each kind has its own place in the order, so a route that mixes
/// them has several matchers.
#[derive(Debug)]
pub enum Paths {
    Any,
    /// All of one length, in bytes.
    Prefixes {
        len: usize,
        texts: Box<[Box<str>]>,
    },
    /// In the order of the route; the first that matches counts.
    Regexes(Box<[RegexPath]>),
}

/// A route or a part of one, as the index holds it.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub route: Arc<CompiledRoute>,
    part: usize,
}

/// What of the path matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The route has no paths.
    None,
    /// The first so many bytes.
    Prefix(usize),
    /// These bytes, by the pattern with this index.
    Regex {
        start: usize,
        end: usize,
        pattern: usize,
    },
}

impl Matcher {
    /// The matchers of a route; none when it is for stream protocols.
    ///
    /// # Errors
    /// One text for the user per invalid field.
    pub fn compile(
        route: &model::Route,
        row: &Row,
        order: MatchOrder,
    ) -> Result<Box<[Matcher]>, Vec<String>> {
        let mut violations = Vec::new();
        let protocols = Protocols::parse(&route.protocols).unwrap_or_else(|reason| {
            violations.push(format!("protocols: {reason}"));
            Protocols::default()
        });
        // Without its expression it would match everything.
        if route.expression.is_some() {
            violations.push("expression: this data plane runs no expressions".to_owned());
        }
        let conditions = Conditions::compile(route, protocols, order, &mut violations);
        let groups = group_paths(&route.paths, &mut violations);
        if !violations.is_empty() {
            return Err(violations);
        }
        if !protocols.intersects(Protocols::HTTP) {
            return Ok(Box::default());
        }
        let base = Weights {
            categories: conditions.categories() + u32::from(!route.paths.is_empty()),
            plain_hosts: conditions.plain_hosts(),
            headers: conditions.header_names(),
            ..Weights::default()
        };
        let whole = groups.len() == 1;
        let parts = groups.into_iter().enumerate().map(|(at, paths)| {
            let weights = match &paths {
                Paths::Any => base,
                Paths::Prefixes { len, .. } => Weights {
                    prefix_len: *len,
                    ..base
                },
                Paths::Regexes(_) => Weights {
                    regex: Some(route.regex_priority),
                    ..base
                },
            };
            let id = match whole {
                true => route.id,
                false => group_id(route.id, at + 1),
            };
            let key = order_key(priority(order, &weights), id);
            Part { key, paths }
        });
        let name: Option<Arc<str>> = route.name.as_deref().map(Arc::from);
        let compiled = Arc::new(CompiledRoute {
            parts: parts.collect(),
            id: route.id,
            label: Label {
                id: route.id,
                name: name.clone().unwrap_or_else(|| route.id.to_string().into()),
            },
            name,
            service: route.service.map(|service| service.id),
            protocols,
            https_redirect_status_code: route.https_redirect_status_code,
            strip_path: route.strip_path,
            preserve_host: route.preserve_host,
            request_buffering: route.request_buffering,
            response_buffering: route.response_buffering,
            conditions,
            row: row.clone(),
        });
        let matcher = |part| Matcher {
            route: Arc::clone(&compiled),
            part,
        };
        Ok((0..compiled.parts.len()).map(matcher).collect())
    }

    /// The one matcher of a route that has no more.
    pub(super) fn of_whole(route: &Arc<CompiledRoute>) -> Matcher {
        Matcher {
            route: Arc::clone(route),
            part: 0,
        }
    }

    pub fn key(&self) -> OrderKey {
        self.route.key(self.part)
    }

    pub fn paths(&self) -> &Paths {
        self.route.paths(self.part)
    }

    /// The route, when this is all of it.
    pub(super) fn whole(&self) -> Option<&Arc<CompiledRoute>> {
        (self.route.parts.len() == 1).then_some(&self.route)
    }

    pub(super) fn part(&self) -> usize {
        self.part
    }
}

impl Labelled for CompiledRoute {
    fn label(&self) -> &Label {
        &self.label
    }
}

impl CompiledRoute {
    /// The place of a part in the order of routes.
    pub(super) fn key(&self, part: usize) -> OrderKey {
        self.parts[part].key
    }

    pub(super) fn paths(&self, part: usize) -> &Paths {
        &self.parts[part].paths
    }

    /// What matched when the request meets everything that this part of the route asks. The index
    /// has already compared the hosts' names and prefixes up to [`MAX_PATH_KEY`].
    pub(super) fn matches(
        &self,
        part: usize,
        facts: &Facts<'_>,
        host: &str,
        port: u64,
    ) -> Option<PathMatch> {
        if !self.conditions.hold(facts, host, port) {
            return None;
        }
        match self.paths(part) {
            Paths::Any => Some(PathMatch::None),
            // Found under the whole of one of the prefixes.
            Paths::Prefixes { len, .. } if *len <= MAX_PATH_KEY => Some(PathMatch::Prefix(*len)),
            Paths::Prefixes { texts, .. } => texts
                .iter()
                .find(|prefix| facts.path.starts_with(&***prefix))
                .map(|prefix| PathMatch::Prefix(prefix.len())),
            Paths::Regexes(regexes) => regexes.iter().enumerate().find_map(|(pattern, path)| {
                path.regex().find(facts.path).map(|found| PathMatch::Regex {
                    start: found.start(),
                    end: found.end(),
                    pattern,
                })
            }),
        }
    }
}

/// The paths by kind, and prefixes by length, in order of first appearance; one group without
/// paths when there are none.
fn group_paths(paths: &[String], violations: &mut Vec<String>) -> Vec<Paths> {
    enum Group<'a> {
        Prefixes(Vec<&'a str>),
        Regexes(Vec<RegexPath>),
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        if let Some(pattern) = path.strip_prefix('~') {
            let compiled = match RegexPath::compile(pattern) {
                Ok(compiled) => compiled,
                Err(reason) => {
                    violations.push(format!("paths[{at}]: {reason}"));
                    continue;
                }
            };
            let regexes = groups.iter_mut().find_map(|group| match group {
                Group::Regexes(regexes) => Some(regexes),
                Group::Prefixes(_) => None,
            });
            match regexes {
                Some(regexes) => regexes.push(compiled),
                None => groups.push(Group::Regexes(vec![compiled])),
            }
        } else if path.starts_with('/') {
            let prefixes = groups.iter_mut().find_map(|group| match group {
                Group::Prefixes(prefixes) if prefixes[0].len() == path.len() => Some(prefixes),
                _ => None,
            });
            match prefixes {
                Some(prefixes) => prefixes.push(path),
                None => groups.push(Group::Prefixes(vec![path])),
            }
        } else {
            violations.push(format!("paths[{at}]: must start with / or ~"));
        }
    }
    if paths.is_empty() {
        return vec![Paths::Any];
    }
    groups
        .into_iter()
        .map(|group| match group {
            Group::Prefixes(prefixes) => Paths::Prefixes {
                len: prefixes.first().map_or(0, |prefix| prefix.len()),
                texts: prefixes.into_iter().map(Box::from).collect(),
            },
            Group::Regexes(regexes) => Paths::Regexes(regexes.into()),
        })
        .collect()
}
