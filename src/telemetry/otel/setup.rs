//! What holds in the end: the configuration, and over it the `OTEL_*` variables.

use super::environment::Environment;
use super::resource::Resource;
use super::target::{Asked, Target};
use crate::config::telemetry::Telemetry;
use crate::config::traces::{Keep, Parent, Propagator, Traces};
use crate::config::units::{Lasting, Percent};
use std::time::Duration;

/// Which requests are traced, and where their spans go.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    pub sample: Percent,
    /// Whether a variable names the share, over those of single routes too.
    pub sample_rules: bool,
    pub parent: Parent,
    pub keep: Vec<Keep>,
    pub slow: Duration,
    pub propagate: Vec<Propagator>,
    /// Longest value of an attribute, in bytes.
    pub value_max: usize,
    pub export: Export,
}

/// Metrics that are pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct PushSetup {
    pub every: Duration,
    pub timeout: Duration,
    pub target: Target,
    pub resource: Resource,
}

/// How spans leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    pub target: Target,
    pub batch: Batch,
    pub resource: Resource,
}

/// How spans wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    /// Spans that wait at most; more are lost.
    pub queue: usize,
    /// Spans in one message.
    pub size: usize,
    /// Longest wait for a batch to fill.
    pub delay: Duration,
    /// Until a batch is given up.
    pub timeout: Duration,
}

/// Largest queue that may be wished for.
const QUEUE_MAX: usize = 65_536;
/// Longest value of an attribute, whatever is wished for.
const VALUE_MAX: usize = 4096;
const VALUE: usize = 1024;

impl Setup {
    /// `None`: nothing is traced.
    pub fn of(telemetry: &Telemetry, env: &Environment) -> Option<Self> {
        let config = asked(telemetry, env)?;
        let file = Asked {
            url: config.otlp.as_ref(),
            protocol: config.protocol,
            headers: &config.headers,
        };
        let mut setup = Self {
            sample: config.sample,
            sample_rules: false,
            parent: config.parent,
            keep: config.keep.clone(),
            slow: config.slow,
            propagate: propagators(env).unwrap_or_else(|| config.propagate.clone()),
            value_max: [
                "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            ]
            .into_iter()
            .find_map(|name| env.number(name))
            .unwrap_or(VALUE)
            .min(VALUE_MAX),
            export: Export {
                target: Target::of("TRACES", file, env),
                batch: Batch::of(env),
                resource: Resource::of(&telemetry.service_name, env),
            },
        };
        setup.sampler(env);
        Some(setup)
    }

    /// Says once what holds.
    pub fn announce(&self) {
        let target = &self.export.target;
        tracing::info!(
            collector = target.url,
            protocol = %target.protocol,
            sample = %self.sample,
            parent = %self.parent,
            keep = listed(&self.keep),
            slow = %Lasting(self.slow),
            propagate = listed(&self.propagate),
            service = self.export.resource.get("service.name"),
            queue = self.export.batch.queue,
            batch = self.export.batch.size,
            "traces"
        );
    }

    /// `OTEL_TRACES_SAMPLER`. Those that are not based on the parent believe nobody.
    fn sampler(&mut self, env: &Environment) {
        let Some(name) = env.text("OTEL_TRACES_SAMPLER") else {
            return;
        };
        let (based, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name.as_str()),
        };
        let sample = match kind {
            "always_on" => Percent::ALL,
            "always_off" => Percent(0),
            "traceidratio" => {
                let ratio = env.parsed("OTEL_TRACES_SAMPLER_ARG", ratio);
                ratio.unwrap_or(Percent::ALL)
            }
            _ => {
                return env.complain(format!(
                    "OTEL_TRACES_SAMPLER={name} is not known, and ignored"
                ));
            }
        };
        self.sample = sample;
        self.sample_rules = true;
        if !based {
            self.parent = Parent::Nobody;
        }
        if kind == "always_off" {
            self.keep.clear();
        }
    }
}

/// What is wished for, if anything is.
fn asked(telemetry: &Telemetry, env: &Environment) -> Option<Traces> {
    if env.flag("OTEL_SDK_DISABLED") {
        return None;
    }
    let named = match env.text("OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => return None,
        Some("otlp") => true,
        Some(other) => {
            env.complain(format!(
                "OTEL_TRACES_EXPORTER={other}: only otlp and none are known"
            ));
            false
        }
        None => false,
    };
    let named = named || env.otlp("TRACES", "ENDPOINT").is_some();
    match &telemetry.traces {
        Some(traces) => Some(traces.clone()),
        None => named.then(Traces::default),
    }
}

impl PushSetup {
    /// `None`: metrics are only scraped.
    pub fn of(telemetry: &Telemetry, env: &Environment) -> Option<Self> {
        if env.flag("OTEL_SDK_DISABLED") {
            return None;
        }
        // `prometheus` is what is there anyway.
        let named = env.text("OTEL_METRICS_EXPORTER");
        let named: Option<Vec<&str>> = named
            .as_deref()
            .map(|names| names.split(',').map(str::trim).collect());
        let config = match (&telemetry.metrics, named) {
            (_, Some(names)) if names.contains(&"otlp") => {
                telemetry.metrics.clone().unwrap_or_default()
            }
            (_, Some(names)) if names.contains(&"none") => return None,
            (Some(config), _) => config.clone(),
            (None, _) => return None,
        };
        let file = Asked {
            url: config.otlp.as_ref(),
            protocol: config.protocol,
            headers: &config.headers,
        };
        Some(Self {
            every: env
                .millis("OTEL_METRIC_EXPORT_INTERVAL")
                .unwrap_or(config.every),
            timeout: env
                .millis("OTEL_METRIC_EXPORT_TIMEOUT")
                .unwrap_or(Duration::from_secs(30)),
            target: Target::of("METRICS", file, env),
            resource: Resource::of(&telemetry.service_name, env),
        })
    }
}

impl PushSetup {
    /// As [`of`](Self::of), with the variables of this process; what is wrong with them is said when
    /// something changes.
    pub fn from_environment(telemetry: &Telemetry, previous: Option<&Self>) -> Option<Self> {
        let env = Environment::new(&crate::config::environment);
        let setup = Self::of(telemetry, &env);
        let changed = setup.as_ref() != previous;
        for wrong in env.wrong().iter().filter(|_| changed) {
            tracing::warn!("{wrong}");
        }
        setup
    }

    /// Says once what holds.
    pub fn announce(&self) {
        tracing::info!(
            collector = self.target.url,
            protocol = %self.target.protocol,
            every = %Lasting(self.every),
            service = self.resource.get("service.name"),
            "metrics are pushed"
        );
    }
}

/// Words as a list.
fn listed(words: &[impl ToString]) -> String {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    words.join(", ")
}

fn ratio(text: &str) -> Option<Percent> {
    let ratio: f64 = text.parse().ok()?;
    (0.0..=1.0)
        .contains(&ratio)
        .then(|| Percent((ratio * f64::from(Percent::ALL.0)).round() as u16))
}

fn propagators(env: &Environment) -> Option<Vec<Propagator>> {
    let text = env.text("OTEL_PROPAGATORS")?;
    let known = text.split(',').filter_map(|name| match name.trim() {
        "tracecontext" => Some(Propagator::Tracecontext),
        "baggage" => Some(Propagator::Baggage),
        "b3" => Some(Propagator::B3),
        "b3multi" => Some(Propagator::B3Multi),
        "none" | "" => None,
        other => {
            env.complain(format!(
                "OTEL_PROPAGATORS names {other}, which is not known"
            ));
            None
        }
    });
    Some(known.collect())
}

impl Batch {
    fn of(env: &Environment) -> Self {
        let queue = env.number("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(2048);
        let queue = queue.clamp(1, QUEUE_MAX);
        let size = env.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(512);
        let millis = |name, usual| env.millis(name).unwrap_or(Duration::from_millis(usual));
        Self {
            queue,
            size: size.clamp(1, queue),
            delay: millis("OTEL_BSP_SCHEDULE_DELAY", 5_000),
            timeout: millis("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
        }
    }
}

#[cfg(test)]
mod tests;
