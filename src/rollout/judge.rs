//! Whether a color's version is worse than it may be, by numbers that are no accident.
//!
//! Every question becomes "so many of n, where at most p were due": the tail of a binomial
//! distribution. All looks that a rollout ever takes may together err with `ALPHA`: the k-th may
//! with 6/π²k² of that. Routes are compared one by one and then added up, so a color whose users
//! prefer a slow route is not slow.

use crate::config::rollout::Guard;
use crate::telemetry::watch::{Reading, upper_bound};
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};
use std::time::Duration;

/// Chance that a rollout of equal versions is ever taken for a bad one.
const ALPHA: f64 = 0.005;
/// Below this chance a color is doubtful: no reason to stop, none to go on.
const DOUBT: f64 = 0.05;

/// What both sides did on one route in the window.
#[derive(Debug, Clone, Default)]
pub struct Sides {
    pub color: Reading,
    pub default: Reading,
}

/// What a look has come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Too few requests to say anything.
    Thin {
        have: u32,
        need: u32,
    },
    Sound,
    /// It looks worse, but that may be chance.
    Doubtful(Finding),
    Breach(Finding),
}

/// A limit that is exceeded, with the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `error_rate`, `p99`, `errors_against_default`, `p50_against_default`, `p99_against_default`
    pub what: String,
    pub text: String,
    /// How likely numbers like these are for a version within the limit.
    pub chance: f64,
}

/// Judges a window. `look` counts the looks of this rollout, from 1.
pub fn judge(guard: &Guard, routes: &[Sides], look: u32) -> Verdict {
    let have: u32 = routes.iter().map(|sides| sides.color.requests).sum();
    if have < guard.min_requests.max(1) {
        let need = guard.min_requests.max(1);
        return Verdict::Thin { have, need };
    }
    let total = Total::of(routes);
    let relative = guard.worse_than_default.map(|worse| 1.0 + worse.ratio());
    let questions = usize::from(guard.max_error_rate.is_some())
        + usize::from(guard.max_p99.is_some())
        + if relative.is_some() { 3 } else { 0 };
    let look = f64::from(look.max(1));
    let spent = ALPHA * 6.0 / (std::f64::consts::PI * look).powi(2);
    let alpha = spent / questions.max(1) as f64;
    let absolute = [
        guard
            .max_error_rate
            .and_then(|max| total.errors(max.ratio())),
        guard.max_p99.and_then(|max| total.slow(max)),
    ];
    let against = relative.map(|worse| {
        [
            total.more_errors(routes, worse),
            slower(routes, &Quantile::MEDIAN, worse, alpha),
            slower(routes, &Quantile::P99, worse, alpha),
        ]
    });
    let findings = absolute.into_iter().chain(against.into_iter().flatten());
    let worst = findings
        .flatten()
        .min_by(|one, two| one.chance.total_cmp(&two.chance));
    match worst {
        Some(finding) if finding.chance < alpha => Verdict::Breach(finding),
        Some(finding) if finding.chance < DOUBT => Verdict::Doubtful(finding),
        _ => Verdict::Sound,
    }
}

/// P(X ≥ k) of `n` tries with a chance of `p` each.
pub fn tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    match Binomial::new(p.clamp(0.0, 1.0), n) {
        Ok(binomial) => binomial.sf(k - 1),
        Err(_) => 1.0,
    }
}

/// Both sides over all routes.
struct Total {
    color: Reading,
    default: Reading,
}

impl Total {
    fn of(routes: &[Sides]) -> Self {
        let mut total = Self {
            color: Reading::default(),
            default: Reading::default(),
        };
        for sides in routes {
            add(&mut total.color, &sides.color);
            add(&mut total.default, &sides.default);
        }
        total
    }

    /// More failures than an absolute limit allows.
    fn errors(&self, max: f64) -> Option<Finding> {
        let (failed, requests) = (self.color.failures, self.color.requests);
        let over = f64::from(failed) > max * f64::from(requests);
        over.then(|| Finding {
            what: "error_rate".to_owned(),
            text: format!(
                "{} of its requests failed ({failed} of {requests}); at most {} may",
                percent(failed, requests),
                words(max),
            ),
            chance: tail(failed.into(), requests.into(), max),
        })
    }

    /// More than a hundredth is slower than a limit.
    fn slow(&self, max: Duration) -> Option<Finding> {
        let (slow, timed) = (self.color.slower_than(max), self.color.timed());
        let over = f64::from(slow) > 0.01 * f64::from(timed);
        over.then(|| Finding {
            what: "p99".to_owned(),
            text: format!(
                "its p99 is {}, {slow} of {timed} requests took longer than {max:?}; 1% may",
                shown(self.color.quantile(0.99)),
            ),
            chance: tail(slow.into(), timed.into(), 0.01),
        })
    }

    /// Relatively more failures than the default version. Given all failures of a route, each is
    /// the color's with a chance that follows from the requests of both; routes add up, since a
    /// sum of unequal chances strays less than one of equal ones (Hoeffding 1956).
    fn more_errors(&self, routes: &[Sides], worse: f64) -> Option<Finding> {
        let (mut failures, mut due) = (0_u64, 0.0);
        let mut own = 0_u64;
        for Sides { color, default } in routes {
            if default.requests == 0 || color.requests == 0 {
                continue;
            }
            let mine = worse * f64::from(color.requests);
            let all = u64::from(color.failures) + u64::from(default.failures);
            failures += all;
            own += u64::from(color.failures);
            due += all as f64 * mine / (mine + f64::from(default.requests));
        }
        let chance = due / (failures as f64).max(1.0);
        (own as f64 > due).then(|| Finding {
            what: "errors_against_default".to_owned(),
            text: format!(
                "{} of its requests failed ({} of {}), {} of the default version's ({} of {})",
                percent(self.color.failures, self.color.requests),
                self.color.failures,
                self.color.requests,
                percent(self.default.failures, self.default.requests),
                self.default.failures,
                self.default.requests,
            ),
            chance: tail(own, failures, chance),
        })
    }
}

fn add(to: &mut Reading, more: &Reading) {
    to.requests += more.requests;
    to.failures += more.failures;
    for (slot, count) in to.latency.iter_mut().zip(&more.latency) {
        *slot += count;
    }
}

/// A quantile that is compared.
struct Quantile {
    q: f64,
    name: &'static str,
    what: &'static str,
}

impl Quantile {
    const MEDIAN: Self = Self {
        q: 0.5,
        name: "median",
        what: "p50_against_default",
    };
    const P99: Self = Self {
        q: 0.99,
        name: "p99",
        what: "p99_against_default",
    };
}

/// Whether more of the color's requests than a quantile allows are slower than `worse` times what
/// the default version surely is. What it surely is: the upper end of an interval for its quantile
/// that holds whatever the distribution.
fn slower(routes: &[Sides], quantile: &Quantile, worse: f64, alpha: f64) -> Option<Finding> {
    let z = Normal::standard().inverse_cdf(1.0 - alpha / (2.0 * routes.len().max(1) as f64));
    let (mut slow, mut compared) = (0_u64, 0_u64);
    let (mut slowest, mut own) = (Duration::ZERO, Duration::ZERO);
    for Sides { color, default } in routes {
        let n = f64::from(default.timed());
        let rank = n * quantile.q + z * (n * quantile.q * (1.0 - quantile.q)).sqrt() + 1.0;
        let surely = default.bucket_at(rank.ceil() as u32).map(upper_bound);
        let Some(limit) = surely
            .filter(|_| rank.ceil() <= n)
            .map(|s| s.mul_f64(worse))
        else {
            continue;
        };
        slow += u64::from(color.slower_than(limit));
        compared += u64::from(color.timed());
        slowest = slowest.max(default.quantile(quantile.q).unwrap_or_default());
        own = own.max(color.quantile(quantile.q).unwrap_or_default());
    }
    let allowed = 1.0 - quantile.q;
    (slow as f64 > allowed * compared as f64).then(|| Finding {
        what: quantile.what.to_owned(),
        text: format!(
            "its {} is {own:.1?} over {compared} requests, the default version's {slowest:.1?}",
            quantile.name,
        ),
        chance: 2.0 * tail(slow, compared, allowed),
    })
}

fn percent(part: u32, whole: u32) -> String {
    words(f64::from(part) / f64::from(whole.max(1)))
}

/// With one decimal, or none where it would be zero.
fn words(ratio: f64) -> String {
    let tenths = (ratio * 1000.0).round() / 10.0;
    format!("{tenths}%")
}

fn shown(duration: Option<Duration>) -> String {
    duration.map_or("unknown".to_owned(), |duration| format!("{duration:.1?}"))
}
