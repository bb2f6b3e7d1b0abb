//! What is counted of rollouts: the shares of their colors, and their events.

use crate::config::Name;
use crate::config::units::Percent;
use crate::counts::Counts;
use crate::rollout::Kind;
use crate::telemetry::metrics::Family;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rollouts of a configuration, by name.
pub type RolloutsSeries = BTreeMap<Name, Arc<RolloutSeries>>;

/// Events of one rollout. They go on over reloads for as long as it keeps its name.
pub type RolloutSeries = Counts<Kind>;

/// Metrics of shares, by color.
pub const SHARES: &[Family<Percent>] = &[Family::gauge(
    "tyrian_rollout_share",
    "Share of uncolored traffic that gets the color, 0 to 1",
    |share, points| points.add(share.ratio()),
)];

/// Metrics of events, by rollout.
pub const EVENTS: &[Family<RolloutSeries>] = &[Family::counter(
    "tyrian_rollout_events_total",
    "What has happened to rollouts",
    |events, points| {
        let counts = events.iter();
        points.each("event", counts.map(|(event, count)| (event.name(), count)));
    },
)];
