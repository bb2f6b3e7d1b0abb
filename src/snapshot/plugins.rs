//! A plugin's instance for one generation: started when it goes live, stopped after its last
//! request, counted by name.

use crate::config::plugin::{OnError, Plugin};
use crate::config::{Config, Name};
use crate::plugin::{Instance, Made, Phases, Plugins};
use crate::routing::View;
use crate::routing::conditions::Clause;
use crate::telemetry::histogram::OverheadHistogram;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tyrian_plugin::Flow;

/// An instance at work.
pub struct Hosted {
    pub name: Name,
    pub instance: Arc<dyn Instance>,
    pub phases: Phases,
    pub on_error: OnError,
    pub budget: Option<Duration>,
    pub series: Arc<PluginSeries>,
    when: Box<[Clause]>,
    started: AtomicBool,
}

/// What is counted per plugin.
#[derive(Debug, Default)]
pub struct PluginSeries {
    /// Time of each call.
    pub took: OverheadHistogram,
    pub panics: AtomicU64,
    pub failures: AtomicU64,
    pub over_budget: AtomicU64,
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The plugins of a generation; counts go on from the one before.
pub(super) fn host(
    config: &Config,
    made: Plugins,
    before: Option<&BTreeMap<Name, Arc<Hosted>>>,
) -> BTreeMap<Name, Arc<Hosted>> {
    let hosted = made.0.into_iter().filter_map(|(name, made)| {
        let table = config.plugins.get(&name)?;
        let known = before.and_then(|before| before.get(&name));
        let series = known.map(|known| known.series.clone()).unwrap_or_default();
        let hosted = Hosted::new(name.clone(), made, table, series);
        Some((name, Arc::new(hosted)))
    });
    hosted.collect()
}

impl Hosted {
    /// An instance, not started yet.
    pub fn new(name: Name, made: Made, table: &Plugin, series: Arc<PluginSeries>) -> Self {
        let Made { factory, instance } = made;
        // The check has compiled them.
        let when = table.when.iter();
        let when = when.filter_map(|when| Clause::build(when).ok()).collect();
        Self {
            name,
            instance,
            phases: factory.phases,
            on_error: table.on_error,
            budget: table.budget,
            series,
            when,
            started: AtomicBool::new(false),
        }
    }

    /// Calls a hook: timed, and with its panics caught.
    pub fn call(&self, hook: impl FnOnce(&dyn Instance) -> Flow) -> Flow {
        let began = Instant::now();
        let hook = AssertUnwindSafe(|| hook(self.instance.as_ref()));
        let flow = catch_unwind(hook).unwrap_or_else(|_| {
            self.series.panics.fetch_add(1, Relaxed);
            Flow::Fail("it panicked".to_owned())
        });
        let took = began.elapsed();
        self.series.took.observe(took);
        if self.budget.is_some_and(|budget| took > budget) {
            self.series.over_budget.fetch_add(1, Relaxed);
        }
        flow
    }

    /// Whether it runs for a request.
    pub fn wants(&self, view: &View) -> bool {
        self.when.is_empty() || self.when.iter().any(|clause| clause.holds(view))
    }

    /// The generation goes live. A panic here is counted, and nothing else.
    pub fn start(&self) {
        if !self.started.swap(true, Relaxed) {
            self.shielded(|instance| instance.start());
        }
    }

    fn shielded(&self, step: impl FnOnce(&dyn Instance)) {
        if catch_unwind(AssertUnwindSafe(|| step(self.instance.as_ref()))).is_err() {
            self.series.panics.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if self.started.swap(false, Relaxed) {
            self.shielded(|instance| instance.stop());
        }
    }
}
