//! Forgets what no data plane will add to any more.

use crate::control_plane::config_store::Store;
use std::time::Duration;
use tokio::time::interval;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3600);
/// How long a data plane that sends nothing may still send what it has kept: its buffer lives as
/// long as its process, also without a control plane.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// Looks now and every hour, for as long as the process lives. Several control planes on one
/// database do the same work, and do it once.
pub async fn forget_old_telemetry(store: Store) {
    let mut looks = interval(EVERY);
    loop {
        looks.tick().await;
        match store.expire_telemetry(KEEP).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "telemetry of data planes that are gone is forgotten"),
            Err(err) => tracing::warn!(?err, "old telemetry could not be forgotten"),
        }
    }
}
