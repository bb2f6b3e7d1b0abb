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

/// A version: how often it fails, and latencies on each of two routes to draw from.
struct Version {
    error_rate: f64,
    latencies: [Vec<usize>; 2],
}

/// Latencies that are drawn from.
const POOL: usize = 8192;

impl Version {
    /// Latencies with a long tail: a median times a log-normal factor.
    fn new(error_rate: f64, slowness: f64) -> Self {
        let mut dice = fastrand::Rng::with_seed(7);
        let latencies = [5e-3, 40e-3].map(|median| {
            let draw = |_| {
                // The sum of four dice is near enough to normal.
                let normal: f64 = (0..4).map(|_| dice.f64() - 0.5).sum::<f64>() * 1.73;
                let took = median * slowness * (0.6 * normal).exp();
                bucket_of(Duration::from_secs_f64(took))
            };
            (0..POOL).map(draw).collect()
        });
        Self {
            error_rate,
            latencies,
        }
    }

    fn good() -> Self {
        Self::new(0.01, 1.0)
    }

    fn serve(&self, to: &mut Reading, requests: u32, route: usize, dice: &mut fastrand::Rng) {
        for _ in 0..requests {
            to.requests += 1;
            to.failures += u32::from(dice.f64() < self.error_rate);
            to.latency[self.latencies[route][dice.usize(..POOL)]] += 1;
        }
    }
}

fn plan() -> Rollout {
    let text = "[colors.next]\nversions = { shop = \"v2\" }\nshare = { percent = \"0%\" }\n\
         [rollouts.next]\nsteps = [\"1%\", \"5%\", \"25%\", \"50%\", \"100%\"]\nevery = \"60s\"\n\
         guard = { max_error_rate = \"5%\", max_p99 = \"2s\", worse_than_default = \"20%\", min_requests = 200 }\n";
    config(text).rollouts["next"].clone()
}

/// The phase after at most `windows` windows.
fn run(plan: &Rollout, sides: [&Version; 2], windows: u64, seed: u64) -> Phase {
    let [color, default] = sides;
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut state = State::default();
    state
        .command(plan, Command::Start, Percent(0), Moment(0))
        .unwrap();
    let mut window = vec![Sides::default(), Sides::default()];
    for look in 1..=windows * LOOKS {
        for (route, sides) in window.iter_mut().enumerate() {
            color.serve(&mut sides.color, COLOR, route, &mut dice);
            default.serve(&mut sides.default, DEFAULT, route, &mut dice);
        }
        state.looks += 1;
        let verdict = judge(plan.guard.as_ref().unwrap(), &window, state.looks);
        let now = Moment(look * 60_000 / LOOKS);
        if state.tick(plan, &verdict, now).is_some() {
            window = vec![Sides::default(), Sides::default()];
        }
        if state.phase != Phase::Running {
            return state.phase;
        }
    }
    state.phase
}

#[test]
fn equal_versions_are_hardly_ever_taken_back_and_do_arrive() {
    let (plan, good) = (plan(), Version::good());
    let ends: Vec<Phase> = (0..1000)
        .map(|seed| run(&plan, [&good, &good], 12, seed))
        .collect();
    let alarms = ends.iter().filter(|end| **end == Phase::Aborted).count();
    let done = ends.iter().filter(|end| **end == Phase::Done).count();
    assert!(alarms <= 10, "{alarms} false alarms in 1000 rollouts");
    assert!(done >= 900, "only {done} arrived");
}

fn caught(bad: &Version, rollouts: u64) -> usize {
    let (plan, good) = (plan(), Version::good());
    let ends = (0..rollouts).map(|seed| run(&plan, [bad, &good], 1, seed));
    ends.filter(|end| *end == Phase::Aborted).count()
}

#[test]
fn five_points_more_errors_are_caught_within_one_window() {
    let caught = caught(&Version::new(0.06, 1.0), 1000);
    assert!(caught >= 990, "{caught} of 1000");
}

#[test]
fn three_times_slower_is_caught_within_one_window() {
    assert_eq!(caught(&Version::new(0.01, 3.0), 100), 100);
}

#[test]
fn a_color_that_prefers_a_slow_route_is_not_slow() {
    let (good, mut dice) = (Version::good(), fastrand::Rng::with_seed(1));
    let mut window = vec![Sides::default(), Sides::default()];
    for (route, (color, default)) in [(100, 3000), (2000, 300)].into_iter().enumerate() {
        good.serve(&mut window[route].color, color, route, &mut dice);
        good.serve(&mut window[route].default, default, route, &mut dice);
    }
    let verdict = judge(plan().guard.as_ref().unwrap(), &window, 1);
    assert_eq!(verdict, super::Verdict::Sound);
}
