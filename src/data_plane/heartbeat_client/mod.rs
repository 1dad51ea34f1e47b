//! The link to the control plane: connect, heartbeat, backoff, failover.
