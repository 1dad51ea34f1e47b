//! What a valid entity is: pure data and functions.
//!
//! One description (`data/schemas.json`) drives validation, defaults, form decoding and
//! `GET /schemas/*`. No IO, no clock and no randomness of its own: [`Env`] brings them.

pub mod bounded;
mod build;
mod certificates;
mod checks;
mod custom_checks;
mod definition;
pub mod describe;
mod entity;
mod env;
mod expression;
mod fill;
mod foreign;
pub mod form;
pub mod json_schema;
mod keys;
mod load;
mod lua;
mod lua_pattern;
pub mod lua_text;
mod number;
mod pcre;
mod plugin_list;
mod random;
mod read;
mod references;
mod router_language;
mod shorthand;
mod transform;
mod ttl;
mod validate;
mod validators;
mod violations;

#[cfg(test)]
mod plugin_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use definition::{Field, FieldKind, Foreign, OnDelete, Record};
pub use entity::Entity;
pub use env::{Env, Random, Role, RouterFlavor};
pub use foreign::Lookup;
pub use load::{entities, entity};
pub use plugin_list::{OwnPlugin, PLUGINS, PluginInfo, add_plugins, plugin, plugins};
pub use random::SystemRandom;
pub use ttl::{OptionViolation, Ttl};
pub use validate::is_uuid;
pub use validators::{migrate_old_path, normalize_host_port, normalize_target};
pub use violations::Violations;
