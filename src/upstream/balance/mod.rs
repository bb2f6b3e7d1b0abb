//! Which endpoint gets the next request: one file per balancer, all without locks.

mod ewma;
mod least_request;
mod maglev;
mod p2c;
mod ring;
mod round_robin;
mod shares;
mod weighted;

use super::Endpoint;
use crate::config::service::Balance;
use std::hash::Hasher;
use twox_hash::XxHash64;

/// A balancer with its own small state, made anew with every snapshot that changes its endpoints.
#[derive(Debug)]
pub enum Balancer {
    RoundRobin(round_robin::RoundRobin),
    Weighted(weighted::Weighted),
    P2c(shares::Shares),
    LeastRequest(round_robin::RoundRobin),
    Ewma(shares::Shares),
    Maglev(maglev::Maglev),
    Ring(ring::Ring),
}

impl Balancer {
    pub fn build(kind: Balance, endpoints: &[Endpoint]) -> Self {
        match kind {
            Balance::RoundRobin => Self::RoundRobin(round_robin::RoundRobin::default()),
            Balance::Weighted => Self::Weighted(weighted::Weighted::build(endpoints)),
            Balance::P2c => Self::P2c(shares::Shares::build(endpoints)),
            Balance::LeastRequest => Self::LeastRequest(round_robin::RoundRobin::default()),
            Balance::Ewma => Self::Ewma(shares::Shares::build(endpoints)),
            Balance::Maglev => Self::Maglev(maglev::Maglev::build(endpoints)),
            Balance::RingHash => Self::Ring(ring::Ring::build(endpoints)),
        }
    }

    /// Whether it asks for a hash of the request.
    pub fn hashes(&self) -> bool {
        matches!(self, Self::Maglev(_) | Self::Ring(_))
    }

    /// Returns the index of the chosen endpoint; `None` when none is eligible. An endpoint of
    /// weight 0 never is. The hashing balancers choose the same endpoint for the same `hash`.
    pub fn pick(
        &self,
        endpoints: &[Endpoint],
        hash: u64,
        eligible: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let wanted = |index: usize| endpoints.get(index).is_some_and(Endpoint::is_wanted);
        let eligible = &|index: usize| wanted(index) && eligible(index);
        if endpoints.len() == 1 {
            return eligible(0).then_some(0);
        }
        match self {
            Self::RoundRobin(turn) => turn.pick(endpoints.len(), eligible),
            Self::Weighted(weighted) => weighted.pick(endpoints, eligible),
            Self::P2c(shares) => p2c::pick(shares, endpoints, eligible),
            Self::LeastRequest(turn) => least_request::pick(turn, endpoints, eligible),
            Self::Ewma(shares) => ewma::pick(shares, endpoints, eligible),
            Self::Maglev(maglev) => maglev.pick(endpoints, hash, eligible),
            Self::Ring(ring) => ring.pick(endpoints, hash, eligible),
        }
    }
}

/// The same for the same words, in every process and every version: gateways side by side agree,
/// also while they are being upgraded.
pub fn stable_hash(words: &[&[u8]]) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    for word in words {
        hasher.write(word);
        // So that words which are put together otherwise are others. No text has this byte.
        hasher.write(&[0xff]);
    }
    hasher.finish()
}

/// How much busier than its share an endpoint may be before a hash passes it by (bounded loads).
const OVERLOAD: f64 = 1.25;
/// With so few in flight nobody is overloaded, whatever the shares.
const NEVER_OVERLOADED: f64 = 4.0;

/// Whether an endpoint has taken more than its share of what is in flight.
fn is_overloaded(endpoint: &Endpoint, endpoints: &[Endpoint]) -> bool {
    let (mut in_flight, mut weight) = (1, 0);
    for endpoint in endpoints {
        in_flight += endpoint.state.in_flight();
        weight += u32::from(endpoint.weight);
    }
    let share = f64::from(endpoint.weight) / f64::from(weight.max(1));
    let most = (f64::from(in_flight) * share * OVERLOAD).ceil();
    f64::from(endpoint.state.in_flight()) + 1.0 > most.max(NEVER_OVERLOADED)
}

/// The first eligible candidate that is not overloaded, else the first eligible one.
fn bounded(
    endpoints: &[Endpoint],
    candidates: impl Iterator<Item = usize>,
    eligible: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let mut first = None;
    for index in candidates {
        if Some(index) == first || !eligible(index) {
            continue;
        }
        let Some(endpoint) = endpoints.get(index) else {
            continue;
        };
        if !is_overloaded(endpoint, endpoints) {
            return Some(index);
        }
        first.get_or_insert(index);
    }
    first
}

#[cfg(test)]
mod tests;
