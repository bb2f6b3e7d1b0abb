//! Which requests of a route a rollout's guard looks at.

use super::Route;
use crate::config::route::Target;
use crate::config::{Config, Name, route};
use crate::reason::{Party, Reason};
use crate::routing::{ColorId, Decision, VersionId};
use crate::telemetry::watch::Pair;
use std::sync::Arc;
use std::time::Duration;

/// A color that a rollout moves, on a route to a service that the color names.
#[derive(Debug)]
pub struct Watched {
    pub name: Name,
    color: ColorId,
    own: VersionId,
    default: VersionId,
    pub pair: Arc<Pair>,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub decision: Decision,
    /// The version that was tried last; `None`: the request did not get that far.
    pub version: Option<VersionId>,
    pub status: u16,
    pub grpc: Option<u8>,
    pub refused: Option<Reason>,
    /// `None` for streams.
    pub took: Option<Duration>,
}

/// What is watched on a route; counts go on from the generation before.
pub(super) fn watched(
    config: &Config,
    route: &route::Route,
    before: Option<&Route>,
) -> Box<[Watched]> {
    let Target::Service(service) = &route.target else {
        return Box::default();
    };
    let Some(versions) = config.services.get(service) else {
        return Box::default();
    };
    let position = |version: &Name| versions.versions.keys().position(|known| known == version);
    let colors = config
        .colors
        .iter()
        .enumerate()
        .filter_map(|(index, (name, color))| {
            let own = position(color.versions.get(service)?)?;
            let default = position(&versions.default)?;
            let moved = config.rollouts.contains_key(name) && own != default;
            let known =
                before.and_then(|route| route.watched.iter().find(|known| known.name == *name));
            moved.then(|| Watched {
                name: name.clone(),
                color: ColorId(index as u16),
                own: VersionId(own as u16),
                default: VersionId(default as u16),
                pair: known.map(|known| known.pair.clone()).unwrap_or_default(),
            })
        });
    colors.collect()
}

impl Watched {
    /// Counts a request for its side. Of the color's, those that the default version had to take
    /// over count as failed: without it they would have been.
    pub fn observe(&self, ended: &Ended) {
        // A policy's refusal says nothing about a version, nor does a client that left.
        let judged = match ended.refused {
            None => ended.status != 0 && ended.version.is_some(),
            Some(reason) => reason.fault() == Party::Upstream,
        };
        if !judged {
            return;
        }
        let failed = ended.status >= 500 || ended.grpc.is_some_and(grpc_fails);
        if ended.decision.color.requested == Some(self.color) {
            let stepped_in = ended.version != Some(self.own);
            let took = ended.took.filter(|_| !stepped_in);
            self.pair.color.observe(failed || stepped_in, took);
        } else if ended.decision.color.requested.is_none() && ended.version == Some(self.default) {
            self.pair.default.observe(failed, ended.took);
        }
    }
}

/// Statuses of gRPC that stand for a failure of whoever answers, as 5xx does: unknown, deadline
/// exceeded, unimplemented, internal, unavailable, data loss (as OpenTelemetry's conventions have it).
pub fn grpc_fails(status: u8) -> bool {
    matches!(status, 2 | 4 | 12 | 13 | 14 | 15)
}

#[cfg(test)]
mod tests {
    use super::{Ended, Watched};
    use crate::routing::{ColorChoice, ColorId, Decision, Outcome, VersionId};
    use std::sync::Arc;

    #[test]
    fn a_grpc_status_that_stands_for_a_failure_is_one() {
        let watched = Watched {
            name: "next".into(),
            color: ColorId(0),
            own: VersionId(1),
            default: VersionId(0),
            pair: Arc::default(),
        };
        let ended = |grpc| Ended {
            decision: Decision {
                route: None,
                color: ColorChoice {
                    requested: Some(ColorId(0)),
                    ..ColorChoice::default()
                },
                outcome: Outcome::Respond,
            },
            version: Some(VersionId(1)),
            status: 200,
            grpc,
            refused: None,
            took: None,
        };
        // OK, NOT_FOUND and RESOURCE_EXHAUSTED are answers; INTERNAL and UNIMPLEMENTED are none.
        for grpc in [None, Some(0), Some(5), Some(8), Some(13), Some(12)] {
            watched.observe(&ended(grpc));
        }
        let seen = watched.pair.color.read();
        assert_eq!((seen.requests, seen.failures), (6, 2));
    }
}
