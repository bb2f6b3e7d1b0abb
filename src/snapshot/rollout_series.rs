//! What is counted of rollouts: their events.

use crate::config::Name;
use crate::counts::Counts;
use crate::rollout::Kind;
use crate::telemetry::encode::family;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::Counter;
use std::collections::BTreeMap;
use std::fmt::Result;
use std::sync::Arc;

/// The rollouts of a configuration, by name.
pub type RolloutsSeries = BTreeMap<Name, Arc<RolloutSeries>>;

/// Events of one rollout. They go on over reloads for as long as it keeps its name.
pub type RolloutSeries = Counts<Kind>;

/// Writes the events of all rollouts.
pub fn encode(encoder: &mut DescriptorEncoder, rollouts: &RolloutsSeries) -> Result {
    let rows = rollouts.iter().flat_map(|(name, series)| {
        series.iter().map(|(event, count)| {
            let labels = [("rollout", name.as_ref()), ("event", event.name())];
            (labels, count as f64)
        })
    });
    let rows: Vec<_> = rows.collect();
    let help = "What has happened to rollouts";
    family(encoder, "tyrian_rollout_events", help, Counter, &rows)
}
