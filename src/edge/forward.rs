//! What leaves for the upstream: forwarding headers, ids, colors, paths.

use super::context::Journey;
use super::trail;
use crate::routing::client_fields::{BAGGAGE, CLIENT_CERT, CLIENT_CERT_NAME};
use crate::routing::{carried, rewrite};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::borrow::Cow;

pub const X_REQUEST_ID_SPELT: &str = "x-request-id";
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static(X_REQUEST_ID_SPELT);

/// Dresses the request for the upstream.
pub fn outgoing(session: &Session, head: &mut RequestHeader, journey: &Journey) -> Result<()> {
    let endpoint = journey
        .endpoint()
        .map(|endpoint| endpoint.state.authority());
    reworked(head, |parts| {
        host(parts, endpoint);
        trailers(session, parts);
        one_hop_less(parts);
        let headers = &mut parts.headers;
        headers.reserve(FIELDS_ADDED);
        // The gateway answers expectations itself, so the upstream has none to meet.
        headers.remove(&header::EXPECT);
        via(headers, session.req_header().version);
        if !journey.forwards_certificate {
            headers.remove(&CLIENT_CERT);
            headers.remove(&CLIENT_CERT_NAME);
        }
        for name in &journey.snapshot.secret_headers {
            headers.remove(name);
        }
        if let Some(identity) = &journey.identity {
            for (name, value) in &identity.forward {
                headers.append(name, value.clone());
            }
        }
        trail::outgoing(headers, journey);
        color(headers, journey);
    })?;
    target(head, journey)
}

/// Fields that most requests get here: the hop, the trace, the color.
const FIELDS_ADDED: usize = 3;

/// Works on the parts of a head. The core's own calls change fields one by one, by names that they
/// read anew each time. Spellings of names are forgotten, since names have no case (RFC 9110,
/// section 5.1): the core keeps them in a second map, which every copy of a head would cost again.
///
/// # Errors
/// Never in practice: the target has been read before.
pub fn reworked<T>(head: &mut RequestHeader, work: impl FnOnce(&mut Parts) -> T) -> Result<T> {
    let (empty, ()) = http::Request::new(()).into_parts();
    let spelt = std::mem::replace(head, empty.into());
    let raw = spelt.raw_path();
    let same = spelt
        .uri
        .path_and_query()
        .is_some_and(|target| target.as_str().as_bytes() == raw);
    // A target that is no URI lives beside the parts, and would be lost with the spelling.
    let raw = (!same).then(|| raw.to_vec());
    let mut parts: Parts = spelt.into();
    let done = work(&mut parts);
    *head = parts.into();
    if let Some(raw) = raw {
        head.set_raw_path(&raw)?;
    }
    Ok(done)
}

/// HTTP/2 names the host in its target, which a rewrite replaces. HTTP/1.0 need not name any, and
/// HTTP/1.1 must (RFC 9112, section 3.2): then it is the endpoint that is asked.
fn host(parts: &mut Parts, endpoint: Option<&str>) {
    let named = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(named) = named.or(endpoint)
        && !parts.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(named)
    {
        parts.headers.insert(header::HOST, host);
    }
}

/// Whoever takes trailers says so over HTTP/2 (gRPC's servers ask for it); the core takes it off with
/// what belongs to one connection.
fn trailers(session: &Session, parts: &mut Parts) {
    let said = || session.req_header().headers.get(header::TE);
    if parts.version == Version::HTTP_2 && said().is_some_and(|te| te == "trailers") {
        parts
            .headers
            .insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

static MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// How many hops a request may still make, where its method looks at that (RFC 9110, section 7.6.2).
fn hops(method: &Method, headers: &HeaderMap) -> Option<u32> {
    match *method {
        Method::OPTIONS | Method::TRACE => {
            let hops = headers.get(&MAX_FORWARDS)?.to_str().ok()?;
            hops.trim().parse().ok()
        }
        _ => None,
    }
}

/// Whether a request may go no further than here.
pub fn ends_here(head: &RequestHeader) -> bool {
    hops(&head.method, &head.headers) == Some(0)
}

fn one_hop_less(parts: &mut Parts) {
    if let Some(hops) = hops(&parts.method, &parts.headers) {
        let left = HeaderValue::from(hops.saturating_sub(1));
        parts.headers.insert(&MAX_FORWARDS, left);
    }
}

/// The path as it was matched, rewritten as the route says; the query is the client's.
fn target(head: &mut RequestHeader, journey: &Journey) -> Result<()> {
    let rules = journey.route().and_then(|route| route.rewrite.as_deref());
    if rules.is_some() || journey.path.is_some() {
        let raw = head.raw_path();
        let (path, query) = raw.split_at(memchr::memchr(b'?', raw).unwrap_or(raw.len()));
        let path = match &journey.path {
            Some(normal) => normal.as_str(),
            None => std::str::from_utf8(path).unwrap_or("/"),
        };
        let mut new = rewritten(path, journey).into_owned().into_bytes();
        new.extend_from_slice(query);
        head.set_raw_path(&new)?;
    }
    if let Some(host) = rules.and_then(|(rewrite, _)| rewrite.host.as_ref()) {
        head.insert_header(header::HOST, host.as_str())?;
    }
    Ok(())
}

/// A path as the route has upstreams see it.
pub fn rewritten<'p>(path: &'p str, journey: &'p Journey) -> Cow<'p, str> {
    match journey.route().and_then(|route| route.rewrite.as_deref()) {
        Some((rewrite, matched)) => rewrite::upstream_path(rewrite, matched, path),
        None => Cow::Borrowed(path),
    }
}

/// RFC 9110, section 7.6.3.
fn via(headers: &mut HeaderMap, received: Version) {
    let hop = match received {
        Version::HTTP_10 => "1.0 tyrian",
        Version::HTTP_2 => "2 tyrian",
        _ => "1.1 tyrian",
    };
    headers.append(header::VIA, HeaderValue::from_static(hop));
}

/// The color goes up whatever version serves it here, so that the next hop can still honour it.
fn color(headers: &mut HeaderMap, journey: &Journey) {
    let name = &journey.snapshot.config.coloring.header;
    let color = journey
        .requested_color()
        .and_then(|id| journey.snapshot.color(id));
    match color {
        Some(color) => drop(headers.insert(name, color.value.clone())),
        None => drop(headers.remove(name)),
    }
    if let Some(key) = &journey.snapshot.config.coloring.baggage {
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
