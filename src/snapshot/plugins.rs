//! A plugin's instance for one generation: started when it goes live, stopped after its last
//! request, counted by name.

use crate::config::plugin::{OnError, Plugin};
use crate::config::{Config, Name};
use crate::plugin::{Instance, Made, Phases, Plugins};
use crate::routing::View;
use crate::routing::conditions::Clause;
use crate::telemetry::metrics::histogram::{OVERHEAD_BOUNDS, OverheadHistogram};
use crate::telemetry::metrics::{Distribution, Family};
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
    /// What the log says where it has answered, or failed.
    pub answered: Arc<str>,
    pub failed: Arc<str>,
    when: Box<[Clause]>,
    started: AtomicBool,
}

/// Of calls that no budget bounds, one in so many is timed, since two looks at the clock cost more
/// than an empty plugin. Prime, so that the phases of a plugin take turns in being that one.
const ONE_IN: u64 = 17;
/// So many calls are timed one and all before that, so that small counts are exact.
const TIMED_FIRST: u64 = 4 * ONE_IN;

/// What is counted per plugin.
#[derive(Debug, Default)]
pub struct PluginSeries {
    calls: AtomicU64,
    /// Time of calls. One that is timed stands for those before it that were not, so the count is
    /// never above that of calls, and never [`ONE_IN`] below it.
    pub took: OverheadHistogram,
    pub panics: AtomicU64,
    pub failures: AtomicU64,
    pub over_budget: AtomicU64,
}

impl PluginSeries {
    /// Its metrics, by plugin.
    pub(super) const METRICS: &[Family<Self>] = &[
        Family::counter(
            "tyrian_plugin_trouble_total",
            "Calls of plugins that panicked, failed, or took longer than their budget",
            |series, points| {
                let kinds = [
                    ("panic", &series.panics),
                    ("failure", &series.failures),
                    ("over_budget", &series.over_budget),
                ];
                points.each("kind", kinds);
            },
        ),
        Family::histogram(
            "tyrian_plugin_seconds",
            "Time of calls of a plugin; without a budget one in 17 is timed, and counts as all",
            |series, points| {
                let (counts, sum_us) = series.took.read();
                let value = Distribution::new(&OVERHEAD_BOUNDS, &counts, sum_us);
                points.histogram(&[], &value);
            },
        ),
    ];
}
// The help above says so.
const _: () = assert!(ONE_IN == 17);

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
            answered: format!("plugin `{name}` has answered").into(),
            failed: format!("plugin `{name}` has failed").into(),
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

    /// Calls a hook: with its panics caught, and timed when it is its turn.
    pub fn call(&self, hook: impl FnOnce(&dyn Instance) -> Flow) -> Flow {
        let turn = self.series.calls.fetch_add(1, Relaxed);
        match self.budget {
            // Whoever sets a budget hears of every call that exceeds it.
            Some(_) => self.timed(1, hook),
            None if turn < TIMED_FIRST => self.timed(1, hook),
            None if turn % ONE_IN == ONE_IN - 1 => self.timed(ONE_IN, hook),
            None => self.shielded(hook),
        }
    }

    /// Calls a hook, and counts its time for so many calls.
    #[inline(never)]
    fn timed(&self, calls: u64, hook: impl FnOnce(&dyn Instance) -> Flow) -> Flow {
        let began = Instant::now();
        let flow = self.shielded(hook);
        let took = began.elapsed();
        self.series.took.observe_as(took, calls);
        if self.budget.is_some_and(|budget| took > budget) {
            self.series.over_budget.fetch_add(1, Relaxed);
        }
        flow
    }

    fn shielded(&self, hook: impl FnOnce(&dyn Instance) -> Flow) -> Flow {
        let hook = AssertUnwindSafe(|| hook(self.instance.as_ref()));
        catch_unwind(hook).unwrap_or_else(|_| {
            self.series.panics.fetch_add(1, Relaxed);
            Flow::Fail("it panicked".to_owned())
        })
    }

    /// Whether it runs for a request.
    pub fn wants(&self, view: &View) -> bool {
        self.when.is_empty() || self.when.iter().any(|clause| clause.holds(view))
    }

    /// The generation goes live. A panic here is counted, and nothing else.
    pub fn start(&self) {
        if !self.started.swap(true, Relaxed) {
            self.shielded(|instance| {
                instance.start();
                Flow::Continue
            });
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if self.started.swap(false, Relaxed) {
            self.shielded(|instance| {
                instance.stop();
                Flow::Continue
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Hosted, ONE_IN, TIMED_FIRST, host};
    use crate::config::load_text;
    use crate::plugin::Plugins;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    fn hosted(more: &str) -> Arc<Hosted> {
        let text = format!("[plugins.one]\nuse = \"headers\"\n{more}\n");
        let config = load_text("test", &text, &|_| None).config.unwrap();
        let made = Plugins::make(&config).unwrap();
        host(&config, made, None).into_values().next().unwrap()
    }

    fn counted(hosted: &Hosted) -> u64 {
        hosted.series.took.read().0.iter().sum()
    }

    #[test]
    fn all_calls_are_counted_though_few_are_timed() {
        let hosted = hosted("");
        for call in 1..=10 * TIMED_FIRST {
            hosted.call(|_| Flow::Continue);
            let behind = call - counted(&hosted);
            assert!(behind < ONE_IN, "{behind} of {call}");
            assert!(call > TIMED_FIRST || behind == 0, "{behind} of {call}");
        }
        assert_eq!(hosted.series.over_budget.load(Relaxed), 0);
    }

    #[test]
    fn every_call_over_budget_is_found() {
        let hosted = hosted("budget = \"1ms\"");
        for call in 0..2 * TIMED_FIRST {
            let slow = call > TIMED_FIRST && call % 10 == 0;
            hosted.call(|_| {
                if slow {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Flow::Continue
            });
        }
        assert_eq!(counted(&hosted), 2 * TIMED_FIRST);
        // A busy machine may make slow what is not.
        assert!(hosted.series.over_budget.load(Relaxed) >= 7);
    }
}
