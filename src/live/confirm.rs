//! A reload on trial: the new generation serves, and goes back by itself unless it is confirmed
//! in time, or as soon as a route is worse than it was before.

use super::{Live, Outcome, Trigger, Verdict};
use crate::config::Name;
use crate::config::rollout::Guard;
use crate::config::units::Percent;
use crate::rollout::{self, Moment, Sides};
use crate::snapshot::{Snapshot, grpc_fails};
use crate::telemetry::metrics::histogram::HTTP_BOUNDS;
use crate::telemetry::metrics::series::RouteSeries;
use crate::telemetry::watch::{BUCKETS, Reading, bucket_of};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// How often the routes are looked at.
const PACE: Duration = Duration::from_millis(200);
/// How much worse a route may be than before the reload, and after how many requests it is judged.
const GUARD: Guard = Guard {
    max_error_rate: None,
    max_p99: None,
    worse_than_default: Some(Percent(5000)),
    min_requests: 20,
};

/// A generation on trial.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    pub generation: u64,
    pub back_to: u64,
    pub until: Moment,
}

/// A route, what it had counted when the trial began, and when it was last judged.
struct Route {
    name: Name,
    series: Arc<RouteSeries>,
    before: Reading,
    judged: u32,
}

impl Live {
    /// Puts what is live on trial: what this reload has put to work, or what the watch had an
    /// instant before.
    pub(super) async fn try_out(self: &Arc<Self>, within: Duration, verdict: &Verdict) {
        let history = self.history().await;
        let [now, before, ..] = history.as_slice() else {
            return;
        };
        let by_watch = verdict.outcome == Outcome::Unchanged && now.trigger == Trigger::FileChange;
        if verdict.outcome != Outcome::Applied && !by_watch {
            return;
        }
        let back_to = before.generation;
        let trial = Trial {
            generation: verdict.generation,
            back_to,
            until: Moment::now().plus(within),
        };
        tracing::info!(generation = trial.generation, until = %trial.until, "on trial until confirmed");
        *self.trial.lock() = Some(trial.clone());
        let routes = routes(&self.current.load());
        let live = self.clone();
        tokio::spawn(async move { live.watch_trial(trial, routes).await });
    }

    /// The generation on trial.
    pub fn trial(&self) -> Option<Trial> {
        self.trial.lock().clone()
    }

    /// Keeps the generation on trial. `None`: there is none.
    pub fn confirm(&self) -> Option<Trial> {
        self.trial.lock().take()
    }

    async fn watch_trial(self: Arc<Self>, trial: Trial, mut routes: Vec<Route>) {
        let mut looks = 0;
        loop {
            tokio::time::sleep(PACE).await;
            let mine = |known: &Trial| known.generation == trial.generation;
            if !self.trial.lock().as_ref().is_some_and(mine) {
                return;
            }
            if self.current.load().generation != trial.generation {
                // Another reload came between: there is nothing left to confirm.
                self.trial.lock().take_if(|known| mine(known));
                return;
            }
            let breach = routes.iter_mut().find_map(|route| route.breach(&mut looks));
            let late = Moment::now() >= trial.until;
            let Some(reason) = breach.or(late.then(|| "it was not confirmed".to_owned())) else {
                continue;
            };
            if self.trial.lock().take_if(|known| mine(known)).is_none() {
                return;
            }
            tracing::warn!(generation = trial.generation, reason, "going back");
            let back = self.restore(trial.back_to, Trigger::Unconfirmed).await;
            if back.is_none() {
                tracing::error!(
                    generation = trial.back_to,
                    "is not kept; nothing to go back to"
                );
            }
            return;
        }
    }
}

fn routes(snapshot: &Snapshot) -> Vec<Route> {
    let routes = snapshot.routes.iter().map(|route| Route {
        name: route.name.clone(),
        before: reading(&route.series),
        series: route.series.clone(),
        judged: 0,
    });
    routes.collect()
}

impl Route {
    /// What is worse than before, beyond chance.
    fn breach(&mut self, looks: &mut u32) -> Option<String> {
        let since = reading(&self.series).since(&self.before);
        if since.requests <= self.judged + self.judged / 5 || since.requests < GUARD.min_requests {
            return None;
        }
        self.judged = since.requests;
        *looks += 1;
        let sides = Sides {
            color: since,
            default: self.before.clone(),
        };
        match rollout::judge(&GUARD, &[sides], *looks) {
            rollout::Verdict::Breach(finding) => {
                let text = finding
                    .text
                    .replace("the default version's", "before the reload");
                Some(format!("route {}: {text}", self.name))
            }
            _ => None,
        }
    }
}

/// All that a route has ever counted, as a guard reads it: latency is as coarse as its histogram.
fn reading(series: &RouteSeries) -> Reading {
    let mut reading = Reading::default();
    for one in series.iter() {
        let (counts, _) = one.duration.read();
        let requests: u64 = counts.iter().sum();
        reading.requests = reading.requests.wrapping_add(requests as u32);
        let failures = match one.key.code.is_failure() {
            true => requests,
            // What HTTP calls a success may be a failure in gRPC's terms.
            false => {
                let failed = one
                    .grpc()
                    .filter(|(status, _)| status.is_some_and(grpc_fails));
                failed.map(|(_, count)| count).sum()
            }
        };
        reading.failures = reading.failures.wrapping_add(failures as u32);
        let ends = HTTP_BOUNDS
            .iter()
            .map(|bound| Duration::from_secs_f64(bound * 0.99));
        let buckets = ends.map(bucket_of).chain([BUCKETS - 1]);
        for (bucket, count) in buckets.zip(counts) {
            if let Some(slot) = reading.latency.get_mut(bucket) {
                *slot = slot.wrapping_add(count as u32);
            }
        }
    }
    reading
}
