//! Rollouts of versions that are equal, and of versions that are not, by the thousand.

use super::{Command, Moment, Phase, Sides, State, judge};
use crate::config::rollout::Rollout;
use crate::config::units::Percent;
use crate::routing::testing::config;
use crate::telemetry::watch::{Reading, bucket_of};
use std::time::Duration;

/// Requests of the default version in a quarter of a window, on each of two routes.
const DEFAULT: u32 = 400;
/// Of the color.
const COLOR: u32 = 100;
/// How often a window is looked at.
const LOOKS: u64 = 4;

/// A version: failures, and latency beside the other's.
#[derive(Clone, Copy)]
struct Behavior {
    error_rate: f64,
    slowness: f64,
}

const GOOD: Behavior = Behavior {
    error_rate: 0.01,
    slowness: 1.0,
};

fn plan() -> Rollout {
    let text = "[colors.next]\nversions = { shop = \"v2\" }\nshare = { percent = \"0%\" }\n\
         [rollouts.next]\nsteps = [\"1%\", \"5%\", \"25%\", \"50%\", \"100%\"]\nevery = \"60s\"\n\
         guard = { max_error_rate = \"5%\", max_p99 = \"2s\", worse_than_default = \"20%\", min_requests = 200 }\n";
    config(text).rollouts["next"].clone()
}

/// Adds requests with a long tail of latencies: 5 ms at the median, times a log-normal factor.
fn serve(
    to: &mut Reading,
    requests: u32,
    route: usize,
    behavior: Behavior,
    dice: &mut fastrand::Rng,
) {
    for _ in 0..requests {
        to.requests += 1;
        to.failures += u32::from(dice.f64() < behavior.error_rate);
        // The sum of four dice is near enough to normal.
        let normal: f64 = (0..4).map(|_| dice.f64() - 0.5).sum::<f64>() * 1.73;
        let median = [5e-3, 40e-3][route % 2] * behavior.slowness;
        let took = Duration::from_secs_f64(median * (0.6 * normal).exp());
        to.latency[bucket_of(took)] += 1;
    }
}

/// The phase after at most `windows` windows, and how many it took.
fn run(color: Behavior, windows: u64, seed: u64) -> (Phase, u64) {
    let (plan, mut dice) = (plan(), fastrand::Rng::with_seed(seed));
    let mut state = State::default();
    state
        .command(&plan, Command::Start, Percent(0), Moment(0))
        .unwrap();
    let mut window = vec![Sides::default(), Sides::default()];
    for look in 1..=windows * LOOKS {
        for (route, sides) in window.iter_mut().enumerate() {
            serve(&mut sides.color, COLOR, route, color, &mut dice);
            serve(&mut sides.default, DEFAULT, route, GOOD, &mut dice);
        }
        state.looks += 1;
        let verdict = judge(plan.guard.as_ref().unwrap(), &window, state.looks);
        let now = Moment(look * 60_000 / LOOKS);
        if state.tick(&plan, &verdict, now).is_some() {
            window = vec![Sides::default(), Sides::default()];
        }
        if state.phase != Phase::Running {
            return (state.phase, look.div_ceil(LOOKS));
        }
    }
    (state.phase, windows)
}

#[test]
fn equal_versions_are_hardly_ever_taken_back_and_do_arrive() {
    let ends: Vec<Phase> = (0..1000).map(|seed| run(GOOD, 12, seed).0).collect();
    let alarms = ends.iter().filter(|end| **end == Phase::Aborted).count();
    let done = ends.iter().filter(|end| **end == Phase::Done).count();
    assert!(alarms <= 10, "{alarms} false alarms in 1000 rollouts");
    assert!(done >= 900, "only {done} arrived");
}

#[test]
fn five_points_more_errors_are_caught_within_one_window() {
    let bad = Behavior {
        error_rate: 0.06,
        ..GOOD
    };
    let caught = (0..300).filter(|seed| run(bad, 1, *seed).0 == Phase::Aborted);
    let caught = caught.count();
    assert!(caught >= 297, "{caught} of 300");
}

#[test]
fn three_times_slower_is_caught_within_one_window() {
    let slow = Behavior {
        slowness: 3.0,
        ..GOOD
    };
    let caught = (0..100).filter(|seed| run(slow, 1, *seed).0 == Phase::Aborted);
    assert_eq!(caught.count(), 100);
}

#[test]
fn a_color_that_prefers_a_slow_route_is_not_slow() {
    let mut dice = fastrand::Rng::with_seed(1);
    let mut window = vec![Sides::default(), Sides::default()];
    for (route, (color, default)) in [(100, 3000), (2000, 300)].into_iter().enumerate() {
        serve(&mut window[route].color, color, route, GOOD, &mut dice);
        serve(&mut window[route].default, default, route, GOOD, &mut dice);
    }
    let verdict = judge(plan().guard.as_ref().unwrap(), &window, 1);
    assert_eq!(verdict, super::Verdict::Sound);
}
