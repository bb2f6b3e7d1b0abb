//! What can be asked of the live configuration without changing it.

use super::{Entry, Live, Outcome, Rejected, Source, Verdict, guard};
use crate::config::{Loaded, Values, diff, environment, load_posted};
use crate::upstream::Carried;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

impl Live {
    /// The files whose change may change the configuration.
    pub async fn inputs(&self) -> Vec<PathBuf> {
        let mut inputs = self.state.lock().await.loaded.inputs.clone();
        if let Source::Path(path) = &self.source {
            inputs.push(path.clone());
        }
        inputs
    }

    /// What is live, as it was loaded.
    pub async fn loaded(&self) -> Arc<Loaded> {
        self.state.lock().await.loaded.clone()
    }

    /// Generations that can be returned to, the newest first.
    pub async fn history(&self) -> Vec<Entry> {
        self.state.lock().await.history.entries()
    }

    /// Names and texts of a generation that is still kept.
    pub async fn texts(&self, generation: u64) -> Option<Vec<(String, String)>> {
        let sources = self.state.lock().await.history.sources(generation)?;
        let text = |source: &crate::config::source::Source| {
            (source.name.to_string(), source.text.to_string())
        };
        Some(sources.iter().map(text).collect())
    }

    /// The generation that a rollback restored, while the file says something else.
    pub async fn rolled_back_to(&self) -> Option<u64> {
        self.state.lock().await.rolled_back_to
    }

    /// What was refused last, while nothing newer is live.
    pub fn rejected(&self) -> Option<Arc<Rejected>> {
        self.rejected.lock().clone()
    }

    /// Whether what is live came as a text, while the file says something else.
    pub async fn is_applied_text(&self) -> bool {
        self.state.lock().await.applied
    }

    /// Checks a text as if it were the file, and tells what it would change; with `replay`, for
    /// recent requests too. `values` says whether the verdict may depend on variables.
    pub async fn preview(&self, text: &str, replay: bool, values: Values) -> Verdict {
        let running = self.loaded().await;
        let posted = self.posted(text);
        let started = Instant::now();
        let load = || load_posted(posted, &running, &environment, values);
        self.aside(|| match self.beside(load()) {
            Ok((loaded, table, _)) => {
                let live = self.current.load();
                let generation = live.generation;
                let config = loaded.config.as_ref().filter(|_| replay);
                let report = config.map(|config| {
                    guard::recently(&self.metrics, &self.rollouts, &live, (config, &table))
                });
                let changes = diff(&running.values, &loaded.values);
                let carried = Carried::default();
                let verdict = Verdict::applied(generation, started, changes, carried, &loaded);
                Verdict {
                    outcome: Outcome::Acceptable,
                    replay: report,
                    ..verdict
                }
            }
            Err(loaded) => Verdict::rejected(self.current.load().generation, &loaded),
        })
    }

    pub fn source(&self) -> &Source {
        &self.source
    }
}
