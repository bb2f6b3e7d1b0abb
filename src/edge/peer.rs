//! The connection to an endpoint, as the proxy core wants it described.

use super::context::Journey;
use super::context::Refusal;
use super::fields::is_hop_by_hop;
use super::unhurried;
use crate::config::service::UpstreamHttp;
use crate::reason::Reason;
use crate::upstream::{self, Address, EndpointState};
use http::Version;
use pingora::proxy::Session;
use pingora::upstreams::peer::{ALPN, HttpPeer, HttpUpstreamRequestPolicy};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for a connection where no route says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams at once on one upstream HTTP/2 connection.
const STREAMS_MAX: usize = 100;
/// What an upstream may send ahead on one stream, and on one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Describes the connection for the next try.
///
/// # Errors
/// When the endpoint has no address yet.
pub fn describe(
    session: &mut Session,
    endpoint: &EndpointState,
    journey: &Journey,
) -> Result<HttpPeer, Refusal> {
    let version = journey.version();
    let tls = version.and_then(|version| version.tls.as_deref());
    let name = match tls {
        None => String::new(),
        Some(tls) => tls
            .server_name
            .clone()
            .unwrap_or_else(|| endpoint.host().to_owned()),
    };
    let nowhere = || Refusal::new(Reason::NoHealthyEndpoint, "the endpoint has no address");
    let mut peer = match endpoint.place() {
        Some(Address::Tcp(address)) => HttpPeer::new(address, tls.is_some(), name),
        Some(Address::Unix(path)) => {
            let path = path.to_str().ok_or_else(nowhere)?;
            HttpPeer::new_uds(path, tls.is_some(), name).map_err(|_| nowhere())?
        }
        None => return Err(nowhere()),
    };
    if let Some(tls) = tls {
        peer.options.ca.clone_from(&tls.ca);
        peer.client_cert_key.clone_from(&tls.client);
        peer.options.verify_cert = tls.verify;
        peer.options.verify_hostname = tls.verify;
        peer.group_key = tls.rules;
    }
    if let Some(version) = version {
        speak(&mut peer, version);
    }
    limit(&mut peer, sends_body(session, journey), journey);
    if !session.req_header().headers.keys().any(is_hop_by_hop) {
        // Else the core looks for each of them by its name.
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
    }
    if session.is_upgrade_req() {
        let patience = peer.options.connection_timeout.unwrap_or(CONNECT_TIMEOUT);
        peer.options.custom_l4 = Some(Arc::new(unhurried::Connector(patience)));
        peer.group_key ^= unhurried::GROUP;
    }
    Ok(peer)
}

fn speak(peer: &mut HttpPeer, version: &upstream::Version) {
    let options = &mut peer.options;
    options.alpn = match version.http {
        UpstreamHttp::H1 => return,
        UpstreamHttp::H2 | UpstreamHttp::H2c => ALPN::H2,
        UpstreamHttp::Auto => ALPN::H2H1,
    };
    options.max_h2_streams = STREAMS_MAX;
    options.h2_stream_window_size = Some(STREAM_WINDOW);
    options.h2_connection_window_size = Some(CONNECTION_WINDOW);
}

/// Whether a body goes from HTTP/1 to HTTP/1. Towards HTTP/2 the core would count from the head of a
/// request on, however long its body takes; clients of HTTP/2 may rest within one.
fn sends_body(session: &mut Session, journey: &Journey) -> bool {
    let http = journey.version().map(|version| version.http);
    http == Some(UpstreamHttp::H1)
        && session.req_header().version != Version::HTTP_2
        && !session.is_body_empty()
}

fn limit(peer: &mut HttpPeer, sends_body: bool, journey: &Journey) {
    let options = &mut peer.options;
    options.idle_timeout = journey.service().map(|service| service.pool_idle);
    let Some(route) = journey.route() else { return };
    let left = journey.deadline.map(|deadline| {
        // Zero would mean no timeout at all.
        deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1))
    });
    let within = |limit: Duration| left.map_or(limit, |left| left.min(limit));
    options.connection_timeout = Some(within(route.connect_timeout));
    options.total_connection_timeout = Some(within(route.connect_timeout));
    // How long a read may take, the client's stream watches, which spares a timer for each. While a body
    // waits for an upstream that takes nothing, nobody looks at that stream; streams outlive the deadline.
    if sends_body {
        options.read_timeout = Some(left.unwrap_or_default().max(route.idle_timeout));
    }
    options.write_timeout = Some(within(route.idle_timeout));
}
