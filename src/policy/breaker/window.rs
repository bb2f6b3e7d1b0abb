//! The sliding window of a breaker: the last requests, or those of the last seconds. Counting takes
//! no lock; two requests that meet at a boundary may lose one count between them.

use super::Seen;
use crate::config::breaker as config;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Steps in which a window in time slides.
const STEPS: usize = 10;
/// The window has not reached this step.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub struct Window {
    kind: Kind,
    era: AtomicU64,
}

#[derive(Debug)]
enum Kind {
    Time {
        step: Duration,
        steps: Box<[Step; STEPS]>,
    },
    Requests(Ring),
}

#[derive(Debug)]
struct Step {
    /// Which step of time this one counts.
    number: AtomicU64,
    total: AtomicU32,
    failed: AtomicU32,
    slow: AtomicU32,
}

#[derive(Debug)]
struct Ring {
    /// 0: none yet; else 1, with 2 for failed and 4 for slow.
    results: Box<[AtomicU8]>,
    next: AtomicUsize,
}

impl Window {
    pub fn new(config: config::Window) -> Self {
        let kind = match config {
            config::Window::Time(length) => Kind::Time {
                step: (length / STEPS as u32).max(Duration::from_millis(1)),
                steps: Box::new(std::array::from_fn(|_| Step {
                    number: AtomicU64::new(NEVER),
                    total: AtomicU32::new(0),
                    failed: AtomicU32::new(0),
                    slow: AtomicU32::new(0),
                })),
            },
            config::Window::Requests(length) => Kind::Requests(Ring {
                results: (0..length.max(1)).map(|_| AtomicU8::new(0)).collect(),
                next: AtomicUsize::new(0),
            }),
        };
        Self {
            kind,
            era: AtomicU64::new(0),
        }
    }

    /// Which phase of the breaker it counts for.
    pub fn era(&self) -> u64 {
        self.era.load(Relaxed)
    }

    /// Forgets everything.
    pub fn restart(&self, era: u64) {
        self.era.store(era, Relaxed);
        match &self.kind {
            Kind::Time { steps, .. } => steps
                .iter()
                .for_each(|step| step.number.store(NEVER, Relaxed)),
            Kind::Requests(ring) => ring
                .results
                .iter()
                .for_each(|result| result.store(0, Relaxed)),
        }
    }

    pub fn add(&self, failed: bool, slow: bool, at: Duration) {
        match &self.kind {
            Kind::Time { step, steps } => {
                let number = number(at, *step);
                let Some(step) = steps.get(number as usize % STEPS) else {
                    return;
                };
                let counted = step.number.load(Relaxed);
                if counted != number
                    && step
                        .number
                        .compare_exchange(counted, number, Relaxed, Relaxed)
                        .is_ok()
                {
                    step.total.store(0, Relaxed);
                    step.failed.store(0, Relaxed);
                    step.slow.store(0, Relaxed);
                }
                step.total.fetch_add(1, Relaxed);
                step.failed.fetch_add(u32::from(failed), Relaxed);
                step.slow.fetch_add(u32::from(slow), Relaxed);
            }
            Kind::Requests(ring) => {
                let at = ring.next.fetch_add(1, Relaxed) % ring.results.len();
                if let Some(result) = ring.results.get(at) {
                    result.store(1 | u8::from(failed) << 1 | u8::from(slow) << 2, Relaxed);
                }
            }
        }
    }

    /// What it has seen. Asked after bad results only, so it may look at all of them.
    pub fn sum(&self, at: Duration) -> Seen {
        let mut seen = Seen::default();
        match &self.kind {
            Kind::Time { step, steps } => {
                let now = number(at, *step);
                let oldest = now.saturating_sub(STEPS as u64 - 1);
                let counted = steps
                    .iter()
                    .filter(|step| (oldest..=now).contains(&step.number.load(Relaxed)));
                for step in counted {
                    seen.total += step.total.load(Relaxed);
                    seen.failed += step.failed.load(Relaxed);
                    seen.slow += step.slow.load(Relaxed);
                }
            }
            Kind::Requests(ring) => {
                for result in &ring.results {
                    let result = u32::from(result.load(Relaxed));
                    seen.total += result & 1;
                    seen.failed += result >> 1 & 1;
                    seen.slow += result >> 2 & 1;
                }
            }
        }
        seen
    }
}

fn number(at: Duration, step: Duration) -> u64 {
    (at.as_nanos() / step.as_nanos().max(1)) as u64
}
