//! Least request: the endpoint with the fewest requests in flight per unit of weight.

use super::round_robin::RoundRobin;
use super::shares::{Load, by_weight, spread};
use crate::upstream::Endpoint;

/// The candidates are those whose load is less than any endpoint would have with the request: of
/// equal weights, those with the fewest requests in flight. They share turns by weight, so that
/// the weights hold while little is in flight.
pub fn pick(
    turn: &RoundRobin,
    endpoints: &[Endpoint],
    eligible: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let (mut least, mut first) = (None::<Load>, None);
    for (index, endpoint) in endpoints.iter().enumerate() {
        if !eligible(index) {
            continue;
        }
        let after = Load::before(endpoint).with_one_more();
        if least.is_none_or(|least| after.is_less_than(least)) {
            (least, first) = (Some(after), Some(index));
        }
    }
    let least = least?;
    let candidate = |index: usize| {
        let load = endpoints.get(index).map(Load::before);
        load.is_some_and(|load| load.is_less_than(least)) && eligible(index)
    };
    let place = |whole| spread(turn.turn() as u64, whole);
    // Loads move meanwhile: where no candidate is left, the least loaded one of before is taken.
    by_weight(endpoints, &candidate, place).or(first)
}
