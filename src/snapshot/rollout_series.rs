//! What is counted of rollouts: their events.

use crate::config::Name;
use crate::rollout::Kind;
use crate::telemetry::encode::family;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::Counter;
use std::collections::BTreeMap;
use std::fmt::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The rollouts of a configuration, by name.
pub type RolloutsSeries = BTreeMap<Name, Arc<RolloutSeries>>;

/// Events of one rollout. They go on over reloads for as long as it keeps its name.
#[derive(Debug, Default)]
pub struct RolloutSeries([AtomicU64; Kind::ALL.len()]);

impl RolloutSeries {
    pub fn happened(&self, event: Kind) {
        if let Some(count) = self.0.get(event as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Writes the events of all rollouts.
pub fn encode(encoder: &mut DescriptorEncoder, rollouts: &RolloutsSeries) -> Result {
    let rows = rollouts.iter().flat_map(|(name, series)| {
        Kind::ALL.iter().zip(&series.0).map(|(event, count)| {
            let labels = [("rollout", name.as_ref()), ("event", event.name())];
            (labels, count.load(Relaxed) as f64)
        })
    });
    let rows: Vec<_> = rows.collect();
    let help = "What has happened to rollouts";
    family(encoder, "tyrian_rollout_events", help, Counter, &rows)
}
