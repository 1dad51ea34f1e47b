//! `custom_fields_by_lua`: fields of the log record that the configuration computes.

#[cfg(feature = "lua")]
use super::log_fields::{LogFieldMode, put_field};
use super::{Build, BuildError, Context, RequestLog};
#[cfg(feature = "lua")]
use crate::plugins::lua::{Expression, expression};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The expressions of one plugin instance, by the paths of their fields.
pub struct CustomFields {
    #[cfg(feature = "lua")]
    plugin: &'static str,
    #[cfg(feature = "lua")]
    fields: Vec<(String, Expression)>,
}

#[cfg(feature = "lua")]
impl CustomFields {
    /// Checks what the configuration of `plugin` has.
    ///
    /// # Errors
    /// An expression is no Lua, or the node runs none.
    pub fn build(
        plugin: &'static str,
        build: &Build<'_>,
        fields: &BTreeMap<String, String>,
    ) -> Result<CustomFields, BuildError> {
        let checked = fields.iter().map(|(field, code)| {
            let checked = expression(code, plugin, build.plugin.id, build.resources);
            let checked = checked.map_err(|reason| BuildError::Config {
                name: plugin.to_owned(),
                reason: format!("custom_fields_by_lua.{field}: {reason}"),
            })?;
            Ok((field.clone(), checked))
        });
        Ok(CustomFields {
            plugin,
            fields: checked.collect::<Result<_, BuildError>>()?,
        })
    }

    /// The log record of a request with these fields. One whose expression fails is left out, and the log
    /// says why.
    pub fn record(&self, context: &mut Context<'_>, log: &RequestLog<'_>) -> Map<String, Value> {
        // First the values, because an expression may itself change the record.
        let mut values = Vec::new();
        for (field, expression) in &self.fields {
            match expression.value(context, log) {
                Ok(value) => values.push((field, value)),
                Err(error) => {
                    let (plugin, request_id) = (self.plugin, context.request_id);
                    tracing::error!(
                        plugin,
                        request_id,
                        field,
                        error,
                        "custom_fields_by_lua failed"
                    );
                }
            }
        }
        let mut record = super::log_record(context, log);
        for (field, value) in values {
            put_field(&mut record, field, value, LogFieldMode::Set);
        }
        record
    }
}

#[cfg(not(feature = "lua"))]
impl CustomFields {
    /// Nothing can be computed: the fields are left out, and the log says so.
    ///
    /// # Errors
    /// None in this build.
    pub fn build(
        plugin: &'static str,
        build: &Build<'_>,
        fields: &BTreeMap<String, String>,
    ) -> Result<CustomFields, BuildError> {
        if !fields.is_empty() {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            tracing::warn!(
                plugin,
                id = %build.plugin.id,
                fields = names.join(", "),
                "custom_fields_by_lua: this build runs no Lua: log records go out without these fields"
            );
        }
        Ok(CustomFields {})
    }

    /// The log record of a request.
    pub fn record(&self, context: &mut Context<'_>, log: &RequestLog<'_>) -> Map<String, Value> {
        super::log_record(context, log)
    }
}
