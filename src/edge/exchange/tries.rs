//! The tries of a request: where it is being sent and has been, and how each try ended.

use crate::config::breaker::Failures;
use crate::policy::breaker::Permit;
use crate::routing::{Fallbacks, ServiceId, VersionId};
use crate::telemetry::trace::{Context as TraceContext, Id, SpanId};
use crate::upstream::cause::{Cause, Kind};
use crate::upstream::{EndpointState, InFlight};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the request is being sent, and has been.
#[derive(Debug, Default)]
pub struct Attempt {
    pub target: Option<(ServiceId, VersionId)>,
    /// Endpoints of the target's version that this request has tried, by their serials.
    pub tried: SmallVec<[u64; 4]>,
    /// Tries in all, over all versions.
    pub number: u8,
    /// An upstream has said once that it had not processed the request.
    pub unprocessed: bool,
    /// The current or last try, with its endpoint.
    pub in_flight: Option<InFlight>,
    /// The key of the hashing balancers; the same for all tries.
    pub hash: Option<u64>,
    /// The endpoint that a sticky client was given before.
    pub sticky: Option<u64>,
    pub permit: Option<Permit>,
    /// How the try ended, as far as that is known.
    pub verdict: Option<Ended>,
    /// The status of a call of gRPC, as the upstream's answer says.
    pub grpc: Option<u8>,
    /// How long the head of the answer took.
    pub head_took: Option<Duration>,
    pub since: Option<Instant>,
    /// Time spent waiting for upstreams, over all tries.
    pub upstream_time: Duration,
    /// The other versions that the request may still meet.
    pub fallbacks: Fallbacks,
}

impl Attempt {
    /// Returns the endpoint of the current or last try.
    pub fn endpoint(&self) -> Option<&Arc<EndpointState>> {
        self.in_flight.as_ref().map(InFlight::endpoint)
    }
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With a head of an answer; gRPC may say more in it.
    Answered {
        status: u16,
        grpc: Option<u8>,
    },
    /// No connection, or one that broke.
    Broken(Kind),
    TimedOut,
}

impl Ended {
    /// Whether the try has failed, by the rules of a breaker.
    pub fn fails(self, failures: &Failures) -> bool {
        match self {
            Self::Answered { status, grpc } => {
                failures.status(status) || grpc.is_some_and(|grpc| failures.grpc.contains(&grpc))
            }
            Self::Broken(_) => failures.resets,
            Self::TimedOut => failures.timeouts,
        }
    }

    /// Why the endpoint is to blame, if it is.
    pub fn fault(self) -> Option<Cause> {
        match self {
            Self::Answered { status, .. } if status >= 500 => Some(Cause::http(status)),
            Self::Answered { grpc, .. } => grpc.filter(|grpc| *grpc == 14).map(Cause::grpc),
            Self::Broken(kind) => Some(kind.into()),
            Self::TimedOut => Some(Kind::Timeout.into()),
        }
    }
}

/// The ids of a request, and its tries so far.
#[derive(Debug, Default)]
pub struct RequestTrace {
    /// `None`: this generation traces nothing, or the request has not been looked at.
    pub context: Option<TraceContext>,
    pub steps: SmallVec<[Step; 1]>,
}

/// One try.
#[derive(Debug)]
pub struct Step {
    pub span: SpanId,
    pub began: Instant,
    pub took: Option<Duration>,
    pub target: Option<(ServiceId, VersionId)>,
    pub endpoint: Option<Arc<EndpointState>>,
    pub status: u16,
    pub ended: Option<Ended>,
}

impl RequestTrace {
    /// Notes a try that begins.
    pub fn tries(&mut self, began: Instant, attempt: &Attempt) {
        if self.context.is_some() {
            self.steps.push(Step {
                span: SpanId::fresh(),
                began,
                took: None,
                target: attempt.target,
                endpoint: attempt.endpoint().cloned(),
                status: 0,
                ended: None,
            });
        }
    }

    /// Notes the head of its answer.
    pub fn answered(&mut self, status: u16, ended: Option<Ended>) {
        if let Some(step) = self.steps.last_mut() {
            step.status = status;
            step.ended = ended;
        }
    }

    /// Notes its end; what is known of it by now counts more than what the head said.
    pub fn ended(&mut self, took: Duration, ended: Option<Ended>) {
        if let Some(step) = self.steps.last_mut() {
            step.took = Some(took);
            step.ended = ended.or(step.ended);
        }
    }
}
