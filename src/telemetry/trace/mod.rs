//! Traces: which requests get one, what goes on with them, and how their spans look.
//!
//! A request carries its ids from the start, so that its upstream, its log line and its refusal name
//! the same trace. Spans are made once, at the end, of those requests that were drawn at the start or
//! turned out to be worth it; nothing is allocated for the others.

pub mod context;
mod spans;
pub mod state;

pub use context::{Id, SpanId, TraceId};
pub use spans::{Traced, Try, spans};

use super::Metrics;
use super::otel::environment::Environment;
use super::otel::exporter::Exporter;
use super::otel::setup::Setup;
use crate::config::Config;
use crate::config::traces::{Keep, Parent, Propagator};
use crate::config::units::Percent;
use context::Remote;
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;

/// What a request knows of its trace.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub trace: TraceId,
    /// The client's span.
    pub parent: Option<SpanId>,
    /// The gateway's own span of the whole request.
    pub span: SpanId,
    /// What a believed parent has decided.
    told: Option<bool>,
    /// Against which the share of the route is held.
    draw: u16,
    /// A sound `traceparent` came.
    pub arrived: bool,
}

impl Context {
    /// Whether the request was drawn, at a share.
    pub fn sampled(&self, share: Percent) -> bool {
        self.told.unwrap_or(self.draw < share.0)
    }
}

/// How a request ended, as far as it matters for keeping its trace.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The client got a failure, by HTTP or by gRPC.
    pub failed: bool,
    /// `None`: a stream, whose length says nothing.
    pub took: Option<Duration>,
    /// Another version than its color's had to serve it.
    pub fell_back: bool,
}

/// Decides about traces and hands them on.
#[derive(Debug)]
pub struct Tracer {
    pub setup: Setup,
    /// By route, in the order of the configuration.
    shares: Box<[Percent]>,
    pub exporter: Exporter,
}

impl Tracer {
    /// What a configuration and the `OTEL_*` variables want; the way to the collector goes on as it
    /// is, unless something about it changes.
    ///
    /// # Errors
    /// When certificates for the collector cannot be read.
    pub fn build(
        config: &Config,
        previous: Option<&Self>,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Self>, String> {
        let env = Environment::new(&crate::config::environment);
        let setup = Setup::of(&config.telemetry, &env);
        let changed = setup.as_ref() != previous.map(|previous| &previous.setup);
        for wrong in env.wrong().iter().filter(|_| changed) {
            tracing::warn!("{wrong}");
        }
        let Some(setup) = setup else { return Ok(None) };
        if changed {
            setup.announce();
        }
        let exporter = match previous {
            Some(previous) if previous.setup.export == setup.export => previous.exporter.clone(),
            _ => Exporter::start(&setup.export, metrics.clone())?,
        };
        Ok(Some(Self {
            shares: shares(config, &setup),
            setup,
            exporter,
        }))
    }

    /// Takes up the trace that a request belongs to, or begins one.
    pub fn begin(&self, headers: &HeaderMap, trusted: bool) -> Context {
        let remote = self.remote(headers);
        let believed = match self.setup.parent {
            Parent::Trusted => trusted,
            Parent::Anyone => true,
            Parent::Nobody => false,
        };
        let ids = remote.and_then(|(remote, _)| remote.ids);
        let trace = ids.map_or_else(TraceId::fresh, |(trace, _)| trace);
        // Who chooses the id could choose the draw with it.
        let draw = match ids.is_none() || trusted {
            true => context::draw(trace, Percent::ALL.0),
            false => fastrand::u16(..Percent::ALL.0),
        };
        Context {
            trace,
            parent: ids.map(|(_, span)| span),
            span: SpanId::fresh(),
            told: remote
                .filter(|_| believed)
                .and_then(|(remote, _)| remote.sampled),
            draw,
            arrived: remote.is_some_and(|(_, by)| by == Propagator::Tracecontext),
        }
    }

    fn remote(&self, headers: &HeaderMap) -> Option<(Remote, Propagator)> {
        self.setup.propagate.iter().find_map(|by| {
            let found = match by {
                Propagator::Tracecontext => context::w3c(headers),
                Propagator::B3 => context::b3(headers),
                Propagator::B3Multi => context::b3_multi(headers),
                Propagator::Baggage => None,
            };
            found.map(|found| (found, *by))
        })
    }

    /// The share of a route's requests that is traced; `None`: no route took the request.
    pub fn share(&self, route: Option<u32>) -> Percent {
        let own = route.and_then(|route| self.shares.get(route as usize));
        own.copied().unwrap_or(self.setup.sample)
    }

    /// Whether a request that was not drawn is worth its trace all the same.
    pub fn keeps(&self, end: End) -> bool {
        self.setup.keep.iter().any(|keep| match keep {
            Keep::Errors => end.failed,
            Keep::Slow => end.took.is_some_and(|took| took >= self.setup.slow),
            Keep::Fallbacks => end.fell_back,
        })
    }
}

/// The share of each route. A variable rules them all.
fn shares(config: &Config, setup: &Setup) -> Box<[Percent]> {
    let own = config.telemetry.traces.as_ref();
    let own = own.filter(|_| !setup.sample_rules);
    let own = own.map_or(&[][..], |traces| &traces.routes.0);
    let share = |route| {
        let own = own.iter().find(|(name, _)| name == route);
        own.map_or(setup.sample, |(_, share)| *share)
    };
    match own.is_empty() {
        true => Box::default(),
        false => config.routes.keys().map(share).collect(),
    }
}
