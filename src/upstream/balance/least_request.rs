//! Least request: the endpoint with the fewest requests in flight per unit of weight.

use super::load;
use super::round_robin::RoundRobin;
use crate::upstream::Endpoint;

/// Ties go to whoever comes first from a turning start, so that idle endpoints share.
pub fn pick(
    turn: &RoundRobin,
    endpoints: &[Endpoint],
    eligible: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let len = endpoints.len();
    let start = turn.turn();
    (0..len)
        .map(|step| start.wrapping_add(step) % len)
        .filter(|index| eligible(*index))
        .min_by_key(|index| endpoints.get(*index).map_or(u64::MAX, load))
}
