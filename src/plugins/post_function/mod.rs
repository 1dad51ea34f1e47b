//! post-function: Lua of the configuration, after every other plugin.

use super::{Build, BuildError, Descriptor, Handler, VERSION, lua};
use std::sync::Arc;

pub const PLUGIN: Descriptor = Descriptor {
    name: "post-function",
    version: VERSION,
    priority: -1000,
    phases: lua::PHASES,
    guards: true,
    build,
    definition: None,
};

fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    lua::build(build, PLUGIN.name)
}
