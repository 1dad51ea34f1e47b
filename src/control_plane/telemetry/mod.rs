//! Telemetry batches in, each counted once; fleet totals out.
