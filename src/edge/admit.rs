//! What a request is: who sent it, which id it has, what it asks for in normal form, and the
//! decision that follows. Everything a client may not say is taken off here, before anyone reads.

use super::context::{Host, Journey, Refusal};
use super::facts::Facts;
use super::{forward, mirror, request_id, trail};
use crate::config::color::Source;
use crate::reason::Reason;
use crate::routing::host::normalise_host;
use crate::routing::path::normalise_target;
use crate::routing::{Decision, RouteId, View};
use crate::snapshot::Snapshot;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;
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
    identify(session, journey);
    let head = session.req_header_mut();
    forward::forget_spelling(head)
        .map_err(|_| Refusal::new(Reason::BadRequest, "the request target is malformed"))?;
    show_authority(head);
    if journey.client.trusted {
        journey.client.ip = client_behind(&head.headers, journey);
        journey.secure = forward::says_secure(&head.headers).unwrap_or(journey.secure);
        journey.request_id = request_id::kept(head.headers.get(&forward::X_REQUEST_ID));
    }
    journey.request_id.get_or_insert_with(request_id::fresh);
    trail::begin(&head.headers, journey);
    if journey.snapshot.table.signs() {
        vouch(head, journey);
    }
    remove_impostors(head, journey);
    show_certificate(head, journey);
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

fn identify(session: &Session, journey: &mut Journey) {
    if let Some(facts) = Facts::of(session.digest()) {
        journey.arrived_by(facts);
    }
}

/// HTTP/2 names the host in its target (RFC 9113, section 8.3.1). From here on it stands in `Host`
/// too, so that whatever looks at fields finds it there by any protocol.
fn show_authority(head: &mut RequestHeader) {
    let authority = head
        .uri
        .authority()
        .filter(|_| head.version == Version::HTTP_2);
    if let Some(Ok(host)) = authority.map(|authority| HeaderValue::from_str(authority.as_str())) {
        let _ = head.insert_header(header::HOST, host);
    }
}

/// Who the client is by its certificate stands in fields of the gateway's own, so that whatever
/// looks at fields (routes, colors, limits, upstreams) can go by it.
fn show_certificate(head: &mut RequestHeader, journey: &Journey) {
    if let Some(certificate) = &journey.certificate {
        let fields = [
            (&forward::CLIENT_CERT, certificate.forwarded.as_str()),
            (&forward::CLIENT_CERT_NAME, certificate.name()),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_str(value) {
                let _ = head.insert_header(name.clone(), value);
            }
        }
    }
}

/// Believes a color that is signed; one that a link brought is kept in a cookie, if colors are
/// read from one.
fn vouch(head: &RequestHeader, journey: &mut Journey) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let query = head.uri.query().unwrap_or_default();
    let snapshot = &journey.snapshot;
    let by = |token: &str| snapshot.color_by_token(token, now);
    let Some(vouched) = snapshot.table.vouched(&head.headers, query, now, by) else {
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

/// The rightmost address that no trusted proxy vouches for; the peer itself is trusted.
fn client_behind(headers: &HeaderMap, journey: &Journey) -> IpAddr {
    let mut client = journey.client.ip;
    let lines: SmallVec<[&HeaderValue; 2]> =
        headers.get_all(&forward::X_FORWARDED_FOR).iter().collect();
    let hops = lines
        .iter()
        .rev()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|l| l.rsplit(','));
    for hop in hops {
        let Some(address) = parse_hop(hop.trim()) else {
            return client;
        };
        client = address;
        if !journey.snapshot.trusts(&journey.client.listener, address) {
            return client;
        }
    }
    client
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| {
        let (host, port) = bare.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        host.parse().ok()
    });
    address.map(|address: IpAddr| address.to_canonical())
}

/// Removes what only we may say: names that other software reads as ours (`x_request_id`), and,
/// from strangers, colors and forwarding claims.
fn remove_impostors(head: &mut RequestHeader, journey: &Journey) {
    let color = &journey.snapshot.config.coloring.header;
    let guarded = &journey.snapshot.guarded;
    let stranger = !journey.client.trusted;
    // A proxy in front that is believed may have made the handshake.
    let secured = stranger || journey.certificate.is_some();
    let ours = |name: &HeaderName| {
        guarded.contains(name)
            || stranger && (name == header::FORWARDED || name == color)
            || stranger && (name == forward::X_FORWARDED_PORT || name == mirror::MIRRORED)
            || secured && [&forward::CLIENT_CERT, &forward::CLIENT_CERT_NAME].contains(&name)
            || is_alias(name.as_str(), color.as_str(), guarded)
    };
    let names = head.headers.keys().filter(|name| ours(name));
    let names: SmallVec<[HeaderName; 2]> = names.cloned().collect();
    for name in &names {
        head.remove_header(name);
    }
    if stranger && head.headers.contains_key(&forward::BAGGAGE) {
        remove_baggage_colors(head, &journey.snapshot);
    }
}

/// Names that become ours where `_` or `.` count as `-` (CGI, some frameworks).
fn is_alias(name: &str, color_header: &str, guarded: &[HeaderName]) -> bool {
    if !name.bytes().any(|byte| matches!(byte, b'_' | b'.')) {
        return false;
    }
    let same = |ours: &str| {
        let ours = ours.bytes().map(|byte| {
            if byte == b'_' || byte == b'.' {
                b'-'
            } else {
                byte
            }
        });
        let theirs = name.bytes().map(|byte| {
            if byte == b'_' || byte == b'.' {
                b'-'
            } else {
                byte
            }
        });
        ours.eq(theirs)
    };
    (name != color_header && same(color_header))
        || GUARDED.iter().any(|ours| same(ours))
        || guarded.iter().any(|ours| same(ours.as_str()))
}

/// Names whose look-alikes are dropped.
const GUARDED: [&str; 17] = [
    "baggage",
    "content-length",
    "forwarded",
    "host",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "via",
    "x-client-cert-name",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-tyrian-mirrored",
];

/// Takes the members that could carry a color out of a stranger's baggage; the rest stays.
fn remove_baggage_colors(head: &mut RequestHeader, snapshot: &Snapshot) {
    let sources = &snapshot.config.coloring.sources;
    let keys: SmallVec<[&str; 2]> = sources
        .iter()
        .filter_map(|source| match source {
            Source::Baggage(key) => Some(key.as_str()),
            Source::Header | Source::Cookie(_) | Source::Query(_) | Source::Jwt(_) => None,
        })
        .collect();
    if keys.is_empty() {
        return;
    }
    let lines: SmallVec<[HeaderValue; 2]> = head
        .headers
        .get_all(&forward::BAGGAGE)
        .iter()
        .cloned()
        .collect();
    head.remove_header(&forward::BAGGAGE);
    for line in lines {
        // A line that is not text cannot be searched for our members, so it cannot stay.
        let Ok(text) = line.to_str() else { continue };
        let kept = crate::routing::carried::strip_baggage_members(text, &keys);
        if let Some(value) = kept.and_then(|kept| HeaderValue::from_str(&kept).ok()) {
            let _ = head.append_header(forward::BAGGAGE.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderName, RequestHeader, is_alias, parse_hop, port};
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

    #[test]
    fn hops_are_addresses_with_or_without_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(parse_hop(text), Some(address.parse().unwrap()), "{text}");
        }
        for text in ["", "unknown", "192.0.2.1:x", "_hidden", "192.0.2"] {
            assert_eq!(parse_hop(text), None, "{text}");
        }
    }

    #[test]
    fn names_that_pass_for_ours_elsewhere_are_aliases() {
        for name in [
            "x_request_id",
            "x.forwarded.for",
            "x_tyrian-color",
            "content_length",
        ] {
            assert!(is_alias(name, "x-tyrian-color", &[]), "{name}");
        }
        for name in ["x-request-id", "x_user", "x-tyrian-color", "a.b"] {
            assert!(!is_alias(name, "x-tyrian-color", &[]), "{name}");
        }
        let guarded = [HeaderName::from_static("x-user-id")];
        assert!(is_alias("x_user_id", "x-tyrian-color", &guarded));
        assert!(!is_alias("team_color", "team_color", &[]));
    }
}
