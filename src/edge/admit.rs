//! What a request is: who sent it, which id it has, what it asks for in normal form, and the
//! decision that follows. Everything a client may not say is taken off here, before anyone reads.

use super::context::{Host, Journey, Refusal};
use super::facts::Facts;
use super::{forward, request_id, trail};
use crate::config::color::Source;
use crate::reason::Reason;
use crate::routing::client_fields::{self, Arrival, CLIENT_CERT, CLIENT_CERT_NAME, Own};
use crate::routing::host::normalise_host;
use crate::routing::path::normalise_target;
use crate::routing::{Decision, RouteId, View};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of a request before its credentials are.
pub enum Found {
    /// Everything: nobody has to be known here.
    Decided(Decision),
    /// The route, which wants to know who asks.
    Guarded(RouteId),
}

/// Establishes who asks for what, and decides as far as that goes without credentials.
///
/// # Errors
/// The refusal to answer with.
pub fn request(session: &mut Session, journey: &mut Journey) -> Result<Found, Refusal> {
    let peer = identify(session, journey);
    let head = session.req_header_mut();
    let read = forward::reworked(head, |parts| arrive(parts, peer, journey));
    read.map_err(|_| Refusal::new(Reason::BadRequest, "the request target is malformed"))??;
    normalise(head, journey)?;
    let snapshot = &journey.snapshot;
    let view = view(head, journey);
    let route = match snapshot.table.route(&view) {
        Ok(route) => route,
        Err(refused) => return Ok(Found::Decided(refused)),
    };
    let guarded = snapshot.route(route).and_then(|route| route.guard.as_ref());
    Ok(match guarded {
        Some(_) => Found::Guarded(route),
        None => Found::Decided(snapshot.table.dye(route, &view, snapshot.as_ref())),
    })
}

/// What `X-Forwarded-For` and `-Proto` say of the peer: its address, and how it connected.
type PeerFields = Option<(HeaderValue, &'static str)>;

fn identify(session: &Session, journey: &mut Journey) -> PeerFields {
    let facts = Facts::of(session.digest())?;
    journey.arrived_by(facts);
    Some((facts.peer_text.clone(), facts.scheme()))
}

/// Takes the client's fields to what routes, policies and the upstream may see: what only a proxy
/// or the gateway may say goes, and the gateway's own fields come. In this order, so that a client
/// cannot name the gateway's fields in its `Connection`.
fn arrive(parts: &mut Parts, peer: PeerFields, journey: &mut Journey) -> Result<(), Refusal> {
    let refused = |what| Refusal::new(Reason::BadRequest, what);
    client_fields::strip_named(&mut parts.headers).map_err(refused)?;
    show_authority(parts);
    let headers = &mut parts.headers;
    if journey.client.trusted {
        let (snapshot, listener) = (&journey.snapshot, &journey.client.listener);
        let trusts = |address| snapshot.trusts(listener, address);
        journey.client.ip = client_fields::client_behind(headers, journey.client.ip, trusts);
        journey.secure = client_fields::says_secure(headers).unwrap_or(journey.secure);
        journey.request_id = request_id::kept(headers.get(&forward::X_REQUEST_ID));
    }
    let id = journey.request_id.get_or_insert_with(request_id::fresh);
    let id = id.clone();
    trail::begin(headers, journey);
    if journey.snapshot.table.signs() {
        vouch(headers, parts.uri.query().unwrap_or_default(), journey);
    }
    let snapshot = &journey.snapshot;
    let trusted = journey.client.trusted;
    let trust = client_fields::Peer {
        trusted,
        tells_certificate: trusted && journey.certificate.is_none(),
        keep: snapshot.kept_fields(&journey.client.listener),
    };
    let own = Own::of(&snapshot.config, &snapshot.guarded);
    client_fields::strip(headers, trust, own);
    headers.reserve(FIELDS_ADDED);
    if let Some((peer, scheme)) = peer {
        let host = headers.get(header::HOST).cloned();
        let arrival = Arrival {
            trusted,
            peer,
            scheme,
            host,
        };
        client_fields::set_forwarded(headers, arrival);
    }
    headers.insert(&forward::X_REQUEST_ID, id);
    show_certificate(headers, journey);
    Ok(())
}

/// Fields that every request gets: where it comes from, and its id.
const FIELDS_ADDED: usize = 4;

/// HTTP/2 names the host in its target (RFC 9113, section 8.3.1). From here on it stands in `Host`
/// too, so that whatever looks at fields finds it there by any protocol.
fn show_authority(parts: &mut Parts) {
    let authority = parts
        .uri
        .authority()
        .filter(|_| parts.version == Version::HTTP_2);
    if let Some(Ok(host)) = authority.map(|authority| HeaderValue::from_str(authority.as_str())) {
        parts.headers.insert(header::HOST, host);
    }
}

/// Who the client is by its certificate stands in fields of the gateway's own, so that whatever
/// looks at fields (routes, colors, limits, upstreams) can go by it.
fn show_certificate(headers: &mut HeaderMap, journey: &Journey) {
    if let Some(certificate) = &journey.certificate {
        let fields = [
            (&CLIENT_CERT, certificate.forwarded.as_str()),
            (&CLIENT_CERT_NAME, certificate.name()),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Believes a color that is signed; one that a link brought is kept in a cookie, if colors are
/// read from one.
fn vouch(headers: &HeaderMap, query: &str, journey: &mut Journey) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let snapshot = &journey.snapshot;
    let by = |token: &str| snapshot.color_by_token(token, now);
    let Some(vouched) = snapshot.table.vouched(headers, query, now, by) else {
        return;
    };
    let sources = &snapshot.config.coloring.sources;
    let cookie = sources.iter().find_map(|source| match source {
        Source::Cookie(name) => Some(name),
        _ => None,
    });
    if let (Some(name), Some(token)) = (cookie, vouched.link) {
        let left = vouched.expires.saturating_sub(now);
        let secure = journey.cookie_secure();
        let set = format!("{name}={token}; Path=/; Max-Age={left}; HttpOnly; SameSite=Lax{secure}");
        journey.set_color = HeaderValue::try_from(set).ok();
    }
    journey.vouched = Some(vouched.color);
}

/// The rest of the decision, as the request stands now.
pub fn dye(head: &RequestHeader, journey: &Journey, route: RouteId) -> Decision {
    let snapshot = &journey.snapshot;
    let view = view(head, journey);
    snapshot.table.dye(route, &view, snapshot.as_ref())
}

/// The bucket of the user who asks, where shares go by one.
pub fn bucket(head: &RequestHeader, journey: &Journey) -> Option<u16> {
    journey.snapshot.table.bucket(&view(head, journey))
}

/// The methods that the routes of this request's path serve, as an `Allow` field has them.
pub fn allowed_methods(head: &RequestHeader, journey: &Journey) -> String {
    let table = &journey.snapshot.table;
    let methods = table.allowed_methods(&view(head, journey));
    methods
        .iter()
        .map(http::Method::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The refusal of a request whose path another parser may read as one of another route. The log
/// says which; the client is not told about routes.
pub fn ambiguous_path(head: &RequestHeader, journey: &Journey) -> Refusal {
    let table = &journey.snapshot.table;
    let refusal = Refusal::new(
        Reason::BadRequest,
        "the path has another meaning to other parsers",
    );
    let other = journey
        .route_id()
        .and_then(|route| table.other_reading(route, &view(head, journey)));
    let Some((path, route)) = other else {
        return refusal;
    };
    let route = journey
        .snapshot
        .route(route)
        .map_or("", |route| &route.name);
    refusal.telling(format!(
        "the path may be read as `{path}`, which is of route `{route}`"
    ))
}

/// Takes what is asked for to its normal form, once per request: whatever differs from the head is
/// kept. Nothing that plugins or policies may change in a head has a part in it.
fn normalise(head: &RequestHeader, journey: &mut Journey) -> Result<(), Refusal> {
    let host = normalise_host(authority(head)?)
        .map_err(|_| Refusal::new(Reason::BadRequest, "the host is malformed"))?;
    let path = match head.raw_path() {
        b"*" => Cow::Borrowed("*"),
        raw => {
            let target = normalise_target(raw)
                .map_err(|_| Refusal::new(Reason::BadRequest, "the path is malformed"))?;
            target.path
        }
    };
    journey.host = match host {
        Cow::Borrowed(host) => Host::Sent(host.len()),
        Cow::Owned(host) => Host::Other(host),
    };
    journey.path = match path {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(path),
    };
    Ok(())
}

/// The request in normal form, as it stands now.
pub fn view<'v>(head: &'v RequestHeader, journey: &'v Journey) -> View<'v> {
    let host = match &journey.host {
        Host::Sent(length) => authority(head).ok().and_then(|sent| sent.get(..*length)),
        Host::Other(host) => Some(host.as_str()),
    };
    View {
        method: &head.method,
        host: host.unwrap_or_default(),
        path: path(head, journey),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        client: journey.client.ip,
        trusted: journey.client.trusted,
        claims: journey.identity.as_ref().map(|identity| &identity.claims),
        vouched: journey.vouched,
        bucket: None,
    }
}

/// The path that is asked for, in normal form once it has one.
pub fn path<'p>(head: &'p RequestHeader, journey: &'p Journey) -> &'p str {
    journey.path.as_deref().unwrap_or(head.uri.path())
}

/// The port that was asked for, as it was sent; empty when none was.
pub fn port(head: &RequestHeader) -> &str {
    let sent = authority(head).unwrap_or_default();
    let digits = sent.bytes().rev().take_while(u8::is_ascii_digit).count();
    match sent.split_at(sent.len() - digits) {
        (before, port) if before.ends_with(':') => port,
        _ => "",
    }
}

/// The authority of HTTP/2, or the `Host` field; empty when an HTTP/1.0 request has neither.
fn authority(head: &RequestHeader) -> Result<&str, Refusal> {
    if let Some(authority) = head.uri.authority() {
        return Ok(authority.as_str());
    }
    head.headers
        .get(header::HOST)
        .map_or(Ok(""), HeaderValue::to_str)
        .map_err(|_| Refusal::new(Reason::BadRequest, "the host is malformed"))
}

#[cfg(test)]
mod tests {
    use super::{RequestHeader, port};
    use http::header::HOST;

    #[test]
    fn a_port_is_what_stands_behind_the_host() {
        for (sent, asked) in [
            ("a.example", ""),
            ("a.example:8080", "8080"),
            ("a.example.:80", "80"),
            ("a:", ""),
            ("192.0.2.1", ""),
            ("192.0.2.1:80", "80"),
            ("[2001:db8::1]", ""),
            ("[2001:db8::1]:443", "443"),
            ("", ""),
        ] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            head.insert_header(HOST, sent).unwrap();
            assert_eq!(port(&head), asked, "{sent}");
        }
    }
}
