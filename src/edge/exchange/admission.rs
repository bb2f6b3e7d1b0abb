//! Admission: the client's address, the request's id, its target in normal form, and the decision
//! that follows. Fields that a client may not set are removed here, before anything reads them.

use super::context::{Host, RequestContext};
use super::request_headers::X_REQUEST_ID;
use super::trace;
use crate::config::selector::Selector;
use crate::edge::http1::request_head::Refused;
use crate::edge::rejection::Rejection;
use crate::edge::request_id;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::reason::Reason;
use crate::routing::client_fields::{self, Arrival, CLIENT_CERT, CLIENT_CERT_NAME, Own};
use crate::routing::host::normalise_host;
use crate::routing::path::normalise_target;
use crate::routing::selector::Selectable;
use crate::routing::{Decision, RouteId, View};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version, header};
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of a request before its credentials are checked.
pub enum Found {
    /// Everything: the route needs no identity.
    Decided(Decision),
    /// The route, which needs an identity.
    Guarded(RouteId),
}

/// Brings a request to its normal form, and decides as far as that goes without credentials.
///
/// # Errors
/// The rejection to answer with.
pub fn admit(
    head: &mut Parts,
    connection: &ConnectionInfo,
    context: &mut RequestContext,
) -> Result<Found, Rejection> {
    arrive(head, connection, context)?;
    normalise(head, context)?;
    if let Some(refused) = head.extensions.get::<Refused>() {
        return Err((*refused).into());
    }
    let snapshot = &context.snapshot;
    let view = view(head, context);
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

/// Takes the client's fields to what routes, policies and the upstream may see: fields that only a
/// proxy or the gateway may set go, and the gateway's own fields come. In this order, so that a
/// client cannot name the gateway's fields in its `Connection`.
fn arrive(
    parts: &mut Parts,
    connection: &ConnectionInfo,
    context: &mut RequestContext,
) -> Result<(), Rejection> {
    let refused = |what| Rejection::new(Reason::BadRequest, what);
    client_fields::strip_named(&mut parts.headers).map_err(refused)?;
    show_authority(parts);
    let headers = &mut parts.headers;
    if context.client.trusted {
        let (snapshot, listener) = (&context.snapshot, &context.client.listener);
        let trusts = |address| snapshot.trusts(listener, address);
        context.client.ip = client_fields::client_behind(headers, context.client.ip, trusts);
        context.secure = client_fields::says_secure(headers).unwrap_or(context.secure);
        context.request_id = request_id::kept(headers.get(&X_REQUEST_ID));
    }
    let id = context.request_id.get_or_insert_with(request_id::fresh);
    let id = id.clone();
    trace::begin(headers, context);
    if context.snapshot.table.signs() {
        vouch(headers, parts.uri.query().unwrap_or_default(), context);
    }
    let snapshot = &context.snapshot;
    let trusted = context.client.trusted;
    let trust = client_fields::Peer {
        trusted,
        tells_certificate: trusted && context.certificate.is_none(),
        keep: snapshot.kept_fields(&context.client.listener),
    };
    let own = Own::of(&snapshot.config, &snapshot.guarded);
    client_fields::strip(headers, trust, own);
    headers.reserve(FIELDS_ADDED);
    let arrival = Arrival {
        trusted,
        peer: connection.peer_text.clone(),
        scheme: connection.scheme(),
        host: headers.get(header::HOST).cloned(),
    };
    client_fields::set_forwarded(headers, arrival);
    headers.insert(&X_REQUEST_ID, id);
    show_certificate(headers, context);
    Ok(())
}

/// Fields that every request gets: where it comes from, and its id.
const FIELDS_ADDED: usize = 4;

/// HTTP/2 names the host in its target (RFC 9113, section 8.3.1). From here on it stands in `Host`
/// too, so that routes and policies find it there by any protocol.
fn show_authority(parts: &mut Parts) {
    let authority = parts
        .uri
        .authority()
        .filter(|_| parts.version == Version::HTTP_2);
    if let Some(Ok(host)) = authority.map(|authority| HeaderValue::from_str(authority.as_str())) {
        parts.headers.insert(header::HOST, host);
    }
}

/// Writes the client's certificate into fields of the gateway's own, where routes, colors, limits
/// and upstreams can read it.
fn show_certificate(headers: &mut HeaderMap, context: &RequestContext) {
    if let Some(certificate) = &context.certificate {
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
fn vouch(headers: &HeaderMap, query: &str, context: &mut RequestContext) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let snapshot = &context.snapshot;
    let by = |token: &str| snapshot.color_by_token(token, now);
    let Some(vouched) = snapshot.table.vouched(headers, query, now, by) else {
        return;
    };
    let sources = &snapshot.config.coloring.sources;
    let cookie = sources.iter().find_map(|source| match &**source {
        Selector::Cookie(name) => Some(name),
        _ => None,
    });
    if let (Some(name), Some(token)) = (cookie, vouched.link) {
        let left = vouched.expires.saturating_sub(now);
        let secure = context.cookie_secure();
        let set = format!("{name}={token}; Path=/; Max-Age={left}; HttpOnly; SameSite=Lax{secure}");
        context.set_color = HeaderValue::try_from(set).ok();
    }
    context.vouched = Some(vouched.color);
}

/// The rest of the decision, as the request stands now.
pub fn dye(head: &Parts, context: &RequestContext, route: RouteId) -> Decision {
    let snapshot = &context.snapshot;
    let view = view(head, context);
    snapshot.table.dye(route, &view, snapshot.as_ref())
}

/// The bucket of the user who asks, where shares go by one.
pub fn bucket(head: &Parts, context: &RequestContext) -> Option<u16> {
    context.snapshot.table.bucket(&view(head, context))
}

/// The methods that the routes of this request's path serve, as an `Allow` field has them.
pub fn allowed_methods(head: &Parts, context: &RequestContext) -> String {
    let table = &context.snapshot.table;
    let methods = table.allowed_methods(&view(head, context));
    methods
        .iter()
        .map(http::Method::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The rejection of a request whose path another parser may read as one of another route. The log
/// says which; the client is not told about routes.
pub fn ambiguous_path(head: &Parts, context: &RequestContext) -> Rejection {
    let table = &context.snapshot.table;
    let rejection = Rejection::new(
        Reason::BadRequest,
        "the path has another meaning to other parsers",
    );
    let other = context
        .route_id()
        .and_then(|route| table.other_reading(route, &view(head, context)));
    let Some((path, route)) = other else {
        return rejection;
    };
    let route = context
        .snapshot
        .route(route)
        .map_or("", |route| &route.name);
    rejection.telling(format!(
        "the path may be read as `{path}`, which is of route `{route}`"
    ))
}

/// Takes host and path to their normal form, once per request; what differs from the head is kept.
/// Plugins and policies cannot change what this reads.
fn normalise(head: &Parts, context: &mut RequestContext) -> Result<(), Rejection> {
    let host = normalise_host(authority(head)?)
        .map_err(|_| Rejection::new(Reason::BadRequest, "the host is malformed"))?;
    let path = match head.uri.path() {
        "*" => Cow::Borrowed("*"),
        _ => {
            let target = head
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str());
            let target = normalise_target(target.as_bytes())
                .map_err(|_| Rejection::new(Reason::BadRequest, "the path is malformed"))?;
            target.path
        }
    };
    context.host = match host {
        Cow::Borrowed(host) => Host::Sent(host.len()),
        Cow::Owned(host) => Host::Other(host),
    };
    context.path = match path {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(path),
    };
    Ok(())
}

/// The request in normal form, as it stands now.
pub fn view<'v>(head: &'v Parts, context: &'v RequestContext) -> View<'v> {
    let host = match &context.host {
        Host::Sent(length) => authority(head).ok().and_then(|sent| sent.get(..*length)),
        Host::Other(host) => Some(host.as_str()),
    };
    View {
        method: &head.method,
        host: host.unwrap_or_default(),
        path: path(head, context),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        client: context.client.ip,
        trusted: context.client.trusted,
        claims: context.identity.as_ref().map(|identity| &identity.claims),
        vouched: context.vouched,
        bucket: None,
    }
}

/// Returns what selectors can read of the request, as far as it is decided.
pub fn selectable<'v>(head: &'v Parts, context: &'v RequestContext) -> Selectable<'v> {
    let color = context.requested_color();
    let color = color.and_then(|id| context.snapshot.color(id));
    let identity = context.identity.as_ref();
    Selectable {
        client: Some(context.client.ip),
        route: context.route().map_or("", |route| &route.name),
        color: color.map_or("", |color| color.name.as_ref()),
        headers: &head.headers,
        query: head.uri.query().unwrap_or_default(),
        claims: identity.map(|identity| &identity.claims),
    }
}

/// The path that is asked for, in normal form once it has one.
pub fn path<'p>(head: &'p Parts, context: &'p RequestContext) -> &'p str {
    context.path.as_deref().unwrap_or(head.uri.path())
}

/// The port that was asked for, as it was sent; empty when none was.
pub fn port(head: &Parts) -> &str {
    let sent = authority(head).unwrap_or_default();
    let digits = sent.bytes().rev().take_while(u8::is_ascii_digit).count();
    match sent.split_at(sent.len() - digits) {
        (before, port) if before.ends_with(':') => port,
        _ => "",
    }
}

/// The authority of HTTP/2, or the `Host` field; empty when an HTTP/1.0 request has neither.
fn authority(head: &Parts) -> Result<&str, Rejection> {
    if let Some(authority) = head.uri.authority() {
        return Ok(authority.as_str());
    }
    head.headers
        .get(header::HOST)
        .map_or(Ok(""), HeaderValue::to_str)
        .map_err(|_| Rejection::new(Reason::BadRequest, "the host is malformed"))
}

#[cfg(test)]
mod tests {
    use super::port;
    use http::Request;
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
            let request = Request::get("/").header(HOST, sent).body(()).unwrap();
            let (head, ()) = request.into_parts();
            assert_eq!(port(&head), asked, "{sent}");
        }
    }
}
