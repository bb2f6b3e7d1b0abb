//! Consistent hashing over a ring, passing overloaded endpoints by (bounded loads).

use super::{bounded, stable_hash};
use crate::upstream::Endpoint;

/// Points of an endpoint of weight 1 among equals.
const POINTS: u64 = 160;
/// Most points of the whole ring.
const POINTS_MAX: u64 = 65_536;

#[derive(Debug)]
pub struct Ring {
    /// By hash.
    points: Box<[(u64, u16)]>,
}

impl Ring {
    pub fn build(endpoints: &[Endpoint]) -> Self {
        let weight: u64 = endpoints
            .iter()
            .map(|endpoint| u64::from(endpoint.weight))
            .sum();
        let wanted = (endpoints.len() as u64 * POINTS).clamp(1, POINTS_MAX);
        let mut points: Vec<(u64, u16)> = endpoints
            .iter()
            .enumerate()
            .flat_map(|(index, endpoint)| {
                let own = wanted * u64::from(endpoint.weight) / weight.max(1);
                // However light, it has a point; without any weight, it has none.
                let own = own.max(u64::from(endpoint.is_wanted()));
                let address = endpoint.address.as_bytes();
                (0..own).map(move |n| {
                    let point = stable_hash(&[address, &n.to_le_bytes()]);
                    (point, index as u16)
                })
            })
            .collect();
        points.sort_unstable();
        Self {
            points: points.into(),
        }
    }

    pub fn pick(
        &self,
        endpoints: &[Endpoint],
        hash: u64,
        eligible: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let (before, from) = self.points.split_at_checked(start)?;
        let around = from
            .iter()
            .chain(before)
            .map(|(_, index)| usize::from(*index));
        bounded(endpoints, around, eligible)
    }
}
