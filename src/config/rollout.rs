//! `[rollouts.COLOR]`: a share that moves by itself, as long as its guard is content.

use super::diagnostic::{Diagnostic, Spot};
use super::reader::{Cx, Kind, Node, Read, ReadNamed, Reference};
use super::rule::Bounds;
use super::shape::Shape;
use super::units::Percent;
use super::values::parsed;
use super::{Config, Name, Place};
use crate::{table, words};
use std::time::Duration;

/// A rollout in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Rising, the last one is where it ends.
    pub steps: Vec<Percent>,
    pub every: Duration,
    pub guard: Option<Guard>,
    pub on_breach: OnBreach,
    pub start: Start,
    pub hold: Vec<Hold>,
    pub dry_run: bool,
    pub webhook: Option<String>,
    pub at: Place,
}

table! {
    /// Moves a color's share by itself.
    pub struct Table {
        /// Shares, one after the other, each larger than the one before.
        "steps" => steps: Vec<Percent> = required,
        /// Time at each step: the window in which the color is compared with the default version.
        "every" => every: Duration = required,
        /// What must hold for the next step.
        "guard" => guard: Option<Guard> = none "time alone",
        /// What a breach of the guard leads to.
        "on_breach" => on_breach: OnBreach = (OnBreach::Abort) "\"abort\"",
        /// Whether it waits for `tyrian rollout start`.
        "start" => start: Start = (Start::Manual) "\"manual\"",
        /// When it takes no step: `22:00-06:00`, or `fri 16:00-mon 08:00`; times are UTC.
        "hold" => hold: Vec<Hold> = (Vec::new()) "[]",
        /// Whether it only tells what it would do.
        "dry_run" => dry_run: bool = (false) "false",
        /// Where each of its events is posted as JSON.
        "webhook" => webhook: Option<WebhookUrl> = none,
    }
}

words! {
    /// Whether a rollout waits for its operator.
    pub enum Start {
        /// `tyrian rollout start` starts it.
        "manual" => Manual,
        /// It starts when it is first loaded.
        "auto" => Auto,
    }
}

words! {
    /// What a rollout does when its guard is breached.
    pub enum OnBreach {
        /// Share back to zero.
        "abort" => Abort,
        /// Stay where it is.
        "pause" => Pause,
    }
}

const LATENCY: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "every version would breach it",
    "leave it out, and latency is not judged by itself",
);

table! {
    /// What must hold for a rollout to go on. Nothing is judged by numbers that may be chance.
    pub struct Guard {
        /// Largest share of failed requests (5xx, or the default version had to step in).
        "max_error_rate" => max_error_rate: Option<Percent> = none,
        /// Longest 99th percentile.
        "max_p99" => max_p99: Option<Duration> = none within LATENCY,
        /// How much worse than the default version on the same routes it may be: in failures,
        /// in the median and in the 99th percentile.
        "worse_than_default" => worse_than_default: Option<Percent> = none,
        /// Requests of the color in a window before anything is judged, and before the next step.
        "min_requests" => min_requests: u32 = (200) "200",
    }
}

/// `http://…` or `https://…`.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookUrl(pub String);

impl Read for WebhookUrl {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "an http or https URL", |text| {
            let uri: http::Uri = text.parse().ok()?;
            let known = matches!(uri.scheme_str(), Some("http" | "https"));
            (known && uri.host().is_some()).then(|| Self(text.to_owned()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("http or https URL", "^https?://")
    }
}

impl ReadNamed for Rollout {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        cx.refer(Reference {
            kind: Kind::Entry("colors"),
            name: name.to_string(),
            spot: at.spot(),
            from: format!("rollout `{name}`"),
        });
        let table = Table::read(node, cx)?;
        let rising = table.steps.iter().zip(table.steps.iter().skip(1));
        let sound = table.steps.first().is_some_and(|first| first.0 > 0)
            && rising.clone().all(|(one, next)| one < next);
        if !sound {
            wrong(cx, node, name, "needs steps that rise, from above 0%");
            return None;
        }
        if table.every.is_zero() {
            wrong(cx, node, name, "needs time for each step");
            return None;
        }
        Some(Self {
            steps: table.steps,
            every: table.every,
            guard: table.guard,
            on_breach: table.on_breach,
            start: table.start,
            hold: table.hold,
            dry_run: table.dry_run,
            webhook: table.webhook.map(|WebhookUrl(url)| url),
            at,
        })
    }
}

fn wrong(cx: &Cx, node: &Node, name: &str, what: &str) {
    let message = format!("rollout `{name}` {what}");
    cx.report(Diagnostic::error("TY0203", message).at(&node.spot(), "in this table"));
}

/// A rollout moves a share, and compares versions: its color must have both.
pub fn check(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, rollout) in &config.rollouts {
        let Some(color) = config.colors.get(name) else {
            continue;
        };
        let mut problem = |what: &str, label: &str, spot: &Spot| {
            let message = format!("rollout `{name}` moves the share of a color that {what}");
            let diagnostic = Diagnostic::error("TY0304", message).at(spot, label);
            out.push(diagnostic.at(&rollout.at.spot(), "the rollout"));
        };
        if color.share.is_none() {
            let label = "add `share = { percent = \"0%\" }`";
            problem("has none", label, &color.at.spot());
        } else if color.versions.is_empty() {
            let label = "add `versions`";
            problem("names no version", label, &color.at.spot());
        }
    }
}

/// Minutes of a week.
const WEEK: u32 = 7 * DAY;
const DAY: u32 = 24 * 60;

/// A time in which no step is taken: every day, or once a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Minutes after Monday's midnight, or after each day's.
    from: u32,
    to: u32,
    /// The minutes after which it comes again.
    period: u32,
}

impl Hold {
    /// Parses `22:00-06:00` and `fri 16:00-mon 08:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (moment(from)?, moment(to)?);
        match (from, to) {
            ((Some(first), from), (Some(last), to)) => Some(Self {
                from: first * DAY + from,
                to: last * DAY + to,
                period: WEEK,
            }),
            ((None, from), (None, to)) => Some(Self {
                from,
                to,
                period: DAY,
            }),
            _ => None,
        }
    }

    /// Whether a moment, in seconds since the epoch, is in it.
    pub fn contains(&self, epoch: u64) -> bool {
        // The epoch began on a Thursday.
        let minute = (epoch / 60 + u64::from(3 * DAY)) % u64::from(self.period);
        let minute = minute as u32;
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

/// A day, if one is named, and the minutes after its midnight.
fn moment(text: &str) -> Option<(Option<u32>, u32)> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let text = text.trim();
    let (day, time) = match text.split_once(' ') {
        Some((day, time)) => {
            let day = day.to_ascii_lowercase();
            let index = DAYS.iter().position(|known| *known == day)?;
            (Some(index as u32), time.trim())
        }
        None => (None, text),
    };
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some((day, hours * 60 + minutes))
}

impl Read for Hold {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let what = "a time such as \"22:00-06:00\" or \"fri 16:00-mon 08:00\"";
        parsed(node, cx, what, Self::parse)
    }

    fn shape() -> Shape {
        Shape::Text(
            "time such as `22:00-06:00` or `fri 16:00-mon 08:00`, UTC",
            "^[A-Za-z0-9: ]+-[A-Za-z0-9: ]+$",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Hold;

    fn epoch(text: &str) -> u64 {
        let moment: jiff::Timestamp = text.parse().unwrap();
        moment.as_second() as u64
    }

    #[test]
    fn holds_wrap_around_midnight_and_the_week() {
        let night = Hold::parse("22:00-06:00").unwrap();
        let weekend = Hold::parse("Fri 16:00 - mon 08:00").unwrap();
        for (moment, in_night, in_weekend) in [
            ("2026-11-20T15:59:00Z", false, false),
            ("2026-11-20T16:00:00Z", false, true),
            ("2026-11-20T23:00:00Z", true, true),
            ("2026-11-23T05:59:59Z", true, true),
            ("2026-11-23T08:00:00Z", false, false),
            ("2026-11-25T12:00:00Z", false, false),
        ] {
            assert_eq!(night.contains(epoch(moment)), in_night, "{moment}");
            assert_eq!(weekend.contains(epoch(moment)), in_weekend, "{moment}");
        }
        for wrong in ["", "22:00", "25:00-26:00", "fri 16:00-08:00", "10:60-11:00"] {
            assert_eq!(Hold::parse(wrong), None, "{wrong}");
        }
    }
}
