//! One try: an endpoint, a connection to it, the request, and the answer to its end.

use super::clock::{Clock, Wait, flush, unless_gone};
use super::context::{Answer, RequestContext};
use super::deadline::{Deadline, Late, Limit};
use super::endpoint_selection::{choose, stale_key};
use super::failure::Failure;
use super::pump::{Downloading, Pump};
use super::request_body::Upload;
use super::response_body::ResponseFilters;
use super::retry;
use super::shared::Shared;
use super::upstream::{Connected, UpstreamStream, peer};
use super::{mirroring, request_headers, response_headers};
use crate::config::service::UpstreamHttp;
use crate::edge::filters::compress;
use crate::edge::filters::grpc::{self, Bridge, Call};
use crate::edge::filters::stale_response::Keeping;
use crate::edge::headers::is_endless;
use crate::edge::message::{Downstream, Length, Request, Upstream, UpstreamError};
use crate::edge::transport::Peer;
use crate::policy::last_good::Reading;
use http::{Method, StatusCode, header, request, response};
use std::time::{Duration, Instant};

/// Most interim answers to one try. Each ends a silence of the upstream.
const INTERIM_MAX: u32 = 100;
/// Most bytes that all of them have. They are queued for the client without being held up, since
/// the final answer must not wait for a client that takes none of them.
const INTERIM_BYTES_MAX: usize = 256 * 1024;

/// Longest wait for the end of an answer to `HEAD` whose head has come. An upstream of HTTP/2 may
/// send it in a frame of its own.
const HEAD_END: Duration = Duration::from_millis(250);

/// Makes one try to its end.
///
/// # Errors
/// Whatever has ended it.
pub async fn run<D: Downstream>(
    request: &Request,
    downstream: &mut D,
    context: &mut RequestContext,
    upload: &mut Upload,
    shared: &Shared,
) -> Result<(), Failure> {
    let endpoint = choose(&request.head, context).map_err(Failure::Rejected)?;
    let peer = peer(&endpoint, request.websocket, context).map_err(Failure::Rejected)?;
    let mut clock = clock(request, context);
    let connected = connect(request, downstream, context, upload, &peer, shared).await?;
    let Connected {
        mut upstream,
        reused,
    } = connected;
    // Asked for now: a request that no upstream takes is refused without its body.
    upload.expect_continue(request, downstream)?;
    let exchanged = exchange(
        request,
        downstream,
        context,
        upload,
        &mut upstream,
        &mut clock,
    )
    .await;
    match exchanged {
        Ok(()) => {
            shared.connections.release(upstream, &peer);
            Ok(())
        }
        Err(Failure::Late(late)) => {
            if late.is_upstreams_fault() {
                upstream.suspect();
            }
            Err(Failure::Late(late))
        }
        Err(Failure::Upstream(error)) => Err(match reused && error == UpstreamError::Closed {
            true => Failure::Reused,
            false => Failure::Upstream(error),
        }),
        Err(failure) => Err(failure),
    }
}

/// Sets the times of a try.
fn clock(request: &Request, context: &RequestContext) -> Clock {
    let mut clock = Clock::new(&request.limits);
    let per_try = context
        .service()
        .and_then(|service| service.retry.per_try)
        .map(|limit| Deadline {
            at: Instant::now() + limit,
            limit: Limit::Try,
        });
    clock.until = Deadline::earlier(context.deadlines.first(), per_try);
    clock.idle = context.route().map(|route| route.idle_timeout);
    if context.call == Some(Call::Grpc) || request.websocket {
        clock.lets_client_rest();
    }
    clock
}

/// Connects, unless the client leaves, or time is up, before there is a connection.
async fn connect<D: Downstream>(
    request: &Request,
    downstream: &mut D,
    context: &RequestContext,
    upload: &Upload,
    peer: &Peer,
    shared: &Shared,
) -> Result<Connected, Failure> {
    // Losing these to a connection that has just been closed costs another try, nothing else.
    let harmless = request.head.method.is_idempotent() && upload.is_empty();
    let connecting = shared.connections.connect(peer, !harmless, context);
    let connecting = retry::within(context.deadlines.first(), connecting);
    unless_gone(downstream, connecting).await?
}

async fn exchange<D: Downstream>(
    request: &Request,
    downstream: &mut D,
    context: &mut RequestContext,
    upload: &mut Upload,
    upstream: &mut UpstreamStream,
    clock: &mut Clock,
) -> Result<(), Failure> {
    let bridge = send_head(request, context, upload, upstream)?;
    let mut pump = Pump {
        downstream,
        upstream,
        upload,
        clock,
        bridge,
        rests: context.call == Some(Call::Grpc) || request.websocket,
        downloading: Downloading::Upstream,
        context,
    };
    let (head, length) = final_head(request, &mut pump).await?;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return tunnel(request, head, &mut pump).await;
    }
    if matches!(head.status.as_u16(), 204 | 304) {
        pump.ends_bare().await?;
    }
    let mut filters = answer_head(request, head, length, &mut pump)?;
    // The client has all of the answer, so that nothing is lost if the upstream does not end it.
    let is_done = request.head.method == Method::HEAD && pump.upload.is_sent();
    if is_done {
        let end = Deadline {
            at: Instant::now() + HEAD_END,
            limit: Limit::Try,
        };
        pump.clock.until = Deadline::earlier(pump.clock.until, Some(end));
    }
    match pump.bodies(&mut filters, false).await {
        Err(Failure::Late(Late::Try)) if is_done => Ok(()),
        ended => ended,
    }
}

/// Sends the head of the request. Returns the bridge of a gRPC-Web call.
fn send_head(
    request: &Request,
    context: &mut RequestContext,
    upload: &mut Upload,
    upstream: &mut UpstreamStream,
) -> Result<Option<Box<Bridge>>, Failure> {
    upload.restart();
    let mut head = request_headers::outgoing(&request.head, request.websocket, context);
    let mut length = request.body;
    if let Some(deadline) = context.deadlines.of_client() {
        grpc::pass_deadline(&mut head.headers, deadline);
    }
    let bridge = bridge(&mut head, context);
    let resized = bridge.is_some() || context.hooks.resized;
    if resized && length != Length::None {
        length = Length::Unknown;
        head.headers.remove(header::CONTENT_LENGTH);
    }
    mirroring::begin(request, &head, context);
    upstream.send_head(&head, length)?;
    Ok(bridge.map(Box::new))
}

/// Bridges a call of gRPC-Web to a version that may speak HTTP/2. One that speaks HTTP/1 speaks
/// gRPC-Web itself, or nothing of the kind.
fn bridge(head: &mut request::Parts, context: &RequestContext) -> Option<Bridge> {
    let speaks = context.version()?.http != UpstreamHttp::H1;
    match context.call == Some(Call::Web) && speaks {
        true => Bridge::begin(&mut head.headers),
        false => None,
    }
}

/// Waits for the head of the final answer, and passes interim ones on.
async fn final_head<D: Downstream>(
    request: &Request,
    pump: &mut Pump<'_, D>,
) -> Result<(response::Parts, Length), Failure> {
    let (mut interim, mut interim_bytes) = (0, 0);
    loop {
        let (mut head, length) = pump.head().await?;
        response_headers::check(&head).map_err(Failure::malformed)?;
        if response_headers::is_interim(head.status) {
            interim += 1;
            interim_bytes += response_headers::size(&head);
            if interim > INTERIM_MAX || interim_bytes > INTERIM_BYTES_MAX {
                return Err(Failure::malformed("there are too many interim answers"));
            }
            response_headers::clean(&mut head, pump.context);
            response_headers::stamp(&mut head, pump.context);
            // Others were not asked for by the gateway, which passes them on (RFC 9110, section 15.2).
            if head.status != StatusCode::CONTINUE || !pump.upload.is_continued() {
                pump.downstream.send_interim(head)?;
            }
            pump.clock.upstream = Wait::default();
            continue;
        }
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !request.websocket {
            // What follows would be read as an answer to another request.
            return Err(Failure::malformed("the upstream switched protocols"));
        }
        if request.connects && head.status.is_success() {
            return Err(Failure::malformed(
                "the upstream did not switch to WebSocket",
            ));
        }
        pump.context.endless = is_endless(head.status, &head.headers);
        pump.context.answered(head.status.as_u16(), &head.headers);
        if retry::may_mend(request, pump.upload, pump.context, head.status.as_u16()) {
            return Err(Failure::Status);
        }
        // A try's own limit ends with its head; of a stream, that of the whole exchange does too.
        let whole = pump.context.deadlines.first();
        pump.clock.until = whole.filter(|_| !pump.context.endless);
        return Ok((head, length));
    }
}

/// Sends the head of the answer to the client. Returns the filters of its body.
fn answer_head<D: Downstream>(
    request: &Request,
    mut head: response::Parts,
    mut length: Length,
    pump: &mut Pump<'_, D>,
) -> Result<ResponseFilters, Failure> {
    let goes_on = !pump.upload.is_sent() && pump.wants_rest(head.status);
    if goes_on && pump.upstream.reads_on() {
        pump.downstream.reads_rest();
    }
    let context = &mut *pump.context;
    mirroring::answered(&head, context);
    response_headers::clean(&mut head, context);
    let keeping = keep(request, &head, context);
    response_headers::stick(&mut head.headers, context);
    response_headers::stamp(&mut head, context);
    let asked = &request.head;
    if let Some(bridge) = &mut pump.bridge {
        bridge.answer_head(&mut head.headers);
    }
    let bridging = pump
        .bridge
        .as_ref()
        .is_some_and(|bridge| bridge.is_bridging());
    let rules = context.route().and_then(|route| route.compress.as_deref());
    let encoder = rules.and_then(|rules| compress::begin(asked, &mut head, rules));
    let bare = asked.method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
    let resized = !head.headers.contains_key(header::CONTENT_LENGTH);
    if bare {
        length = Length::None;
    } else if resized && length != Length::None || bridging {
        length = Length::Unknown;
    }
    context.answer = Some(Answer::of(head.status, &head.headers));
    pump.downstream.send_head(head, length)?;
    Ok(ResponseFilters { keeping, encoder })
}

/// Begins to keep an answer where its service may need it one day. Its head is the upstream's
/// without the fields that were for the gateway alone, and without those that the gateway adds.
fn keep(request: &Request, head: &response::Parts, context: &RequestContext) -> Keeping {
    let wanted = context
        .service()
        .is_some_and(|service| service.last_good.is_some());
    if !wanted || request.head.method != Method::GET {
        return Keeping::default();
    }
    let waited = context.attempt.head_took.unwrap_or_default();
    Keeping::new(stale_key(&request.head, context).and_then(|key| {
        let asked = &request.head.headers;
        Reading::begin(key, asked, head.status, &head.headers, waited)
    }))
}

/// Passes on what both sides say after they have switched to WebSocket.
async fn tunnel<D: Downstream>(
    request: &Request,
    mut head: response::Parts,
    pump: &mut Pump<'_, D>,
) -> Result<(), Failure> {
    response_headers::clean(&mut head, pump.context);
    response_headers::stamp(&mut head, pump.context);
    pump.context.answer = Some(Answer::of(head.status, &head.headers));
    pump.downstream.switch(head)?;
    flush(pump.downstream, &request.limits).await?;
    pump.upload.switch();
    pump.bodies(&mut ResponseFilters::default(), true).await
}
