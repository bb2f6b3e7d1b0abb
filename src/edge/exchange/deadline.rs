//! Deadlines of an exchange, and whose fault it is when a time is up. The answer, the reason in the
//! log and another try follow from that, and so does what the breaker, the watch over endpoints and
//! the pool of shared connections are told of the upstream.

use super::context::RequestContext;
use crate::edge::filters::grpc;
use crate::edge::rejection::Rejection;
use crate::reason::Reason::{ClientClosed, RequestTimeout, UpstreamTimeout};
use http::HeaderMap;
use std::time::Instant;

/// Who has set a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The client, by `grpc-timeout`.
    Client,
    /// The route, by `timeouts.request`.
    Route,
    /// The service, by `retry.per_try`.
    Try,
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A part of the request's body.
    Body,
    /// The client, which has to take what it was sent.
    Client,
    Upstream,
}

/// Which time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// That of the whole exchange, spent on waiting for the upstream.
    Request,
    /// That of one try, likewise.
    Try,
    /// The upstream was silent for too long.
    Upstream,
    /// The client does not want to wait for longer.
    Caller,
    /// The client did not send its body.
    Body,
    /// The client sent its body too slowly.
    BodyRate,
    /// The client took nothing of the answer, or too little in all.
    Client,
}

impl Limit {
    /// Returns which time is up when this deadline has passed. A client that holds the exchange up
    /// is at fault whichever deadline it was. One that may rest within its body (a call of gRPC)
    /// does not hold it up by sending nothing: the upstream could answer all the same. What the
    /// client itself does not want to wait for says nothing about the upstream.
    pub const fn passed(self, awaited: Awaited, client_may_rest: bool) -> Late {
        match (awaited, self) {
            (Awaited::Client, _) => Late::Client,
            (Awaited::Body, _) if !client_may_rest => Late::Body,
            (Awaited::Body | Awaited::Upstream, Self::Client) => Late::Caller,
            (Awaited::Body | Awaited::Upstream, Self::Route) => Late::Request,
            (Awaited::Body | Awaited::Upstream, Self::Try) => Late::Try,
        }
    }
}

impl Late {
    /// Whether the upstream is at fault. Only then the try counts as failed.
    pub const fn is_upstreams_fault(self) -> bool {
        matches!(self, Self::Request | Self::Try | Self::Upstream)
    }
}

/// Makes the rejection of a request whose time is up.
impl From<Late> for Rejection {
    fn from(late: Late) -> Self {
        let (reason, detail) = match late {
            Late::Request => (UpstreamTimeout, "the request took too long"),
            Late::Try | Late::Upstream => (UpstreamTimeout, "the upstream took too long"),
            Late::Caller => (RequestTimeout, "the client's own deadline has passed"),
            Late::Body => (RequestTimeout, "the request body took too long"),
            Late::BodyRate => (RequestTimeout, "the request body comes too slowly"),
            Late::Client => (ClientClosed, "the client took the answer too slowly"),
        };
        Self::new(reason, detail)
    }
}

/// A time that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    pub at: Instant,
    pub limit: Limit,
}

impl Deadline {
    /// Returns the earlier one of two.
    pub fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let both = one.into_iter().chain(other);
        both.min_by_key(|deadline| deadline.at)
    }
}

/// When the whole of an exchange must be over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadlines {
    route: Option<Instant>,
    client: Option<Instant>,
}

impl Deadlines {
    /// Returns those of a request, by its route's settings and the wish of its client: a client of
    /// gRPC says how long it will wait.
    pub fn of(headers: &HeaderMap, context: &RequestContext) -> Self {
        let route = context.route().and_then(|route| route.request_timeout);
        let client = context.call.and_then(|_| grpc::timeout(headers));
        let at = |limit| context.started.checked_add(limit);
        Self {
            route: route.and_then(at),
            client: client.and_then(at),
        }
    }

    /// Returns the deadline of the client itself. It is for all of a call, while that of the route
    /// is for the head alone where the answer is a stream.
    pub const fn of_client(self) -> Option<Instant> {
        self.client
    }

    /// Returns the one that comes first.
    pub fn first(self) -> Option<Deadline> {
        let deadline = |at, limit| Some(Deadline { at: at?, limit });
        Deadline::earlier(
            deadline(self.route, Limit::Route),
            deadline(self.client, Limit::Client),
        )
    }

    /// Returns which time is up if one is, while no try is under way.
    pub fn passed(self, now: Instant) -> Option<Late> {
        let first = self.first().filter(|first| first.at <= now)?;
        Some(first.limit.passed(Awaited::Upstream, false))
    }
}

#[cfg(test)]
mod tests {
    use super::{Awaited, Late, Limit};

    #[test]
    fn a_deadline_is_the_fault_of_the_side_that_was_waited_for() {
        use Awaited::{Body, Client, Upstream};
        let limits = [Limit::Client, Limit::Route, Limit::Try];
        for (awaited, rests, late) in [
            (Client, false, [Late::Client; 3]),
            (Client, true, [Late::Client; 3]),
            (Body, false, [Late::Body; 3]),
            (Body, true, [Late::Caller, Late::Request, Late::Try]),
            (Upstream, false, [Late::Caller, Late::Request, Late::Try]),
            (Upstream, true, [Late::Caller, Late::Request, Late::Try]),
        ] {
            let passed = limits.map(|limit| limit.passed(awaited, rests));
            assert_eq!(passed, late, "{awaited:?}, may rest: {rests}");
        }
        for (late, faulty) in [
            (Late::Request, true),
            (Late::Try, true),
            (Late::Upstream, true),
            (Late::Caller, false),
            (Late::Body, false),
            (Late::BodyRate, false),
            (Late::Client, false),
        ] {
            assert_eq!(late.is_upstreams_fault(), faulty, "{late:?}");
        }
    }
}
