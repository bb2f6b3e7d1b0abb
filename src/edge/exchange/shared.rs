//! What all exchanges share.

use super::upstream::Connections;
use crate::snapshot::Current;
use crate::telemetry::Metrics;
use std::sync::Arc;

/// The live snapshot, the counters, and the connections to upstreams.
pub struct Shared {
    pub current: Current,
    pub metrics: Arc<Metrics>,
    pub connections: Connections,
}
