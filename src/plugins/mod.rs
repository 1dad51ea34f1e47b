//! Plugins: what each does in which phase.

/// One configuration of a plugin, compiled.
pub trait Handler: Send + Sync {
    /// Plugins run in descending priority.
    fn priority(&self) -> i32;
}
