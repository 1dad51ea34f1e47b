//! Metric names and log events.
