//! The head that goes to the upstream: forwarding fields, ids, colors, the rewritten path.

use super::context::RequestContext;
use super::trace;
use crate::edge::headers::{elements, is_hop_by_hop};
use crate::routing::carried;
use crate::routing::client_fields::{BAGGAGE, CLIENT_CERT, CLIENT_CERT_NAME};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt::Write;

pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the head of the request as the upstream gets it in this try.
pub fn outgoing(head: &Parts, websocket: bool, context: &RequestContext) -> Parts {
    let mut out = head.clone();
    let endpoint = context.endpoint();
    host(&mut out, endpoint.map(|endpoint| endpoint.authority()));
    for_next_hop(&mut out.headers, head.version, websocket);
    one_hop_less(&mut out);
    let headers = &mut out.headers;
    headers.reserve(FIELDS_ADDED);
    via(headers, head.version);
    if !context.forwards_certificate {
        headers.remove(&CLIENT_CERT);
        headers.remove(&CLIENT_CERT_NAME);
    }
    for name in &context.snapshot.secret_headers {
        headers.remove(name);
    }
    if let Some(identity) = &context.identity {
        for (name, value) in &identity.forward {
            headers.append(name, value.clone());
        }
    }
    trace::outgoing(headers, context);
    color(headers, context);
    target(&mut out, context);
    out
}

/// Fields that most requests get here: the hop, the trace, the color.
const FIELDS_ADDED: usize = 3;

/// Names the host in `Host`, where upstreams of HTTP/1 look for it (RFC 9112, section 3.2). HTTP/2
/// names it in the target. HTTP/1.0 need not name one: then the endpoint is named.
fn host(parts: &mut Parts, endpoint: Option<&str>) {
    let named = parts.uri.authority().map(Authority::as_str);
    if let Some(named) = named.or(endpoint)
        && !parts.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(named)
    {
        parts.headers.insert(header::HOST, host);
    }
}

/// Removes the fields that are for one hop alone (RFC 9110, section 7.6.1), but the offer of
/// WebSocket, and `TE: trailers` of HTTP/2, which servers of gRPC ask for. The gateway answers
/// expectations itself, so the upstream has none to meet.
fn for_next_hop(headers: &mut HeaderMap, version: Version, websocket: bool) {
    let mut gone: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for name in headers.keys() {
        if *name == header::EXPECT || is_hop_by_hop(name) {
            gone.push(name.clone());
        }
    }
    if gone.is_empty() {
        return;
    }
    let takes_trailers = version == Version::HTTP_2
        && elements(headers, &header::TE).any(|coding| coding == b"trailers");
    for name in &gone {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
}

static MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// How many hops a request may still make, where its method looks at that (RFC 9110, section
/// 7.6.2).
fn hops(method: &Method, headers: &HeaderMap) -> Option<u32> {
    match *method {
        Method::OPTIONS | Method::TRACE => {
            let hops = headers.get(&MAX_FORWARDS)?.to_str().ok()?;
            hops.trim().parse().ok()
        }
        _ => None,
    }
}

/// Whether a request may go no further than the gateway.
pub fn ends_here(head: &Parts) -> bool {
    hops(&head.method, &head.headers) == Some(0)
}

fn one_hop_less(parts: &mut Parts) {
    if let Some(hops) = hops(&parts.method, &parts.headers) {
        let left = HeaderValue::from(hops.saturating_sub(1));
        parts.headers.insert(&MAX_FORWARDS, left);
    }
}

/// Replaces the target by the path as it was matched, rewritten as the route says; the query is the
/// client's.
fn target(parts: &mut Parts, context: &RequestContext) {
    let rules = context.route().and_then(|route| route.rewrite.as_deref());
    if rules.is_some() || context.path.is_some() {
        let path = match &context.path {
            Some(normal) => normal.as_str(),
            None => parts.uri.path(),
        };
        let mut new = context.upstream_path(path).into_owned();
        if let Some(query) = parts.uri.query() {
            let _ = write!(new, "?{query}");
        }
        if let Some(target) = path_and_query(&new) {
            parts.uri = Uri::from(target);
        }
    }
    if let Some(host) = rules.and_then(|(rewrite, _)| rewrite.host.as_ref())
        && let Ok(host) = HeaderValue::from_str(host)
    {
        parts.headers.insert(header::HOST, host);
        // The authority of HTTP/2 would name the other host still.
        if let Some(target) = parts.uri.path_and_query().cloned() {
            parts.uri = Uri::from(target);
        }
    }
}

/// Reads a target. Bytes that a URI cannot have, which the configuration may have brought, are
/// percent-encoded.
fn path_and_query(target: &str) -> Option<PathAndQuery> {
    if let Ok(target) = PathAndQuery::try_from(target) {
        return Some(target);
    }
    let mut encoded = String::with_capacity(target.len() + 16);
    for byte in target.bytes() {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'|' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    PathAndQuery::try_from(encoded).ok()
}

/// Adds the hop to `Via` (RFC 9110, section 7.6.3).
fn via(headers: &mut HeaderMap, received: Version) {
    let hop = match received {
        Version::HTTP_10 => "1.0 tyrian",
        Version::HTTP_2 => "2 tyrian",
        _ => "1.1 tyrian",
    };
    headers.append(header::VIA, HeaderValue::from_static(hop));
}

/// Sends the color on, whatever version serves it here, so that the next hop can honour it.
fn color(headers: &mut HeaderMap, context: &RequestContext) {
    let name = &context.snapshot.config.coloring.header;
    let color = context
        .requested_color()
        .and_then(|id| context.snapshot.color(id));
    match color {
        Some(color) => drop(headers.insert(name, color.value.clone())),
        None => drop(headers.remove(name)),
    }
    if let Some(key) = &context.snapshot.config.coloring.baggage {
        baggage(headers, &key.0, color.map(|color| color.name.as_ref()));
    }
}

/// Most members and bytes of a baggage (W3C Baggage, section 3.3.2).
const BAGGAGE_MEMBERS_MAX: usize = 64;
const BAGGAGE_MAX: usize = 8192;

/// The color as a member beside those of others. Where there is no room, theirs stay.
fn baggage(headers: &mut HeaderMap, key: &str, color: Option<&str>) {
    let lines = headers.get_all(&BAGGAGE).iter();
    let lines: Vec<Cow<str>> = lines
        .filter_map(|line| carried::strip_baggage_members(line.to_str().ok()?, &[key]))
        .collect();
    let others = lines.join(",");
    let members = others
        .split(',')
        .filter(|member| !member.is_empty())
        .count();
    let room = members < BAGGAGE_MEMBERS_MAX;
    let whole = match color.filter(|_| room) {
        Some(color) if others.is_empty() => format!("{key}={color}"),
        Some(color) => format!("{others},{key}={color}"),
        None => others.clone(),
    };
    let whole = if whole.len() > BAGGAGE_MAX {
        others
    } else {
        whole
    };
    match HeaderValue::try_from(whole) {
        Ok(value) if !value.is_empty() => drop(headers.insert(&BAGGAGE, value)),
        _ => drop(headers.remove(&BAGGAGE)),
    }
}
