//! Shares of requests by weight, while endpoints are idle and while they are busy.

use super::{Balancer, endpoints, turns, without_the_first};
use crate::config::service::Balance;

/// Those that share by weight.
const BY_WEIGHT: [Balance; 6] = [
    Balance::Weighted,
    Balance::P2c,
    Balance::LeastRequest,
    Balance::Ewma,
    Balance::Maglev,
    Balance::RingHash,
];

/// Asserts that picks are in proportion to the weights, within some percent of all picks.
fn assert_shares(counts: &[usize], weights: &[u16], percent: f64, what: &str) {
    let picks: usize = counts.iter().sum();
    let whole: u32 = weights.iter().copied().map(u32::from).sum();
    for (count, weight) in counts.iter().zip(weights) {
        let has = 100.0 * *count as f64 / picks as f64;
        let share = 100.0 * f64::from(*weight) / f64::from(whole);
        let fits = (has - share).abs() <= percent && (*weight > 0 || *count == 0);
        assert!(fits, "{what}: {counts:?} for {weights:?}");
    }
}

#[test]
fn idle_endpoints_share_by_weight() {
    for kind in BY_WEIGHT {
        // The ring has few points per endpoint, so its shares are rough.
        let percent = if kind == Balance::RingHash { 10.0 } else { 2.0 };
        for weights in [&[2, 1][..], &[10, 9], &[1, 1, 8], &[8, 1, 1], &[0, 1]] {
            let counts = turns(kind, weights, 20_000);
            assert_shares(&counts, weights, percent, &format!("{kind:?}"));
        }
    }
}

#[test]
fn endpoints_that_are_left_share_by_weight() {
    for kind in [
        Balance::Weighted,
        Balance::P2c,
        Balance::LeastRequest,
        Balance::Ewma,
    ] {
        let counts = without_the_first(kind, &[1000, 2, 1, 0], 20_000);
        assert_shares(&counts, &[0, 2, 1, 0], 2.0, &format!("{kind:?}"));
    }
}

#[test]
fn endpoints_with_so_many_in_flight_share_by_weight() {
    let weights = [10, 1];
    for kind in [Balance::P2c, Balance::LeastRequest, Balance::Ewma] {
        // The oldest request ends as soon as there are this many in flight.
        for (most, percent) in [(1, 2.0), (2, 5.0), (20, 5.0), (200, 5.0)] {
            let endpoints = endpoints(&weights);
            let balancer = Balancer::build(kind, &endpoints);
            let mut in_flight = std::collections::VecDeque::new();
            let mut counts = [0; 2];
            for _ in 0..20_000 {
                let picked = balancer.pick(&endpoints, 0, &|_| true).unwrap();
                counts[picked] += 1;
                in_flight.push_back(endpoints[picked].state.enter());
                if in_flight.len() > most {
                    in_flight.pop_front();
                }
            }
            assert_shares(&counts, &weights, percent, &format!("{kind:?}, {most}"));
        }
    }
}

#[test]
fn a_busy_endpoint_gives_way_whatever_its_weight() {
    for kind in [Balance::P2c, Balance::LeastRequest, Balance::Ewma] {
        for (weights, busy) in [([2, 1], 3), ([10, 9], 2), ([1, 1000], 1), ([1000, 1], 1000)] {
            let endpoints = endpoints(&weights);
            let balancer = Balancer::build(kind, &endpoints);
            let _busy: Vec<_> = (0..busy).map(|_| endpoints[0].state.enter()).collect();
            for _ in 0..50 {
                let picked = balancer.pick(&endpoints, 0, &|_| true);
                assert_eq!(picked, Some(1), "{kind:?} {weights:?} {busy}");
            }
        }
    }
}

#[test]
fn latencies_that_are_alike_leave_the_weights_alone() {
    let endpoints = endpoints(&[2, 1]);
    let balancer = Balancer::build(Balance::Ewma, &endpoints);
    let took = std::time::Duration::from_micros;
    endpoints[0].state.latency.observe(took(5200));
    endpoints[1].state.latency.observe(took(5000));
    let mut counts = vec![0; 2];
    for _ in 0..20_000 {
        counts[balancer.pick(&endpoints, 0, &|_| true).unwrap()] += 1;
    }
    assert_shares(&counts, &[2, 1], 2.0, "ewma");
}
