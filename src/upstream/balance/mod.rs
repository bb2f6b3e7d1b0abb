//! Which endpoint gets the next request: one file per balancer, all without locks.

mod least_request;
mod p2c;
mod round_robin;
mod weighted;

use super::Endpoint;
use crate::config::service::Balance;

/// A balancer with its own small state, made anew with every snapshot that changes its endpoints.
#[derive(Debug)]
pub enum Balancer {
    RoundRobin(round_robin::RoundRobin),
    Weighted(weighted::Weighted),
    P2c,
    LeastRequest(round_robin::RoundRobin),
}

impl Balancer {
    pub fn build(kind: Balance, endpoints: &[Endpoint]) -> Self {
        match kind {
            Balance::RoundRobin => Self::RoundRobin(round_robin::RoundRobin::default()),
            Balance::Weighted => Self::Weighted(weighted::Weighted::build(endpoints)),
            Balance::P2c => Self::P2c,
            Balance::LeastRequest => Self::LeastRequest(round_robin::RoundRobin::default()),
        }
    }

    /// The index of the chosen endpoint; `None` when none is eligible.
    pub fn pick(&self, endpoints: &[Endpoint], eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
        if endpoints.len() == 1 {
            return eligible(0).then_some(0);
        }
        match self {
            Self::RoundRobin(turn) => turn.pick(endpoints.len(), eligible),
            Self::Weighted(weighted) => weighted.pick(endpoints.len(), eligible),
            Self::P2c => p2c::pick(endpoints, eligible),
            Self::LeastRequest(turn) => least_request::pick(turn, endpoints, eligible),
        }
    }
}

/// Requests in flight per unit of weight, scaled so that integers compare exactly enough.
fn load(endpoint: &Endpoint) -> u64 {
    (u64::from(endpoint.state.in_flight()) + 1) * 1_000_000 / u64::from(endpoint.weight)
}

#[cfg(test)]
mod tests;
