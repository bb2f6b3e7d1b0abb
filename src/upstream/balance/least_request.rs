//! Least request: the endpoint with the fewest requests in flight per unit of weight.

use super::load;
use super::round_robin::RoundRobin;
use crate::upstream::Endpoint;
use std::cmp::Ordering::{Equal, Greater, Less};

/// Those who tie take turns, so that idle endpoints share.
pub fn pick(
    turn: &RoundRobin,
    endpoints: &[Endpoint],
    eligible: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let (mut least, mut first, mut ties) = (u64::MAX, None, 0);
    for (index, endpoint) in endpoints.iter().enumerate() {
        if !eligible(index) {
            continue;
        }
        let load = load(endpoint);
        match load.cmp(&least) {
            Less => (least, first, ties) = (load, Some(index), 1),
            Equal => ties += 1,
            Greater => {}
        }
    }
    if ties < 2 {
        return first;
    }
    // Loads move meanwhile: whoever is still among the least will do, and the first of them else.
    let place = turn.turn() % ties;
    let tied = endpoints.iter().enumerate();
    let mut tied = tied.filter(|(index, endpoint)| load(endpoint) <= least && eligible(*index));
    tied.nth(place).map(|(index, _)| index).or(first)
}
