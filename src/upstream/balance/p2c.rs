//! Power of two choices: two endpoints at random, the less loaded one gets the request.

use super::load;
use crate::upstream::Endpoint;

/// Random draws before falling back to looking at everybody (many endpoints are out).
const DRAWS: usize = 4;

pub fn pick(endpoints: &[Endpoint], eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
    let first = draw(endpoints.len(), eligible, None)?;
    let Some(second) = draw(endpoints.len(), eligible, Some(first)) else {
        return Some(first);
    };
    let load_of = |index: usize| endpoints.get(index).map_or(u64::MAX, load);
    Some(if load_of(second) < load_of(first) {
        second
    } else {
        first
    })
}

/// An eligible index other than `not`.
fn draw(len: usize, eligible: &dyn Fn(usize) -> bool, not: Option<usize>) -> Option<usize> {
    let fits = |index: usize| Some(index) != not && eligible(index);
    for _ in 0..DRAWS {
        let index = fastrand::usize(..len.max(1));
        if index < len && fits(index) {
            return Some(index);
        }
    }
    let start = fastrand::usize(..len.max(1));
    (0..len)
        .map(|step| (start + step) % len)
        .find(|index| fits(*index))
}
