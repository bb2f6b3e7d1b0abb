//! The mode that every policy has; and tables that parse and are checked already, but that nothing
//! obeys yet.
//!
//! When a feature lands, its tables move to a file of their own and lose their `Later`.

use super::units::Percent;
use super::values::Anything;
use crate::{table, words};
use std::time::Duration;

words! {
    /// Whether a policy acts, only tells what it would do, or rests.
    pub enum Mode {
        /// Acts.
        "enforce" => Enforce,
        /// Decides, counts and logs, but lets pass.
        "report" => Report,
        /// Rests.
        "off" => Off,
    }
}

table! {
    /// A share of uncolored traffic that gets a color.
    pub struct Share {
        /// How much.
        "percent" => percent: Percent = required,
        /// What keeps a user on one side: `cookie:NAME`, `header:NAME`, `jwt:CLAIM`, `ip`.
        "sticky" => sticky: String = ("ip".to_owned()) "\"ip\"",
    }
}

table! {
    /// Moves a color's share by itself.
    pub struct Rollout {
        /// Shares, one after the other.
        "steps" => steps: Vec<Percent> = required,
        /// Pause between two steps.
        "every" => every: Duration = required,
        /// What must hold for the next step.
        "guard" => guard: Option<Guard> = none,
        /// `abort` or `pause`.
        "on_breach" => on_breach: OnBreach = (OnBreach::Abort) "\"abort\"",
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

table! {
    /// What must hold for a rollout to go on.
    pub struct Guard {
        /// Largest share of failed requests.
        "max_error_rate" => max_error_rate: Option<Percent> = none,
        /// Longest 99th percentile.
        "max_p99" => max_p99: Option<Duration> = none,
        /// How much worse than the default version it may be.
        "worse_than_default" => worse_than_default: Option<Percent> = none,
        /// Requests before anything is judged.
        "min_requests" => min_requests: u32 = (200) "200",
    }
}

table! {
    /// A plugin and its configuration.
    pub struct Plugin {
        /// The plugin's name.
        "use" => r#use: String = required,
        /// What the plugin takes.
        "config" => config: Anything = (Anything) "{}",
    }
}

table! {
    /// What traces show, and where they go.
    pub struct Traces {
        /// Share of requests that is traced.
        "sample" => sample: Percent = (Percent(100)) "\"1%\"",
        /// OTLP endpoint.
        "otlp" => otlp: Option<String> = none,
    }
}
