//! `[breakers.NAME]`: when a version of a service is left alone, and what is said meanwhile.

use super::diagnostic::Diagnostic;
use super::policy::Mode;
use super::reader::{Cx, Node, Read, ReadNamed};
use super::rule::Bounds;
use super::shape::Shape;
use super::units::Percent;
use super::values::{bounded, parsed};
use super::{Name, Place};
use crate::table;
use std::time::Duration;

/// The window in requests.
const REQUESTS: Bounds<u32> = Bounds::least(
    1,
    "nothing could be judged",
    "leave it out for a window of 10s",
)
.most(10_000);
/// The window in time.
const WINDOW: Bounds<Duration> = Bounds::least(
    Duration::from_millis(100),
    "nothing could be judged",
    "leave it out for \"10s\"",
)
.most(Duration::from_hours(1));
const PROBES: Bounds<u32> = Bounds::least(1, "it could never close again", "leave it out for 3");
const JUDGED: Bounds<u32> =
    Bounds::least(1, "the first failure would open it", "leave it out for 20");
/// What is answered while a breaker is open.
const STATUS: Bounds<u16> = Bounds::least(200, "no final status", "such as 503").most(599);

/// Longest time that a breaker stays open unless configured.
const OPEN_MAX: Duration = Duration::from_mins(5);
const SLOW: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "every request would be slow",
    "leave `slow` and `slow_rate` out, and only failures count",
);
/// Statuses of gRPC that are no success.
const GRPC: Bounds<u8> =
    Bounds::least(1, "no failure of gRPC", "0 is OK, and 16 is the last one").most(16);
const KEPT: Bounds<Duration> = Bounds::least(
    Duration::from_secs(1),
    "no answer would be young enough",
    "leave `fallback` out for a 503",
);

/// A circuit breaker in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    pub window: Window,
    pub trip: Trip,
    pub failures: Failures,
    pub open_for: Duration,
    /// Longest time it stays open when it opens again and again.
    pub open_max: Duration,
    /// At least 1.
    pub probes: u32,
    pub fallback: Option<Fallback>,
    pub mode: Mode,
    pub at: Place,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Time(Duration),
    Requests(u32),
}

table! {
    /// A circuit breaker. Each version of each service that names it has its own.
    pub struct Table {
        /// The window that is judged, in time.
        "window" => window: Option<Duration> = none "\"10s\"" within WINDOW,
        /// The window in requests instead of time.
        "window_requests" => window_requests: Option<u32> = none within REQUESTS,
        /// What opens it.
        "trip" => trip: Trip = required,
        /// What counts as a failure.
        "failures" => failures: Failures = (Failures::default()) "5xx, resets, timeouts",
        /// How long it stays open; doubled each time its probes fail.
        "open_for" => open_for: Duration = (Duration::from_secs(15)) "\"15s\"",
        /// Longest time it stays open.
        "open_max" => open_max: Option<Duration> = none "`\"5m\"`, or `open_for` if that is longer",
        /// Requests let through to see whether it may close.
        "probes" => probes: u32 = (3) "3" within PROBES,
        /// What is answered while it is open.
        "fallback" => fallback: Option<Fallback> = none "503 `breaker_open`",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

impl ReadNamed for Breaker {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let never = |what: &str, label: &str| {
            let message = format!("breaker `{name}` {what}");
            cx.report(Diagnostic::error("TY0304", message).at(&node.spot(), label));
        };
        let window = match (table.window, table.window_requests) {
            (Some(_), Some(_)) => {
                never("has a window in time and one in requests", "one of the two");
                return None;
            }
            (None, Some(requests)) => Window::Requests(requests),
            (time, None) => Window::Time(time.unwrap_or(Duration::from_secs(10))),
        };
        match window {
            Window::Requests(requests) if requests < table.trip.min_requests => {
                never(
                    "can never open: its window is smaller than `min_requests`",
                    "never trips",
                );
                return None;
            }
            _ => {}
        }
        let failures = &table.failures;
        let nothing_fails = failures.statuses.is_empty()
            && failures.grpc.is_empty()
            && !failures.resets
            && !failures.timeouts;
        if nothing_fails && table.trip.slow.is_none() {
            never("can never open: nothing counts as a failure", "never trips");
            return None;
        }
        if table.open_for.is_zero() {
            never("would not stay open at all", "`open_for` must be longer");
            return None;
        }
        if !goes_up(name, &table, node, cx) {
            return None;
        }
        let open_max = table.open_max.unwrap_or(OPEN_MAX).max(table.open_for);
        Some(Self {
            window,
            trip: table.trip,
            failures: table.failures,
            open_for: table.open_for,
            open_max,
            probes: table.probes,
            fallback: table.fallback,
            mode: table.mode,
            at,
        })
    }
}

/// Whether it may stay open for as long as it opens at first.
fn goes_up(name: &Name, table: &Table, node: &Node, cx: &Cx) -> bool {
    let open_for = table.open_for;
    let Some(most) = table.open_max.filter(|most| *most < open_for) else {
        return true;
    };
    let message = format!("breaker `{name}` opens for {open_for:?}, and for {most:?} at most");
    let place = node.table(cx).and_then(|mut table| table.get("open_max"));
    let spot = place.map_or_else(|| node.spot(), |place| place.spot());
    let diagnostic = Diagnostic::error("TY0304", message);
    let diagnostic = diagnostic.at(&spot, "shorter than `open_for`");
    cx.report(diagnostic.help("`open_max` bounds how far `open_for` is doubled"));
    false
}

/// What opens a breaker.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Share of failed requests; `None`: failures do not open it.
    pub error_rate: Option<Percent>,
    /// From when on a request is slow, and which share of slow ones opens it.
    pub slow: Option<(Duration, Percent)>,
    pub min_requests: u32,
}

table! {
    /// What opens a breaker: a share of failed requests, a share of slow ones, or either.
    pub struct TripTable {
        /// Share of failed requests.
        "error_rate" => error_rate: Option<Percent> = none,
        /// From when on a request is slow.
        "slow" => slow: Option<Duration> = none within SLOW,
        /// Share of slow requests.
        "slow_rate" => slow_rate: Option<Percent> = none,
        /// Requests in the window before anything is judged.
        "min_requests" => min_requests: u32 = (20) "20" within JUDGED,
    }
}

impl Read for Trip {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = TripTable::read(node, cx)?;
        let problem = match (table.error_rate, table.slow, table.slow_rate) {
            (None, None, None) => Some("this breaker can never open: nothing trips it"),
            (_, Some(_), None) => Some("`slow` needs `slow_rate`: which share of slow requests?"),
            (_, None, Some(_)) => Some("`slow_rate` needs `slow`: from when on is a request slow?"),
            (Some(Percent(0)), _, _) | (_, _, Some(Percent(0))) => {
                Some("a share of 0% would open the breaker at the first request")
            }
            _ => None,
        };
        if let Some(message) = problem {
            cx.report(Diagnostic::error("TY0304", message).at(&node.spot(), "this cannot work"));
            return None;
        }
        Some(Self {
            error_rate: table.error_rate,
            slow: table.slow.zip(table.slow_rate),
            min_requests: table.min_requests,
        })
    }

    fn shape() -> Shape {
        TripTable::shape()
    }
}

table! {
    /// What counts as a failure. A client that leaves never does.
    pub struct Failures {
        /// Statuses: `5xx`, or single ones such as `429`.
        "statuses" => statuses: Vec<StatusMatch> = (vec![StatusMatch(500, 599)]) "[\"5xx\"]",
        /// Connections that could not be made or broke.
        "resets" => resets: bool = (true) "true",
        /// Answers that took too long.
        "timeouts" => timeouts: bool = (true) "true",
        /// gRPC statuses by number, in trailers-only answers.
        "grpc" => grpc: Vec<u8> = (vec![4, 8, 13, 14]) "[4, 8, 13, 14]" within GRPC,
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            statuses: vec![StatusMatch(500, 599)],
            resets: true,
            timeouts: true,
            grpc: vec![4, 8, 13, 14],
        }
    }
}

impl Failures {
    pub fn status(&self, status: u16) -> bool {
        self.statuses
            .iter()
            .any(|range| (range.0..=range.1).contains(&status))
    }
}

/// A status or a class of them, as an inclusive range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusMatch(pub u16, pub u16);

impl Read for StatusMatch {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if node.value.is_integer() {
            let status = bounded(node, cx, 100, 599)?;
            return Some(Self(status, status));
        }
        parsed(
            node,
            cx,
            "a status such as 503 or \"5xx\"",
            |text| match text.strip_suffix("xx") {
                Some(class) => {
                    let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
                    Some(Self(class * 100, class * 100 + 99))
                }
                None => {
                    let status = text
                        .parse()
                        .ok()
                        .filter(|status| (100..=599).contains(status))?;
                    Some(Self(status, status))
                }
            },
        )
    }

    fn shape() -> Shape {
        Shape::Any(vec![
            Shape::Integer(100, 599),
            Shape::Text("status or class", "^[1-5](xx|[0-9][0-9])$"),
        ])
    }
}

/// What is answered while a breaker is open.
#[derive(Debug, Clone, PartialEq)]
pub enum Fallback {
    Fixed {
        status: u16,
        text: String,
    },
    /// Another version of the service.
    Version(Name),
    /// The last good answer to the same request, at most this old.
    Cached(Duration),
}

table! {
    /// What is answered while a breaker is open: one of `status` (with `text`), `version`, `cached`.
    pub struct FallbackTable {
        /// Status of a fixed answer.
        "status" => status: Option<u16> = none within STATUS,
        /// Text of a fixed answer.
        "text" => text: Option<String> = none,
        /// Another version of the service.
        "version" => version: Option<String> = none,
        /// Serve the last good answer, at most this old; only GET and HEAD without credentials.
        "cached" => cached: Option<Duration> = none within KEPT,
    }
}

impl Read for Fallback {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = FallbackTable::read(node, cx)?;
        match (table.status, table.text, table.version, table.cached) {
            (Some(status), text, None, None) => {
                let text = text.unwrap_or_default();
                Some(Self::Fixed { status, text })
            }
            (None, None, Some(version), None) => Some(Self::Version(version.into())),
            (None, None, None, Some(age)) => Some(Self::Cached(age)),
            _ => {
                let message = "`fallback` is one of: status (with text), version, cached";
                node.invalid(cx, message, "exactly one");
                None
            }
        }
    }

    fn shape() -> Shape {
        FallbackTable::shape()
    }
}
