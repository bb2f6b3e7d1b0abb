//! The cheaper of two random endpoints, cost being average latency times requests in flight.

use crate::upstream::Endpoint;

pub fn pick(endpoints: &[Endpoint], eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
    let one = random(endpoints.len(), eligible)?;
    let two = random(endpoints.len(), &|index| index != one && eligible(index));
    let Some(two) = two else { return Some(one) };
    let cost = |index: usize| endpoints.get(index).map_or(f64::MAX, cost);
    Some(if cost(two) < cost(one) { two } else { one })
}

/// An endpoint that was never measured costs next to nothing, so it is measured soon.
fn cost(endpoint: &Endpoint) -> f64 {
    let waiting = f64::from(endpoint.state.in_flight()) + 1.0;
    (endpoint.state.latency.now() + 1.0) * waiting / f64::from(endpoint.weight.max(1))
}

/// A random eligible index, found from a random start.
fn random(len: usize, eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
    let start = fastrand::usize(..len.max(1));
    (0..len)
        .map(|step| (start + step) % len)
        .find(|index| eligible(*index))
}
