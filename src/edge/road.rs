//! The road: the hooks of the proxy core in the order a request meets them.
//!
//! 1. pin one snapshot
//! 2. admit: who asks for what, in normal form
//! 3. decide: route, color, version
//! 4. policies
//! 5. choose an endpoint (again on each retry)
//! 6. dress the request
//! 7. dress the answer
//! 8. refuse what failed
//! 9. record, exactly once

use super::context::{Journey, Refusal};
use super::head::Refused;
use super::{
    admit, answer, beside, compress, failure, forward, grpc, mirror, old, plugins, policies,
    record, refusal, respond, returning, target, uploads, watch,
};
use crate::reason::Reason;
use crate::routing::Outcome;
use crate::snapshot::Current;
use crate::telemetry::Metrics;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Serves requests by the snapshot that is live when they arrive.
pub struct Road {
    current: Current,
    metrics: Arc<Metrics>,
}

impl Road {
    pub fn new(current: Current, metrics: Arc<Metrics>) -> Self {
        Self { current, metrics }
    }

    /// Runs one step; a panic in it costs this request alone.
    fn shield<T>(
        &self,
        journey: &mut Journey,
        step: impl FnOnce(&mut Journey) -> Result<T>,
    ) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(|| step(journey))) {
            Ok(result) => result,
            Err(_) => {
                self.metrics.panics.fetch_add(1, Relaxed);
                let refusal = Refusal::new(Reason::InternalError, "the gateway failed");
                Err(refused(journey, refusal))
            }
        }
    }
}

/// Notes the refusal and turns back; `fail_to_proxy` answers.
fn refused(journey: &mut Journey, refusal: Refusal) -> Box<Error> {
    let status = refusal.status;
    journey.refuse(refusal);
    Error::new(ErrorType::HTTPStatus(status))
}

/// Turns back because of what an upstream has said.
fn broken(journey: &mut Journey, what: &'static str) -> Box<Error> {
    refused(journey, Refusal::new(Reason::UpstreamProtocol, what))
}

#[async_trait]
impl ProxyHttp for Road {
    // Boxed, since the core moves it, with all that it holds of a request, more than once.
    type CTX = Box<Journey>;

    fn new_ctx(&self) -> Box<Journey> {
        Box::new(Journey::begin(self.current.load_full(), &self.metrics))
    }

    /// None: compression and the like are not this gateway's default.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        journey: &mut Box<Journey>,
    ) -> Result<bool> {
        if session.req_header().version == Version::HTTP_10 {
            // Whoever speaks it knows of no interim answers (RFC 9110, section 15.2).
            session.set_ignore_info_resp(true);
            old::answer_without_chunks(session);
        }
        let found = self.shield(journey, |journey| {
            let found = admit::request(session, journey);
            let found = found.and_then(|found| match judged(session) {
                Some(refused) => Err(refused.into()),
                None => Ok(found),
            });
            found.map_err(|refusal| refused(journey, refusal))
        })?;
        let early = plugins::early(session, journey, &found).await;
        early.map_err(|refusal| refused(journey, refusal))?;
        let outcome = policies::enforce(session, journey, found).await;
        let outcome = outcome.map_err(|refusal| refused(journey, refusal))?;
        let outcome = plugins::request_head(session, journey, outcome).await;
        match outcome.map_err(|refusal| refused(journey, refusal))? {
            _ if session.req_header().raw_path() == b"*" => {
                respond::to_options(session, journey).await?;
                Ok(true)
            }
            _ if forward::ends_here(session.req_header()) => {
                if session.req_header().method == Method::TRACE {
                    let what = "the request may go no further, and nothing is echoed here";
                    let refusal = Refusal::new(Reason::MethodNotAllowed, what);
                    return Err(refused(journey, refusal));
                }
                respond::to_options(session, journey).await?;
                Ok(true)
            }
            Outcome::Refuse(Reason::BadRequest) => {
                let refusal = admit::ambiguous_path(session.req_header(), journey);
                Err(refused(journey, refusal))
            }
            Outcome::Refuse(reason) => Err(refused(journey, reason.into())),
            Outcome::Respond | Outcome::Redirect => {
                match respond::from_route(session, journey).await? {
                    None => Ok(true),
                    Some(refusal) => Err(refused(journey, refusal)),
                }
            }
            Outcome::Upstream { service, version } => {
                journey.attempt.target = Some((service, version));
                // Not before plugins have had their say.
                journey.call = grpc::begin(session, journey);
                journey.deadline = target::deadline(session, journey);
                let fits = uploads::check_length(session, journey);
                fits.map_err(|refusal| refused(journey, refusal))?;
                uploads::expect_continue(session).await?;
                journey.proxied = true;
                Ok(false)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        journey: &mut Box<Journey>,
    ) -> Result<Box<HttpPeer>> {
        if let Some(pause) = target::backoff(journey) {
            tokio::time::sleep(pause).await;
        }
        let peer = self.shield(journey, |journey| {
            target::choose(session, journey).map_err(|refusal| refused(journey, refusal))
        });
        watch::begin(session, journey);
        peer
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        journey: &mut Box<Journey>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        failure::on_connect(journey, &mut error);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        journey: &mut Box<Journey>,
    ) -> Result<()> {
        if !failure::speaks_as_told(head, journey) {
            return Err(broken(journey, "the upstream does not speak HTTP/2"));
        }
        self.shield(journey, |journey| {
            forward::outgoing(session, head, journey)?;
            plugins::resize(head, journey)?;
            grpc::pass_deadline(head, journey)?;
            journey.bridge = grpc::Bridge::begin(head, journey)?.map(Box::new);
            mirror::copy(session, head, journey);
            Ok(())
        })
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        journey: &mut Box<Journey>,
    ) -> Result<()> {
        journey.count_request_in(body.as_ref().map_or(0, Bytes::len));
        // The client's doing, whoever finds it: what else failed while a body is sent would be the
        // upstream's, whose answer the core would wait for.
        let checked = uploads::piece(journey, body, end);
        checked.map_err(|refusal| refused(journey, refusal).into_down())?;
        journey.count_request_out(body.as_ref().map_or(0, Bytes::len));
        watch::sends(session, journey, end);
        mirror::copy_body(body.as_ref(), end, journey);
        // An empty last chunk would be written as a second end of the chunked body. Any other that is
        // empty is half of a chunk's head: without it, the core takes this for the end.
        if end {
            body.take_if(|chunk| chunk.is_empty());
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        journey: &mut Box<Journey>,
    ) -> Result<()> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            // Nobody asked: what follows would be read as an answer to somebody else.
            return Err(broken(journey, "the upstream switched protocols"));
        }
        if let Err(what) = returning::check(head) {
            return Err(broken(journey, what));
        }
        if returning::is_interim(head) {
            watch::hears(session);
            return self.shield(journey, |journey| {
                returning::clean(head, false, journey)?;
                returning::stamp(head, journey)
            });
        }
        journey.endless = watch::is_endless(head.status, &head.headers);
        journey.bare = matches!(head.status.as_u16(), 204 | 304);
        journey.answered(head);
        if failure::on_status(session, journey, head.status.as_u16()) {
            return Err(Error::new_up(failure::ANOTHER_TRY));
        }
        watch::answered(session, journey);
        answer::announce_end(session);
        let old = session.req_header().version == Version::HTTP_10;
        self.shield(journey, |journey| {
            mirror::answered(head, journey);
            returning::clean(head, old, journey)?;
            beside::keep(session, head, journey);
            returning::stick(head, journey)?;
            returning::stamp(head, journey)?;
            plugins::resize_answer(session.req_header(), head, journey)?;
            if let Some(bridge) = &mut journey.bridge {
                bridge.answer_head(head, session.req_header().version)?;
            }
            compress::begin(session, head, journey)?;
            if old && !head.headers.contains_key(header::CONTENT_LENGTH) {
                // The end of the connection is the end of the body, and the head says so.
                session.set_keepalive(None);
            }
            Ok(())
        })
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        fd: std::os::fd::RawFd,
        _: Option<&Digest>,
        journey: &mut Box<Journey>,
    ) -> Result<()> {
        // HTTP/2 connections are shared, and watched over by whoever drives them.
        let shared = peer.options.alpn.get_max_http_version() > 1;
        let stale = reused && !shared && !failure::is_harmless(session) && !failure::is_quiet(fd);
        journey.connected(reused, stale);
        if !reused {
            watch::hears(session); // connecting is not being silent
        }
        (!stale)
            .then_some(())
            .ok_or_else(|| Error::new_up(failure::STALE))
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        journey: &mut Box<Journey>,
    ) -> Result<Option<Duration>> {
        if journey.bare && body.as_ref().is_some_and(|body| !body.is_empty()) {
            // Over HTTP/2 there may be (RFC 9113, section 8.1.1).
            return Err(broken(
                journey,
                "the answer has content that its status has not",
            ));
        }
        journey.count_response_in(body.as_ref().map_or(0, Bytes::len));
        mirror::answered_body(body.as_ref(), journey);
        if !watch::answers(session, journey) && !end {
            let refusal = Refusal::new(Reason::UpstreamTimeout, "the answer took too long");
            return Err(refused(journey, refusal));
        }
        let passed = plugins::response_body(journey, body, end);
        passed.map_err(|refusal| refused(journey, refusal))?;
        beside::keep_body(body.as_ref(), end, journey);
        Ok(None)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        journey: &mut Box<Journey>,
    ) -> Result<Option<Duration>> {
        journey.count_response_out(session.body_bytes_sent());
        if let Some(bridge) = &journey.bridge {
            bridge.answer_piece(body);
        }
        match compress::piece(body, end, journey) {
            Ok(()) => Ok(None),
            Err(_) => {
                let what = Refusal::new(Reason::InternalError, "the answer cannot be compressed");
                Err(refused(journey, what))
            }
        }
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        journey: &mut Box<Journey>,
    ) -> Result<Option<Bytes>> {
        journey.ended_with(trailers);
        compress::trailers(trailers, journey);
        Ok(journey
            .bridge
            .as_ref()
            .and_then(|bridge| bridge.trailers(trailers)))
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        journey: &mut Box<Journey>,
        reused: bool,
    ) -> Box<Error> {
        failure::on_exchange(session, journey, &mut error, reused);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        journey: &mut Box<Journey>,
    ) -> FailToProxy {
        let refusal = failure::reason(journey, error);
        journey.refuse(refusal.clone());
        tracing::debug!(%error, reason = refusal.reason.name(), "request failed");
        let unanswered = session.response_written().is_none_or(returning::is_interim);
        let keeps = failure::keeps_client(session, error, refusal.reason);
        if journey.proxied && !keeps {
            session.set_keepalive(None);
        }
        if unanswered && refusal.reason != Reason::ClientClosed {
            let written = refusal::write(session, journey, &refusal).await;
            if journey.proxied && keeps && written.is_ok() {
                answer::keep_connection(session).await;
            }
        }
        FailToProxy {
            error_code: refusal.status,
            can_reuse_downstream: unanswered,
        }
    }

    /// Failures are told once, by reason, in the access log.
    fn suppress_error_log(&self, _: &Session, _: &Box<Journey>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Journey>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, journey: &mut Box<Journey>) {
        mirror::ended(journey);
        record::request(session, journey);
    }
}

/// Why a request may not go further, as was found before it came here.
fn judged(session: &Session) -> Option<Refused> {
    session.req_header().extensions.get().copied()
}
