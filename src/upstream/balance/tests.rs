//! Behaviour that every balancer must show, and what each promises on its own.

mod shares;

use super::Balancer;
use crate::config::service::Balance;
use crate::upstream::Endpoint;
use crate::upstream::endpoint_set::{Member, Rules};
use proptest::prelude::*;

const KINDS: [Balance; 7] = [
    Balance::RoundRobin,
    Balance::Weighted,
    Balance::P2c,
    Balance::LeastRequest,
    Balance::Ewma,
    Balance::Maglev,
    Balance::RingHash,
];

fn endpoints(weights: &[u16]) -> Vec<Endpoint> {
    let rules = Rules::plain();
    let member =
        |(index, weight): (usize, &u16)| Member::at(format!("127.0.0.1:{}", 1000 + index), *weight);
    weights
        .iter()
        .enumerate()
        .map(member)
        .map(|member| Endpoint::build(&rules, &member, None))
        .collect()
}

fn turns(kind: Balance, weights: &[u16], picks: usize) -> Vec<usize> {
    let endpoints = endpoints(weights);
    let balancer = Balancer::build(kind, &endpoints);
    let mut counts = vec![0; weights.len()];
    for _ in 0..picks {
        counts[balancer
            .pick(&endpoints, fastrand::u64(..), &|_| true)
            .unwrap()] += 1;
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

/// Picks while the first endpoint is out.
fn without_the_first(kind: Balance, weights: &[u16], picks: usize) -> Vec<usize> {
    let endpoints = endpoints(weights);
    let balancer = Balancer::build(kind, &endpoints);
    let mut counts = vec![0; weights.len()];
    for _ in 0..picks {
        let picked = balancer.pick(&endpoints, 0, &|index| index != 0);
        counts[picked.unwrap()] += 1;
    }
    counts
}

#[test]
fn those_that_are_left_share_the_turns_of_one_that_is_out() {
    for (kind, off) in [(Balance::RoundRobin, 0), (Balance::LeastRequest, 3)] {
        let counts = without_the_first(kind, &[1, 1, 1], 12);
        assert_eq!(counts, [0, 6, 6], "{kind:?}");
        let counts = without_the_first(kind, &[1; 5], 100);
        let even = |count: &usize| count.abs_diff(25) <= off;
        assert_eq!(counts[0], 0, "{kind:?}: {counts:?}");
        assert!(counts[1..].iter().all(even), "{kind:?}: {counts:?}");
    }
    let counts = without_the_first(Balance::Weighted, &[2, 1, 3], 600);
    assert!((148..=152).contains(&counts[1]), "{counts:?}");
    assert_eq!(counts[1] + counts[2], 600);
}

#[test]
fn a_retry_that_passes_one_by_leaves_the_others_even() {
    let endpoints = endpoints(&[1, 1, 1]);
    let balancer = Balancer::build(Balance::RoundRobin, &endpoints);
    let mut counts = [0_u32; 3];
    for _ in 0..300 {
        // The first one fails each request that it gets, which another one then takes.
        let first = balancer.pick(&endpoints, 0, &|_| true).unwrap();
        let served = match first {
            0 => balancer.pick(&endpoints, 0, &|index| index != 0).unwrap(),
            other => other,
        };
        counts[served] += 1;
    }
    assert_eq!(counts[0], 0);
    assert!(counts[1].abs_diff(counts[2]) <= 2, "{counts:?}");
}

#[test]
fn an_endpoint_without_weight_gets_nothing() {
    for kind in KINDS {
        let counts = turns(kind, &[3, 0, 1, 0], 2000);
        assert_eq!((counts[1], counts[3]), (0, 0), "{kind:?}: {counts:?}");
        assert_eq!(counts[0] + counts[2], 2000, "{kind:?}: {counts:?}");
        for weights in [vec![0], vec![0, 0, 0]] {
            let endpoints = endpoints(&weights);
            let balancer = Balancer::build(kind, &endpoints);
            assert_eq!(balancer.pick(&endpoints, 7, &|_| true), None, "{kind:?}");
        }
    }
}

#[test]
fn least_request_prefers_the_idle_endpoint() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = Balancer::build(Balance::LeastRequest, &endpoints);
    let _busy = endpoints[0].state.enter();
    for _ in 0..10 {
        assert_eq!(
            balancer.pick(&endpoints, fastrand::u64(..), &|_| true),
            Some(1)
        );
    }
}

#[test]
fn p2c_with_two_endpoints_prefers_the_idle_one() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = Balancer::build(Balance::P2c, &endpoints);
    let _busy = endpoints[1].state.enter();
    for _ in 0..50 {
        assert_eq!(
            balancer.pick(&endpoints, fastrand::u64(..), &|_| true),
            Some(0)
        );
    }
}

#[test]
fn a_hash_meets_the_same_endpoint_until_it_leaves() {
    let endpoints = endpoints(&[1; 10]);
    for kind in [Balance::Maglev, Balance::RingHash] {
        let balancer = Balancer::build(kind, &endpoints);
        let pick = |hash: u64, eligible: &dyn Fn(usize) -> bool| {
            balancer.pick(&endpoints, hash, eligible).unwrap()
        };
        let mut moved = 0;
        let mut counts = [0; 10];
        for n in 0..10_000_u64 {
            let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let home = pick(hash, &|_| true);
            counts[home] += 1;
            assert_eq!(pick(hash, &|_| true), home);
            let without = pick(hash, &|index| index != 3);
            assert_ne!(without, 3);
            moved += usize::from(home != 3 && home != without);
        }
        assert!(
            moved < 200,
            "{kind:?} moved {moved} of those that had no reason to move"
        );
        assert!(
            counts.iter().all(|count| (700..1300).contains(count)),
            "{kind:?} {counts:?}"
        );
    }
}

#[test]
fn a_hash_passes_an_overloaded_endpoint_by() {
    let endpoints = endpoints(&[1; 4]);
    for kind in [Balance::Maglev, Balance::RingHash] {
        let balancer = Balancer::build(kind, &endpoints);
        let home = balancer.pick(&endpoints, 7, &|_| true).unwrap();
        let busy: Vec<_> = (0..20).map(|_| endpoints[home].state.enter()).collect();
        assert_ne!(
            balancer.pick(&endpoints, 7, &|_| true),
            Some(home),
            "{kind:?}"
        );
        drop(busy);
        assert_eq!(
            balancer.pick(&endpoints, 7, &|_| true),
            Some(home),
            "{kind:?}"
        );
    }
}

#[test]
fn ewma_prefers_the_fast_endpoint() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = Balancer::build(Balance::Ewma, &endpoints);
    let took = std::time::Duration::from_millis;
    endpoints[0].state.latency.observe(took(500));
    endpoints[1].state.latency.observe(took(5));
    for _ in 0..50 {
        assert_eq!(balancer.pick(&endpoints, 0, &|_| true), Some(1));
    }
}

proptest! {
    #[test]
    fn a_pick_is_eligible_and_found_whenever_there_is_one(
        weights in prop::collection::vec(prop_oneof![Just(0_u16), 1_u16..20], 1..12),
        out in prop::collection::vec(any::<bool>(), 12),
    ) {
        let endpoints = endpoints(&weights);
        let eligible = |index: usize| !out[index];
        let may = |index: usize| eligible(index) && weights[index] > 0;
        let any = (0..weights.len()).any(may);
        for kind in KINDS {
            let balancer = Balancer::build(kind, &endpoints);
            for _ in 0..weights.len() * 2 {
                let picked = balancer.pick(&endpoints, fastrand::u64(..), &eligible);
                prop_assert_eq!(picked.is_some(), any);
                prop_assert!(picked.is_none_or(may));
            }
        }
    }
}
