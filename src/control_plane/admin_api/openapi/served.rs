//! Which paths and methods of the table are described.

use super::super::endpoint::{self, Endpoint};
use super::super::request;

/// The methods of a path that are described, in the order of an OpenAPI path item.
const METHODS: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"];

/// The paths of the table that are more than a name: some Kong lists, and answers 404 to.
pub fn served_paths(hybrid: bool) -> Vec<(String, Endpoint)> {
    let resolved = endpoint::all_paths(hybrid).into_iter().filter_map(|path| {
        let endpoint = endpoint::resolve(&request::segments(&path)?)?;
        Some((path, endpoint))
    });
    resolved
        .filter(|(_, endpoint)| endpoint.is_there(hybrid))
        .collect()
}

/// The methods that a path serves.
pub fn methods(endpoint: &Endpoint) -> impl Iterator<Item = &'static str> {
    METHODS.into_iter().filter(|method| endpoint.has(method))
}
