//! Smooth weighted round-robin: heavy endpoints get more turns, spread evenly (`abacaba`, never
//! `aaaabbc`). The sequence is worked out when the snapshot is built; a pick is one addition.

use super::round_robin::RoundRobin;
use super::shares::{by_weight, spread};
use crate::upstream::Endpoint;

/// Longest sequence; weights that would need more are scaled down.
const SEQUENCE_MAX: u64 = 4096;

#[derive(Debug)]
pub struct Weighted {
    sequence: Vec<u16>,
    turn: RoundRobin,
}

impl Weighted {
    pub fn build(endpoints: &[Endpoint]) -> Self {
        let weights: Vec<u64> = endpoints.iter().map(|e| u64::from(e.weight)).collect();
        Self {
            sequence: smooth_sequence(&reduce(&weights)),
            turn: RoundRobin::default(),
        }
    }

    /// The endpoint whose turn it is, if it is eligible, else one that is: turns of those that are
    /// out are dealt by weight.
    pub fn pick(&self, endpoints: &[Endpoint], eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
        let turn = self.turn.turn().checked_rem(self.sequence.len())?;
        let index = self.sequence.get(turn).map(|index| usize::from(*index))?;
        if index < endpoints.len() && eligible(index) {
            return Some(index);
        }
        let place = |whole| spread(self.turn.deal() as u64, whole);
        by_weight(endpoints, eligible, place)
    }
}

/// Weights in lowest terms, scaled so that their sum stays within the longest sequence.
fn reduce(weights: &[u64]) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let sum: u64 = weights.iter().map(|weight| weight / divisor).sum();
    let scale = |weight: u64| {
        let weight = weight / divisor;
        if sum <= SEQUENCE_MAX {
            weight
        } else {
            (weight * SEQUENCE_MAX / sum).max(weight.min(1))
        }
    };
    weights.iter().map(|weight| scale(*weight)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Each step, everyone gains its weight; the richest takes the turn and pays the total.
fn smooth_sequence(weights: &[u64]) -> Vec<u16> {
    let total: i64 = weights.iter().map(|weight| *weight as i64).sum();
    let mut credit = vec![0_i64; weights.len()];
    let mut sequence = Vec::with_capacity(total as usize);
    for _ in 0..total {
        credit
            .iter_mut()
            .zip(weights)
            .for_each(|(credit, weight)| *credit += *weight as i64);
        let richest = credit
            .iter()
            .enumerate()
            .rev()
            .max_by_key(|(_, credit)| **credit);
        let Some(index) = richest.map(|(index, _)| index) else {
            break;
        };
        if let Some(credit) = credit.get_mut(index) {
            *credit -= total;
        }
        sequence.push(index as u16);
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::{reduce, smooth_sequence};

    #[test]
    fn turns_are_spread_and_proportional() {
        let sequence = smooth_sequence(&[5, 1, 1]);
        assert_eq!(sequence, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn an_endpoint_without_weight_has_no_turn() {
        assert_eq!(smooth_sequence(&reduce(&[2, 0, 4])), [2, 0, 2]);
        let large = smooth_sequence(&reduce(&[1000, 999, 998, 997, 996, 0]));
        assert!(!large.contains(&5));
        assert!(smooth_sequence(&reduce(&[0, 0])).is_empty());
    }

    #[test]
    fn large_weights_stay_bounded_and_nobody_starves() {
        let sequence = smooth_sequence(&reduce(&[1000, 999, 998, 997, 996, 1]));
        assert!(sequence.len() <= 4096 + 6);
        assert!(sequence.contains(&5));
    }
}
