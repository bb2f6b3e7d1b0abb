//! When the process itself has too much to do: it measures how late its timers fire and how much
//! memory it holds, and gives up requests by the importance of their route, spare ones first.

use crate::config::upkeep::Importance;
use crate::telemetry::metrics::Family;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// How often the process looks at itself.
const EVERY: Duration = Duration::from_millis(50);
/// Timers this late: spare routes are given up.
const LATE: Duration = Duration::from_millis(100);
/// Timers this late: normal routes too.
const VERY_LATE: Duration = Duration::from_millis(400);
/// Looks in a row that raise the level, and that lower it.
const LATE_LOOKS: u32 = 3;
const CALM_LOOKS: u32 = 10;
/// Share of the memory limit from which on spare routes are given up, in thousandths.
const FULL: u64 = 900;
/// And normal ones.
const VERY_FULL: u64 = 950;
/// Looks at memory once in so many looks at timers: it costs reading two files.
const MEMORY_EVERY: u32 = 20;

/// How much the process is overloaded.
#[derive(Debug, Default)]
pub struct Overload {
    /// 0: not; 1: spare routes are given up; 2: normal ones too.
    level: AtomicU8,
    lag_us: AtomicU64,
    /// Of the cgroup's or machine's memory, in thousandths.
    memory: AtomicU32,
    pub shed: AtomicU64,
}

impl Overload {
    /// Its metrics.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge(
            "tyrian_overload_level",
            "0: not overloaded, 1: spare routes are given up, 2: normal ones too",
            |overload, points| points.add(overload.level.load(Relaxed)),
        ),
        Family::gauge(
            "tyrian_timer_lag_seconds",
            "How late timers fire",
            |overload, points| {
                let lag = Duration::from_micros(overload.lag_us.load(Relaxed));
                points.add(lag.as_secs_f64());
            },
        ),
        Family::gauge(
            "tyrian_memory_share",
            "Share of the memory limit that is used",
            |overload, points| points.add(f64::from(overload.memory.load(Relaxed)) / 1000.0),
        ),
        Family::counter(
            "tyrian_shed_total",
            "Requests given up because the process had too much to do",
            |overload, points| points.add(&overload.shed),
        ),
    ];

    /// Starts looking, for as long as anybody else holds it.
    pub fn watch(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            let limit = memory_limit();
            let mut looks = 0_u32;
            let (mut calm, mut late) = (0_u32, 0_u32);
            while let Some(overload) = weak.upgrade() {
                let before = Instant::now();
                tokio::time::sleep(EVERY).await;
                let lag = before.elapsed().saturating_sub(EVERY);
                if looks.is_multiple_of(MEMORY_EVERY) {
                    let share = limit.map_or(0, |limit| memory_used() * 1000 / limit.max(1));
                    overload.memory.store(share as u32, Relaxed);
                }
                looks = looks.wrapping_add(1);
                overload.lag_us.store(lag.as_micros() as u64, Relaxed);
                let now = level(lag, u64::from(overload.memory.load(Relaxed)));
                // Down after half a second of calm, so that it does not flap; up after three looks
                // in a row, since one late timer is a neighbour's doing, or a hypervisor's.
                let before = overload.level.load(Relaxed);
                calm = if now < before { calm + 1 } else { 0 };
                late = if now > before { late + 1 } else { 0 };
                if calm >= CALM_LOOKS || late >= LATE_LOOKS {
                    overload.level.store(now, Relaxed);
                    (calm, late) = (0, 0);
                }
            }
        });
    }

    /// Whether a request of a route this important is given up.
    pub fn sheds(&self, importance: Importance) -> bool {
        let level = self.level.load(Relaxed);
        let sheds = match importance {
            Importance::Core => false,
            Importance::Normal => level >= 2,
            Importance::Spare => level >= 1,
        };
        if sheds {
            self.shed.fetch_add(1, Relaxed);
        }
        sheds
    }
}

fn level(lag: Duration, memory: u64) -> u8 {
    if lag >= VERY_LATE || memory >= VERY_FULL {
        2
    } else {
        u8::from(lag >= LATE || memory >= FULL)
    }
}

/// Bytes the process may use: the cgroup's limit, else none.
fn memory_limit() -> Option<u64> {
    [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
    .find(|limit| *limit < 1 << 50)
}

/// Bytes the process holds.
pub fn memory_used() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::{Overload, level};
    use crate::config::upkeep::Importance;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    #[test]
    fn spare_routes_go_first_and_core_ones_never() {
        let overload = Overload::default();
        let shed = |at| {
            overload.level.store(at, Relaxed);
            [Importance::Spare, Importance::Normal, Importance::Core].map(|i| overload.sheds(i))
        };
        assert_eq!(shed(0), [false, false, false]);
        assert_eq!(shed(1), [true, false, false]);
        assert_eq!(shed(2), [true, true, false]);
    }

    #[test]
    fn late_timers_and_full_memory_raise_the_level() {
        let millis = Duration::from_millis;
        assert_eq!(level(millis(5), 100), 0);
        assert_eq!(level(millis(150), 100), 1);
        assert_eq!(level(millis(5), 920), 1);
        assert_eq!(level(millis(500), 100), 2);
        assert_eq!(level(millis(5), 960), 2);
    }
}
