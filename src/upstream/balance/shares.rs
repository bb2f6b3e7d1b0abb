//! Choices by weight, and when load outweighs them.

use crate::upstream::Endpoint;

/// Random draws before all endpoints are looked at (many of them are out).
const DRAWS: usize = 4;

/// The weights of a version's endpoints as prefix sums, made when the snapshot is built.
#[derive(Debug)]
pub struct Shares {
    /// Where the share of each endpoint ends.
    ends: Vec<u64>,
}

impl Shares {
    pub fn build(endpoints: &[Endpoint]) -> Self {
        let ends = endpoints.iter().scan(0, |end, endpoint| {
            *end += u64::from(endpoint.weight);
            Some(*end)
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// Draws two different eligible endpoints, each with a chance in proportion to its weight. The
    /// second one is `None` where only one is eligible.
    pub fn two(
        &self,
        endpoints: &[Endpoint],
        eligible: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Option<usize>)> {
        let first = self.draw(endpoints, eligible, None)?;
        Some((first, self.draw(endpoints, eligible, Some(first))))
    }

    /// An eligible endpoint other than `not`.
    fn draw(
        &self,
        endpoints: &[Endpoint],
        eligible: &dyn Fn(usize) -> bool,
        not: Option<usize>,
    ) -> Option<usize> {
        let (start, end) = not.map_or((0, 0), |index| self.share(index));
        let whole = self.ends.last().copied().unwrap_or(0) - (end - start);
        if whole == 0 {
            return None;
        }
        for _ in 0..DRAWS {
            let place = fastrand::u64(..whole);
            // The share of the one that is out of the question is left out.
            let skipped = if place < start { 0 } else { end - start };
            let index = self.ends.partition_point(|end| *end <= place + skipped);
            if eligible(index) {
                return Some(index);
            }
        }
        let others = |index: usize| Some(index) != not && eligible(index);
        by_weight(endpoints, &others, |whole| fastrand::u64(..whole.max(1)))
    }

    /// Where the share of an endpoint starts and ends.
    fn share(&self, index: usize) -> (u64, u64) {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or(0);
        (index.checked_sub(1).map_or(0, end), end(index))
    }
}

/// Returns the eligible endpoint that has the place which `place` chooses below the sum of their
/// weights.
pub fn by_weight(
    endpoints: &[Endpoint],
    eligible: &dyn Fn(usize) -> bool,
    place: impl FnOnce(u64) -> u64,
) -> Option<usize> {
    let left = || {
        let known = endpoints.iter().enumerate();
        known.filter(|(index, _)| eligible(*index))
    };
    let whole: u64 = left().map(|(_, endpoint)| u64::from(endpoint.weight)).sum();
    let mut place = place(whole);
    let mut first = None;
    for (index, endpoint) in left() {
        let weight = u64::from(endpoint.weight);
        if place < weight {
            return Some(index);
        }
        place -= weight;
        first.get_or_insert(index);
    }
    // One of them has become ineligible meanwhile.
    first
}

/// Spreads turns over `0..whole` so that those next to each other are far apart (Fibonacci hashing).
pub const fn spread(turn: u64, whole: u64) -> u64 {
    /// 2^64 divided by the golden ratio.
    const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
    ((turn.wrapping_mul(STRIDE) as u128 * whole as u128) >> 64) as u64
}

/// Requests per unit of weight, as a fraction that compares exactly.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    requests: u64,
    weight: u64,
}

impl Load {
    /// What an endpoint has in flight.
    pub fn before(endpoint: &Endpoint) -> Self {
        Self {
            requests: u64::from(endpoint.state.in_flight()),
            weight: u64::from(endpoint.weight.max(1)),
        }
    }

    /// What it has with one more request.
    pub const fn with_one_more(self) -> Self {
        Self {
            requests: self.requests + 1,
            weight: self.weight,
        }
    }

    pub const fn is_less_than(self, other: Self) -> bool {
        self.requests * other.weight < other.requests * self.weight
    }
}
