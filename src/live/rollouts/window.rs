//! What both versions have done since a step began.

use crate::config::Name;
use crate::rollout::{Moment, Numbers, Sides};
use crate::snapshot::Snapshot;
use crate::telemetry::watch::{Pair, Reading};
use std::sync::Arc;

/// The readings that a window began with.
#[derive(Debug, Default)]
pub struct Window {
    pub began: Moment,
    at_start: Vec<(Arc<Pair>, Reading, Reading)>,
    /// Requests of the color when it was last judged.
    pub judged: u32,
}

impl Window {
    pub fn begin(snapshot: &Snapshot, color: &Name, now: Moment) -> Self {
        let mut window = Self {
            began: now,
            ..Self::default()
        };
        window.adopt(snapshot, color);
        window
    }

    /// Begins to read routes that are new.
    pub fn adopt(&mut self, snapshot: &Snapshot, color: &Name) {
        let watched = snapshot.routes.iter().flat_map(|route| &route.watched);
        for watched in watched.filter(|watched| watched.name == *color) {
            let pair = &watched.pair;
            if !self
                .at_start
                .iter()
                .any(|(known, ..)| Arc::ptr_eq(known, pair))
            {
                let (color, default) = (pair.color.read(), pair.default.read());
                self.at_start.push((pair.clone(), color, default));
            }
        }
    }

    /// What both sides have done in it, by route.
    pub fn sides(&self) -> Vec<Sides> {
        let sides = self.at_start.iter().map(|(pair, color, default)| Sides {
            color: pair.color.read().since(color),
            default: pair.default.read().since(default),
        });
        sides.collect()
    }

    /// The same over all routes, to show.
    pub fn numbers(&self) -> Numbers {
        Numbers::of(&self.sides(), self.began)
    }
}
