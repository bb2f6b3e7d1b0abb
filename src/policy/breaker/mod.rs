//! Circuit breaking: a version that fails is left alone for a while, then tried with a few
//! requests, then believed again. One breaker per service and version.
//!
//! Time is an argument everywhere, so the tests need no clock.
//!
//! **Invariants:** never open below `min_requests`; never more than `probes` unjudged requests in
//! half-open; a probe's place comes back however its request ends; there is always a way back.

mod change;
#[cfg(test)]
mod tests;
mod window;

pub use change::{Cause, Change};

use crate::config::Name;
use crate::config::breaker as config;
use crate::config::policy::Mode;
use crate::config::units::Percent;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use window::Window;

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Closed,
            1 => Self::HalfOpen,
            _ => Self::Open,
        }
    }
}

/// How a request that was let through ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub failed: bool,
    pub took: Duration,
}

/// A breaker. Survives reloads that leave its table unchanged.
#[derive(Debug)]
pub struct Breaker {
    /// Names for the log.
    service: Name,
    version: Name,
    pub config: config::Breaker,
    /// The phase, read without the lock; written under it.
    phase: AtomicU8,
    /// Held by hand, whatever the requests say.
    held: AtomicBool,
    machine: Mutex<Machine>,
    window: Window,
    start: Instant,
    /// The same moment as `start`, on the clock of the wall.
    started_at: Timestamp,
    transitions: [AtomicU64; 3],
    /// Requests refused, or that would have been.
    pub refused: AtomicU64,
}

/// What changes with transitions.
#[derive(Debug, Default)]
struct Machine {
    /// Grows with each transition: what began before one says nothing about the time after it.
    era: u64,
    open_until: Duration,
    /// Times it has opened since it was last closed.
    streak: u32,
    /// Probes that have not ended.
    in_flight: u32,
    judged: u32,
    failed: u32,
    slow: u32,
    /// The latest change of the phase.
    last: Option<Change>,
}

/// Permission for one request; tell it how the request ended, or it counts as unjudged.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    era: u64,
    probe: bool,
    judged: bool,
}

impl Breaker {
    /// Makes a closed breaker of a version; the names are for the log.
    pub fn new(service: &Name, version: &Name, config: &config::Breaker, now: Instant) -> Self {
        Self {
            service: service.clone(),
            version: version.clone(),
            config: config.clone(),
            phase: AtomicU8::new(Phase::Closed as u8),
            held: AtomicBool::new(false),
            machine: Mutex::default(),
            window: Window::new(config.window),
            start: now,
            started_at: Timestamp::now(),
            transitions: [const { AtomicU64::new(0) }; 3],
            refused: AtomicU64::new(0),
        }
    }

    /// Returns the latest change of the phase and its time; `None`: it was never anything but
    /// closed.
    pub fn last_change(&self) -> Option<(Change, Timestamp)> {
        let change = self.machine.lock().last?;
        let time = self.started_at.checked_add(change.at);
        Some((change, time.unwrap_or(self.started_at)))
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    /// Times each phase has been entered: closed, half-open, open.
    pub fn transitions(&self) -> [u64; 3] {
        [0, 1, 2].map(|phase: usize| {
            self.transitions
                .get(phase)
                .map_or(0, |count| count.load(Ordering::Relaxed))
        })
    }

    /// Whether a request would be refused now. Changes nothing.
    pub fn refuses(&self, now: Instant) -> bool {
        if self.config.mode != Mode::Enforce {
            return false;
        }
        match self.phase() {
            Phase::Closed => false,
            Phase::Open => {
                self.held.load(Ordering::Relaxed)
                    || self.since_start(now) < self.machine.lock().open_until
            }
            Phase::HalfOpen => {
                let machine = self.machine.lock();
                machine.in_flight + machine.judged >= self.config.probes
            }
        }
    }

    /// How long it stays open yet; `None` when it is not open, or open until told otherwise.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        if self.phase() != Phase::Open || self.held.load(Ordering::Relaxed) {
            return None;
        }
        Some(
            self.machine
                .lock()
                .open_until
                .saturating_sub(self.since_start(now)),
        )
    }

    /// Asks whether a request may go.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<Permit, Duration> {
        let permit = |era, probe| Permit {
            breaker: self.clone(),
            era,
            probe,
            judged: false,
        };
        // What such a request meets is not judged.
        let aside = || Permit {
            breaker: self.clone(),
            era: 0,
            probe: false,
            judged: true,
        };
        if self.config.mode == Mode::Off {
            return Ok(aside());
        }
        if self.phase() == Phase::Closed {
            return Ok(permit(self.window.era(), false));
        }
        let mut machine = self.machine.lock();
        let at = self.since_start(now);
        // The phase may have changed while the lock was waited for.
        let mut phase = self.phase();
        let mut change = None;
        if phase == Phase::Open && !self.held.load(Ordering::Relaxed) && at >= machine.open_until {
            let cause = Cause::OpenForElapsed;
            change = Some(self.enter(&mut machine, Phase::HalfOpen, cause, Seen::default(), at));
            phase = Phase::HalfOpen;
        }
        let wait = match phase {
            Phase::Closed => return Ok(permit(machine.era, false)),
            Phase::HalfOpen if machine.in_flight + machine.judged < self.config.probes => {
                machine.in_flight += 1;
                let permit = permit(machine.era, true);
                drop(machine);
                if let Some(change) = change {
                    self.log(change);
                }
                return Ok(permit);
            }
            Phase::HalfOpen => Duration::from_secs(1),
            Phase::Open if self.held.load(Ordering::Relaxed) => self.config.open_for,
            Phase::Open => machine.open_until.saturating_sub(at),
        };
        drop(machine);
        self.refused.fetch_add(1, Ordering::Relaxed);
        match self.config.mode {
            Mode::Report => Ok(aside()),
            _ => Err(wait),
        }
    }

    /// Opens it until told otherwise (`Open`), closes it (`Closed`), or lets it find out
    /// (`HalfOpen`). Changes nothing, and logs nothing, where that is its state already.
    pub fn hold(&self, phase: Phase, now: Instant) {
        let mut machine = self.machine.lock();
        let held = phase == Phase::Open;
        if phase == self.phase() && held == self.held() {
            return;
        }
        self.held.store(held, Ordering::Relaxed);
        machine.streak = 0;
        let at = self.since_start(now);
        let change = self.enter(&mut machine, phase, Cause::Operator, Seen::default(), at);
        drop(machine);
        self.log(change);
    }

    /// Whether it was opened by hand.
    pub fn held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Enters a phase. The caller writes the change to the log once it has let the lock go.
    fn enter(
        &self,
        machine: &mut Machine,
        phase: Phase,
        cause: Cause,
        seen: Seen,
        at: Duration,
    ) -> Change {
        let from = self.phase();
        machine.era += 1;
        (machine.in_flight, machine.judged) = (0, 0);
        (machine.failed, machine.slow) = (0, 0);
        if phase == Phase::Closed {
            machine.streak = 0;
        }
        self.window.restart(machine.era);
        self.phase.store(phase as u8, Ordering::Release);
        if let Some(count) = self.transitions.get(phase as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let held = self.held.load(Ordering::Relaxed);
        let change = Change {
            from,
            to: phase,
            cause,
            seen,
            open_for: (phase == Phase::Open && !held)
                .then(|| machine.open_until.saturating_sub(at)),
            at,
        };
        machine.last = Some(change);
        change
    }

    fn open(&self, machine: &mut Machine, cause: Cause, seen: Seen, at: Duration) -> Change {
        let doubled = self.config.open_for * 2_u32.saturating_pow(machine.streak.min(16));
        machine.streak += 1;
        machine.open_until = at + doubled.min(self.config.open_max);
        self.enter(machine, Phase::Open, cause, seen, at)
    }

    /// Counts a request of the closed phase.
    fn count(&self, era: u64, failed: bool, slow: bool, at: Duration) {
        self.window.add(failed, slow, at);
        if !failed && !slow {
            return; // a good answer cannot be the last straw
        }
        let seen = self.window.sum(at);
        if seen.total < self.config.trip.min_requests {
            return;
        }
        let Some(cause) = self.too_bad(seen) else {
            return;
        };
        let mut machine = self.machine.lock();
        if self.phase() == Phase::Closed && machine.era == era {
            let change = self.open(&mut machine, cause, seen, at);
            drop(machine);
            self.log(change);
        }
    }

    /// Returns which threshold the numbers have reached, if any.
    fn too_bad(&self, seen: Seen) -> Option<Cause> {
        let over = |part: u32, limit: Percent| {
            u64::from(part) * 10_000 >= u64::from(limit.0) * u64::from(seen.total)
        };
        let trip = &self.config.trip;
        let errors = trip.error_rate.filter(|limit| over(seen.failed, *limit));
        let slow = trip.slow.filter(|(_, limit)| over(seen.slow, *limit));
        errors
            .map(|_| Cause::ErrorRate)
            .or_else(|| slow.map(|_| Cause::SlowRate))
    }

    /// Counts a probe that has ended.
    fn count_probe(&self, era: u64, failed: bool, slow: bool, at: Duration) {
        let mut machine = self.machine.lock();
        if machine.era != era {
            return;
        }
        machine.in_flight -= 1;
        machine.judged += 1;
        machine.failed += u32::from(failed);
        machine.slow += u32::from(slow);
        // Judged over all probes, so that it opens again as soon as it cannot close any more.
        let seen = Seen {
            total: self.config.probes,
            failed: machine.failed,
            slow: machine.slow,
        };
        let change = if self.too_bad(seen).is_some() {
            self.open(&mut machine, Cause::ProbesFailed, seen, at)
        } else if machine.judged >= self.config.probes {
            self.enter(&mut machine, Phase::Closed, Cause::ProbesPassed, seen, at)
        } else {
            return;
        };
        drop(machine);
        self.log(change);
    }
}

/// What a window has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub total: u32,
    pub failed: u32,
    pub slow: u32,
}

impl Permit {
    /// Says how the request ended.
    pub fn record(mut self, outcome: Outcome, now: Instant) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        let breaker = &self.breaker;
        let trip = &breaker.config.trip;
        let slow = trip.slow.is_some_and(|(limit, _)| outcome.took > limit);
        let at = breaker.since_start(now);
        if self.probe {
            breaker.count_probe(self.era, outcome.failed, slow, at);
        } else if self.era == breaker.window.era() {
            breaker.count(self.era, outcome.failed, slow, at);
        }
    }

    /// The table's idea of a failure.
    pub fn failures(&self) -> &config::Failures {
        &self.breaker.config.failures
    }
}

impl Drop for Permit {
    /// An unjudged probe gives its place back: the client left, or the request never went.
    fn drop(&mut self) {
        if self.judged || !self.probe {
            return;
        }
        let mut machine = self.breaker.machine.lock();
        if machine.era == self.era {
            machine.in_flight -= 1;
        }
    }
}
