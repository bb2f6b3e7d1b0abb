//! Behaviour that every balancer must show, and what each promises on its own.

use super::Balancer;
use crate::config::service::{Balance, Endpoint as Config};
use crate::upstream::Endpoint;
use proptest::prelude::*;

const KINDS: [Balance; 4] = [
    Balance::RoundRobin,
    Balance::Weighted,
    Balance::P2c,
    Balance::LeastRequest,
];

fn endpoints(weights: &[u16]) -> Vec<Endpoint> {
    let config = |(index, weight): (usize, &u16)| Config {
        address: format!("127.0.0.1:{}", 1000 + index).into(),
        weight: *weight,
    };
    weights
        .iter()
        .enumerate()
        .map(config)
        .map(|c| Endpoint::build(&c, None))
        .collect()
}

fn turns(kind: Balance, weights: &[u16], picks: usize) -> Vec<usize> {
    let endpoints = endpoints(weights);
    let balancer = Balancer::build(kind, &endpoints);
    let mut counts = vec![0; weights.len()];
    for _ in 0..picks {
        counts[balancer.pick(&endpoints, &|_| true).unwrap()] += 1;
    }
    counts
}

#[test]
fn round_robin_gives_equal_turns() {
    assert_eq!(turns(Balance::RoundRobin, &[1, 5, 9], 300), [100, 100, 100]);
}

#[test]
fn weighted_gives_turns_by_weight() {
    assert_eq!(turns(Balance::Weighted, &[1, 2, 3], 600), [100, 200, 300]);
}

#[test]
fn least_request_prefers_the_idle_endpoint() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = Balancer::build(Balance::LeastRequest, &endpoints);
    let _busy = endpoints[0].state.enter();
    for _ in 0..10 {
        assert_eq!(balancer.pick(&endpoints, &|_| true), Some(1));
    }
}

#[test]
fn p2c_with_two_endpoints_prefers_the_idle_one() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = Balancer::build(Balance::P2c, &endpoints);
    let _busy = endpoints[1].state.enter();
    for _ in 0..50 {
        assert_eq!(balancer.pick(&endpoints, &|_| true), Some(0));
    }
}

proptest! {
    #[test]
    fn a_pick_is_eligible_and_found_whenever_there_is_one(
        weights in prop::collection::vec(1_u16..20, 1..12),
        out in prop::collection::vec(any::<bool>(), 12),
    ) {
        let endpoints = endpoints(&weights);
        let eligible = |index: usize| !out[index];
        let any = (0..weights.len()).any(eligible);
        for kind in KINDS {
            let balancer = Balancer::build(kind, &endpoints);
            for _ in 0..weights.len() * 2 {
                let picked = balancer.pick(&endpoints, &eligible);
                prop_assert_eq!(picked.is_some(), any);
                prop_assert!(picked.is_none_or(eligible));
            }
        }
    }
}
