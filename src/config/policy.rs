//! Tables that parse and are checked already, but that nothing obeys yet.
//!
//! When a feature lands, its tables move to a file of their own and lose their `Later`.

use super::admin::Secret;
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::units::{Percent, Rate};
use super::values::Anything;
use crate::{table, words};
use std::path::PathBuf;
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
    /// Active health checks.
    pub struct Health {
        /// Path that answers 2xx when the endpoint is well.
        "path" => path: Option<String> = none "a TCP connection is enough",
        /// Pause between two checks.
        "every" => every: Duration = (Duration::from_secs(5)) "\"5s\"",
        /// Longest wait for one check.
        "timeout" => timeout: Duration = (Duration::from_secs(1)) "\"1s\"",
        /// Checks in a row that must pass.
        "healthy_after" => healthy_after: u32 = (2) "2",
        /// Checks in a row that must fail.
        "unhealthy_after" => unhealthy_after: u32 = (3) "3",
    }
}

table! {
    /// Ejection of endpoints that fail.
    pub struct Outliers {
        /// Failures in a row.
        "consecutive_failures" => consecutive_failures: u32 = (5) "5",
        /// First ejection; each further one is longer.
        "eject_for" => eject_for: Duration = (Duration::from_secs(30)) "\"30s\"",
        /// Largest share of a version's endpoints that may be out.
        "max_ejected" => max_ejected: Percent = (Percent(1000)) "\"10%\"",
    }
}

table! {
    /// TLS towards a version.
    pub struct VersionTls {
        /// Name that is asked for and checked.
        "server_name" => server_name: Option<String> = none,
        /// PEM file of the authorities that are believed.
        "ca" => ca: Option<PathBuf> = none,
        /// Certificate shown to the upstream.
        "client_cert" => client_cert: Option<super::listener::Certificate> = none,
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
    /// A token provider.
    pub struct Jwt {
        /// The `iss` claim, exactly.
        "issuer" => issuer: String = required,
        /// Any of these in the `aud` claim.
        "audience" => audience: Vec<String> = (Vec::new()) "not checked",
        /// Signature algorithms that are accepted.
        "algorithms" => algorithms: Vec<String> = required,
        /// Where the keys are.
        "keys" => keys: JwtKeys = required,
        /// Clock difference that is forgiven.
        "leeway" => leeway: Duration = (Duration::from_secs(30)) "\"30s\"",
        /// Claims that must be there.
        "require" => require: Vec<(String, Vec<String>)> = (Vec::new()) "{}",
        /// Claims that go up as headers.
        "forward" => forward: Vec<(String, http::HeaderName)> = (Vec::new()) "{}",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

table! {
    /// Where the keys of a provider are.
    pub struct JwtKeys {
        /// URL of a JWKS document.
        "jwks_url" => jwks_url: Option<String> = none,
        /// File with a JWKS document.
        "jwks_file" => jwks_file: Option<PathBuf> = none,
        /// A shared secret.
        "hmac" => hmac: Option<Secret> = none,
        /// How often keys are fetched again.
        "refresh" => refresh: Option<Duration> = none "\"10m\"",
    }
}

table! {
    /// A rate limit.
    pub struct Limit {
        /// So many per period.
        "rate" => rate: Rate = required,
        /// How many at once.
        "burst" => burst: Option<u32> = none "the rate's count",
        /// Whose bucket: `ip`, `route`, `header:NAME`, `cookie:NAME`, `jwt:CLAIM`, or a list.
        "key" => key: Vec<String> = (vec!["ip".to_owned()]) "\"ip\"",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

table! {
    /// A circuit breaker.
    pub struct Breaker {
        /// The window that is judged.
        "window" => window: Option<Duration> = none "\"10s\"",
        /// The window in requests instead of time.
        "window_requests" => window_requests: Option<u32> = none,
        /// What opens it.
        "trip" => trip: Trip = required,
        /// How long it stays open.
        "open_for" => open_for: Duration = (Duration::from_secs(15)) "\"15s\"",
        /// Requests let through to see whether it may close.
        "probes" => probes: u32 = (3) "3",
        /// What is answered while it is open.
        "fallback" => fallback: Option<BreakerFallback> = none,
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

table! {
    /// What opens a breaker.
    pub struct Trip {
        /// Share of failed requests.
        "error_rate" => error_rate: Option<Percent> = none,
        /// From when on a request is slow.
        "slow" => slow: Option<Duration> = none,
        /// Share of slow requests.
        "slow_rate" => slow_rate: Option<Percent> = none,
        /// Requests before anything is judged.
        "min_requests" => min_requests: u32 = (20) "20",
    }
}

table! {
    /// What is answered while a breaker is open.
    pub struct BreakerFallback {
        /// Status of a fixed answer.
        "status" => status: Option<u16> = none,
        /// Text of a fixed answer.
        "text" => text: Option<String> = none,
        /// Serve the last good answer, at most this old.
        "cached" => cached: Option<Duration> = none,
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
    /// A copy of requests for another service.
    pub struct Mirror {
        /// Who gets the copies.
        "service" => service: MirrorService = required,
        /// Share of requests that is copied.
        "percent" => percent: Percent = (Percent(10_000)) "\"100%\"",
    }
}

/// The name of the service that gets the copies.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorService(pub String);

impl Read for MirrorService {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        String::read(node, cx).map(Self)
    }

    fn shape() -> Shape {
        Shape::Text("name of a service", "")
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
