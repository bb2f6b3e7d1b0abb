//! The state machine of a breaker, by example and by property.

use super::{Breaker, Outcome, Permit, Phase};
use crate::config::breaker::{Breaker as Config, Failures, Trip, Window};
use crate::config::policy::Mode;
use crate::config::units::Percent;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn config(window: Window) -> Config {
    Config {
        window,
        trip: Trip {
            error_rate: Some(Percent(5000)),
            slow: Some((SECOND, Percent(8000))),
            min_requests: 10,
        },
        failures: Failures::default(),
        open_for: 15 * SECOND,
        open_max: 60 * SECOND,
        probes: 3,
        fallback: None,
        mode: Mode::Enforce,
        at: crate::config::Place::default(),
    }
}

fn made(config: &Config, now: Instant) -> Arc<Breaker> {
    Arc::new(Breaker::new(&"shop".into(), &"v1".into(), config, now))
}

fn good() -> Outcome {
    Outcome {
        failed: false,
        took: Duration::from_millis(10),
    }
}

fn bad() -> Outcome {
    Outcome {
        failed: true,
        ..good()
    }
}

fn slow() -> Outcome {
    Outcome {
        failed: false,
        took: 2 * SECOND,
    }
}

/// So many requests, one after the other, at one moment.
fn serve(breaker: &Arc<Breaker>, count: usize, outcome: Outcome, now: Instant) {
    for _ in 0..count {
        breaker.admit(now).unwrap().record(outcome, now);
    }
}

fn opened(now: Instant) -> Arc<Breaker> {
    let breaker = made(&config(Window::Time(10 * SECOND)), now);
    serve(&breaker, 10, bad(), now);
    assert_eq!(breaker.phase(), Phase::Open);
    breaker
}

#[test]
fn failures_open_it_from_the_minimum_on() {
    for window in [Window::Time(10 * SECOND), Window::Requests(20)] {
        let now = Instant::now();
        let breaker = made(&config(window), now);
        serve(&breaker, 9, bad(), now);
        assert_eq!(breaker.phase(), Phase::Closed);
        serve(&breaker, 1, bad(), now);
        assert_eq!(breaker.phase(), Phase::Open);
        assert_eq!(breaker.admit(now).unwrap_err(), 15 * SECOND);
    }
}

#[test]
fn slowness_opens_it_too() {
    let now = Instant::now();
    let breaker = made(&config(Window::Time(10 * SECOND)), now);
    serve(&breaker, 3, good(), now);
    serve(&breaker, 11, slow(), now);
    assert_eq!(breaker.phase(), Phase::Closed);
    serve(&breaker, 1, slow(), now);
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn old_failures_are_forgotten() {
    let now = Instant::now();
    let breaker = made(&config(Window::Time(10 * SECOND)), now);
    serve(&breaker, 9, bad(), now);
    let later = now + 11 * SECOND;
    serve(&breaker, 9, bad(), later);
    assert_eq!(breaker.phase(), Phase::Closed);
    let ring = made(&config(Window::Requests(10)), now);
    serve(&ring, 4, bad(), now);
    serve(&ring, 10, good(), now);
    serve(&ring, 4, bad(), now);
    assert_eq!(ring.phase(), Phase::Closed);
}

#[test]
fn good_probes_close_it() {
    let now = Instant::now();
    let breaker = opened(now);
    let later = now + 15 * SECOND;
    let probes: Vec<Permit> = (0..3).map(|_| breaker.admit(later).unwrap()).collect();
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    assert!(breaker.admit(later).is_err(), "only so many probes");
    for probe in probes {
        probe.record(good(), later);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn bad_probes_open_it_for_longer_each_time() {
    let mut now = Instant::now();
    let breaker = opened(now);
    for expected in [30, 60, 60] {
        now += breaker.remaining(now).unwrap();
        let probes: Vec<Permit> = (0..3).map(|_| breaker.admit(now).unwrap()).collect();
        for probe in probes {
            probe.record(bad(), now);
        }
        assert_eq!(breaker.phase(), Phase::Open);
        assert_eq!(breaker.remaining(now), Some(expected * SECOND));
    }
}

#[test]
fn a_probe_without_a_verdict_gives_its_place_back() {
    let now = Instant::now();
    let breaker = opened(now);
    let later = now + 15 * SECOND;
    for _ in 0..10 {
        drop(breaker.admit(later).unwrap());
    }
    let probes: Vec<Permit> = (0..3).map(|_| breaker.admit(later).unwrap()).collect();
    assert!(breaker.admit(later).is_err());
    drop(probes);
    assert!(breaker.admit(later).is_ok());
}

#[test]
fn what_began_before_a_transition_says_nothing_after_it() {
    let now = Instant::now();
    let breaker = made(&config(Window::Time(10 * SECOND)), now);
    let early: Vec<Permit> = (0..20).map(|_| breaker.admit(now).unwrap()).collect();
    serve(&breaker, 10, bad(), now);
    let later = now + 15 * SECOND;
    let probes: Vec<Permit> = (0..3).map(|_| breaker.admit(later).unwrap()).collect();
    for stale in early {
        stale.record(bad(), later);
    }
    for probe in probes {
        probe.record(good(), later);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn reporting_lets_everything_pass() {
    let now = Instant::now();
    let config = Config {
        mode: Mode::Report,
        ..config(Window::Time(10 * SECOND))
    };
    let breaker = made(&config, now);
    serve(&breaker, 10, bad(), now);
    assert_eq!(breaker.phase(), Phase::Open);
    serve(&breaker, 5, good(), now);
    assert_eq!(
        breaker.refused.load(std::sync::atomic::Ordering::Relaxed),
        5
    );
}

#[test]
fn a_hand_holds_it_open_and_lets_go() {
    let now = Instant::now();
    let breaker = made(&config(Window::Time(10 * SECOND)), now);
    breaker.hold(Phase::Open, now);
    assert!(breaker.admit(now + 3600 * SECOND).is_err());
    breaker.hold(Phase::HalfOpen, now);
    assert!(breaker.admit(now).is_ok());
    breaker.hold(Phase::Closed, now);
    serve(&breaker, 5, good(), now);
}

#[test]
fn a_state_that_it_has_already_is_no_change() {
    let now = Instant::now();
    let breaker = made(&config(Window::Time(10 * SECOND)), now);
    let counts = |breaker: &Breaker| (breaker.transitions(), breaker.last_change());
    breaker.hold(Phase::Closed, now);
    assert_eq!(counts(&breaker), ([0, 0, 0], None));
    for (phase, at) in [(Phase::Open, 1), (Phase::HalfOpen, 3), (Phase::Closed, 5)] {
        breaker.hold(phase, now + at * SECOND);
        let before = counts(&breaker);
        breaker.hold(phase, now + (at + 1) * SECOND);
        assert_eq!(counts(&breaker), before, "{phase:?}");
    }
    assert_eq!(breaker.transitions(), [1, 1, 1]);
    // Open by its numbers, it would try again; held open, it does not.
    let opened = opened(now);
    opened.hold(Phase::Open, now);
    assert!(opened.held() && opened.admit(now + 3600 * SECOND).is_err());
}

/// What may happen to a breaker.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    /// Ends the oldest request: well, badly, slowly, or without a verdict.
    End(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Begin),
        4 => (0_u8..4).prop_map(Step::End),
        1 => (1_u64..40_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #[test]
    fn the_invariants_hold_whatever_happens(
        steps in steps(),
        by_requests in any::<bool>(),
        probes in 1_u32..5,
        min_requests in 1_u32..15,
    ) {
        let window = if by_requests { Window::Requests(20) } else { Window::Time(10 * SECOND) };
        let mut config = config(window);
        (config.probes, config.trip.min_requests) = (probes, min_requests);
        let mut now = Instant::now();
        let breaker = made(&config, now);
        let mut begun: VecDeque<Permit> = VecDeque::new();
        let mut ended = 0;
        for step in steps {
            match step {
                Step::Begin => begun.extend(breaker.admit(now)),
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::End(how) => if let Some(permit) = begun.pop_front() {
                    let was = breaker.phase();
                    ended += u32::from(how < 3);
                    match how {
                        0 => permit.record(good(), now),
                        1 => permit.record(bad(), now),
                        2 => permit.record(slow(), now),
                        _ => drop(permit),
                    }
                    if was == Phase::Closed && breaker.phase() == Phase::Open {
                        prop_assert!(ended >= min_requests, "opened after {ended}");
                        ended = 0;
                    }
                    if breaker.phase() != Phase::Closed { ended = 0; }
                }
            }
            let probing = begun.iter().filter(|p| p.probe && p.era == breaker.machine.lock().era);
            prop_assert!(probing.count() as u32 <= probes);
        }
        // A way back: whatever happened, patience and good answers close it.
        begun.clear();
        for _ in 0..2 * probes {
            now += 61 * SECOND;
            if let Ok(permit) = breaker.admit(now) { permit.record(good(), now); }
        }
        prop_assert_eq!(breaker.phase(), Phase::Closed);
    }
}
