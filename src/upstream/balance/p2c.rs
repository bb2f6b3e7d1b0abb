//! Power of two choices: two endpoints are drawn by weight, the less loaded one gets the request.

use super::shares::{Load, Shares};
use crate::upstream::Endpoint;

/// The first one that is drawn gives way only if its load per weight is at least what that of the
/// other one would be with the request. Otherwise the draw decides, so that the weights hold while
/// little is in flight. Of equal weights, the one with fewer requests in flight is chosen.
pub fn pick(
    shares: &Shares,
    endpoints: &[Endpoint],
    eligible: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let (first, second) = shares.two(endpoints, eligible)?;
    let load = |index: usize| endpoints.get(index).map(Load::before);
    let gives_way = second.and_then(load).zip(load(first));
    let gives_way = gives_way.is_some_and(|(second, first)| {
        let after = second.with_one_more();
        !first.is_less_than(after)
    });
    second.filter(|_| gives_way).or(Some(first))
}
