//! What is wrong with settings, all of it at once: violations stop a start, warnings do not.

use std::fmt;

/// Collects while settings are read.
#[derive(Debug, Default)]
pub struct Problems {
    violations: Vec<String>,
    warnings: Vec<String>,
}

impl Problems {
    pub(super) fn violation(&mut self, message: impl Into<String>) {
        self.violations.push(message.into());
    }

    pub(super) fn warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    #[cfg(test)]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    #[cfg(test)]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The value with the warnings, or the violations.
    pub(super) fn finish<T>(self, value: T) -> Result<(T, Vec<String>), SettingsError> {
        match self.violations.is_empty() {
            true => Ok((value, self.warnings)),
            false => Err(SettingsError {
                violations: self.violations,
                warnings: self.warnings,
            }),
        }
    }
}

/// Settings that cannot be used. Each message is a sentence that names the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    pub violations: Vec<String>,
    pub warnings: Vec<String>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.violations.join("\n"))
    }
}

impl std::error::Error for SettingsError {}
