//! Plugins: what each does in which phase.
