//! What becomes of a client's fields before anything looks at them: fields that only a proxy or
//! the gateway may set are taken off, and the gateway's own are set. Conditions, keys and colors
//! see the fields that the upstream will see. Traffic, `explain` and `[[tests]]` share this code.

use super::carried::strip_baggage_members;
use crate::config::proxy_fields::{folds_to, is_proxy_field};
use crate::config::selector::{ColorSource, Selector, SelectorFor};
use crate::config::{Config, reserved};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;
use std::net::IpAddr;

pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// Marks the copies that a mirror sends.
pub static MIRRORED: HeaderName = HeaderName::from_static("x-tyrian-mirrored");
/// The client's certificate, in the form that proxies agree on.
pub static CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// The first URI (a SPIFFE id), DNS name or subject of the client's certificate.
pub static CLIENT_CERT_NAME: HeaderName = HeaderName::from_static("x-client-cert-name");

/// Fields whose look-alikes are taken off every request, beside those of proxies.
const NEVER_BY_ANOTHER_SPELLING: [&str; 9] = [
    "baggage",
    "content-length",
    "host",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "via",
    "x-request-id",
    "x-tyrian-mirrored",
];

/// How far a peer is believed.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Whether it is in `clients.trust`.
    pub trusted: bool,
    /// Whether it may say which certificate a client has shown: a trusted proxy that made the
    /// handshake with the client, or a request that is only described.
    pub tells_certificate: bool,
    /// Fields of proxies that it may send though it is not trusted: `clients.keep`.
    pub keep: &'a [HeaderName],
}

/// Fields that a configuration sets for upstreams, and the one that carries the color.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// What providers say of clients, as `jwt.NAME.forward` has it.
    pub identity: &'a [HeaderName],
    pub color: &'a HeaderName,
    pub sources: &'a [SelectorFor<ColorSource>],
}

impl<'a> Own<'a> {
    /// Those of a configuration; `identity` is prepared once.
    pub fn of(config: &'a Config, identity: &'a [HeaderName]) -> Self {
        Self {
            identity,
            color: &config.coloring.header,
            sources: &config.coloring.sources,
        }
    }
}

/// Takes off what this peer may not say.
pub fn strip(headers: &mut HeaderMap, peer: Peer, own: Own) {
    let names = headers.keys().filter(|name| is_taken_off(name, peer, own));
    let names: SmallVec<[HeaderName; 4]> = names.cloned().collect();
    for name in &names {
        headers.remove(name);
    }
    if !peer.trusted && headers.contains_key(&BAGGAGE) {
        strip_colors(headers, own.sources);
    }
}

/// Takes off trailers that this or another server could take for fields that a proxy or the gateway
/// has set, whichever peer sends them.
pub fn strip_trailers(trailers: &mut HeaderMap, own: Own) {
    let stranger = Peer {
        trusted: false,
        tells_certificate: false,
        keep: &[],
    };
    let goes = |name: &HeaderName| {
        is_taken_off(name, stranger, own) || NEVER_BY_ANOTHER_SPELLING.contains(&name.as_str())
    };
    let names = trailers.keys().filter(|name| goes(name));
    let names: SmallVec<[HeaderName; 4]> = names.cloned().collect();
    for name in &names {
        trailers.remove(name);
    }
}

fn is_taken_off(name: &HeaderName, peer: Peer, own: Own) -> bool {
    let text = name.as_str();
    let is_ours = name == own.color || name == MIRRORED;
    if own.identity.contains(name) || (is_ours && !peer.trusted) {
        return true;
    }
    // No early end, so that the loop is vectorised: names are short and hardly ever odd.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let odd = text.bytes().fold(false, |odd, byte| odd | !plain(byte));
    if odd {
        return is_look_alike(name, own);
    }
    if name == CLIENT_CERT || name == CLIENT_CERT_NAME {
        return !peer.tells_certificate;
    }
    !peer.trusted && is_proxy_field(text) && !peer.keep.contains(name)
}

/// Whether a name with odd characters passes for one of the gateway's or of a proxy's at servers
/// that fold names.
fn is_look_alike(name: &HeaderName, own: Own) -> bool {
    let text = name.as_str();
    let same = |known: &str| folds_to(text, known);
    (name != own.color && same(own.color.as_str()))
        || is_proxy_field(text)
        || NEVER_BY_ANOTHER_SPELLING.iter().any(|known| same(known))
        || own.identity.iter().any(|known| same(known.as_str()))
}

/// Takes the members that may carry a color out of a baggage; the rest stays.
fn strip_colors(headers: &mut HeaderMap, sources: &[SelectorFor<ColorSource>]) {
    let keys = sources.iter().filter_map(|source| match &**source {
        Selector::Baggage(key) => Some(key.as_str()),
        _ => None,
    });
    let keys: SmallVec<[&str; 2]> = keys.collect();
    if keys.is_empty() {
        return;
    }
    let lines = headers.get_all(&BAGGAGE).iter().cloned();
    let lines: SmallVec<[HeaderValue; 2]> = lines.collect();
    headers.remove(&BAGGAGE);
    for line in lines {
        // A line that is not text cannot be searched for our members, so it cannot stay.
        let Ok(text) = line.to_str() else { continue };
        let kept = strip_baggage_members(text, &keys);
        if let Some(value) = kept.and_then(|kept| HeaderValue::from_str(&kept).ok()) {
            headers.append(&BAGGAGE, value);
        }
    }
}

/// How a request has come, as the gateway tells it to upstreams.
#[derive(Debug)]
pub struct Arrival {
    pub trusted: bool,
    /// The peer's address as text.
    pub peer: HeaderValue,
    /// `http` or `https`, by the connection to the gateway.
    pub scheme: &'static str,
    /// The host that was asked for, with its port.
    pub host: Option<HeaderValue>,
}

/// Sets `X-Forwarded-For`, `-Proto` and `-Host`: after what a trusted peer says, in place of what
/// any other says.
pub fn set_forwarded(headers: &mut HeaderMap, arrival: Arrival) {
    let trusted = arrival.trusted;
    let chain = match trusted && headers.contains_key(&X_FORWARDED_FOR) {
        false => arrival.peer,
        true => appended(headers, arrival.peer),
    };
    headers.insert(&X_FORWARDED_FOR, chain);
    if !trusted || !headers.contains_key(&X_FORWARDED_PROTO) {
        let scheme = HeaderValue::from_static(arrival.scheme);
        headers.insert(&X_FORWARDED_PROTO, scheme);
    }
    if !trusted || !headers.contains_key(&X_FORWARDED_HOST) {
        match arrival.host {
            Some(host) => drop(headers.insert(&X_FORWARDED_HOST, host)),
            None => drop(headers.remove(&X_FORWARDED_HOST)),
        }
    }
}

/// Takes the fields of a request that is only described, as by `explain` or `[[tests]]`, to what
/// a gateway with this configuration would make of them. `from` is the peer; the client that is
/// returned is the one behind it, and whether the peer is trusted stands beside. A peer is trusted
/// when any listener trusts it.
///
/// # Errors
/// What is wrong with the `Connection` field.
pub fn arrive(
    config: &Config,
    headers: &mut HeaderMap,
    from: IpAddr,
    host: &str,
) -> Result<(IpAddr, bool), &'static str> {
    strip_named(headers)?;
    let listeners = || config.listeners.values();
    let trusts = |address: IpAddr| {
        let mut networks = listeners().flat_map(|listener| &listener.clients.trust);
        networks.any(|network| network.contains(&address))
    };
    let trusted = trusts(from);
    let client = match trusted {
        true => client_behind(headers, from, trusts),
        false => from,
    };
    let kept = listeners().flat_map(|listener| listener.clients.keep.iter().cloned());
    let kept: Vec<HeaderName> = kept.collect();
    let told = reserved::told(config).map(|told| told.header.clone());
    let told: Vec<HeaderName> = told.collect();
    let peer = Peer {
        trusted,
        tells_certificate: true,
        keep: &kept,
    };
    strip(headers, peer, Own::of(config, &told));
    let arrival = Arrival {
        trusted,
        peer: HeaderValue::try_from(from.to_string()).unwrap_or(HeaderValue::from_static("")),
        scheme: "http",
        host: HeaderValue::from_str(host).ok(),
    };
    set_forwarded(headers, arrival);
    Ok((client, trusted))
}

/// All lines of the chain in one, with the peer at its end. Empty elements go (RFC 9110, section
/// 5.6.1).
fn appended(headers: &HeaderMap, peer: HeaderValue) -> HeaderValue {
    let mut chain = Vec::with_capacity(64);
    for line in headers.get_all(&X_FORWARDED_FOR) {
        for hop in line.as_bytes().split(|byte| *byte == b',') {
            let hop = hop.trim_ascii();
            if !hop.is_empty() {
                chain.extend_from_slice(hop);
                chain.extend_from_slice(b", ");
            }
        }
    }
    chain.extend_from_slice(peer.as_bytes());
    HeaderValue::from_bytes(&chain).unwrap_or(peer)
}

/// The client behind a trusted peer: the rightmost address that no trusted proxy vouches for.
/// Empty elements do not count (RFC 9110, section 5.6.1); what is no address ends the search.
pub fn client_behind(headers: &HeaderMap, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let lines: SmallVec<[&HeaderValue; 2]> = headers.get_all(&X_FORWARDED_FOR).iter().collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|hop| !hop.is_empty());
    for hop in hops {
        // One element at a time: text that is no address must not hide the hops beside it.
        let hop = std::str::from_utf8(hop).ok();
        let Some(address) = hop.and_then(parse_hop) else {
            return client;
        };
        client = address;
        if !trusts(address) {
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

/// Whether the client came by TLS, by what a trusted peer says: the first word is of the first
/// hop.
pub fn says_secure(headers: &HeaderMap) -> Option<bool> {
    let said = headers.get(&X_FORWARDED_PROTO)?.as_bytes();
    let mut words = said.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    match words.find(|word| !word.is_empty())? {
        word if word.eq_ignore_ascii_case(b"https") => Some(true),
        word if word.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

/// Most options of `Connection` in one request; more are refused.
const OPTIONS_MAX: usize = 9;
/// Fields that say how a message is read, or that the gateway answers for. Naming one of them is
/// an attempt to hide it from the next server.
const NOT_TO_BE_NAMED: [&str; 4] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Takes off the fields that a client names in `Connection`, which are for the gateway alone (RFC
/// 9110, section 7.6.1), and leaves the options that say what becomes of the connection. It runs
/// once, before anything of the gateway's own is set, so that nothing of ours can be named.
///
/// # Errors
/// What is wrong with the field.
pub fn strip_named(headers: &mut HeaderMap) -> Result<(), &'static str> {
    if !headers.contains_key(header::CONNECTION) {
        return Ok(());
    }
    let lines = headers.get_all(header::CONNECTION).iter().cloned();
    let lines: SmallVec<[HeaderValue; 1]> = lines.collect();
    let options = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty());
    let (mut kept, mut named) = (SmallVec::<[&[u8]; 4]>::new(), 0);
    for (index, option) in options.enumerate() {
        if index >= OPTIONS_MAX {
            return Err("the Connection field has too many options");
        }
        if is_of_the_connection(option) {
            kept.push(option);
            continue;
        }
        named += 1;
        let name =
            named_field(option).ok_or("the Connection field has an option that is no token")?;
        if NOT_TO_BE_NAMED.contains(&name.as_str()) {
            return Err("the Connection field names a field that is not its to name");
        }
        // How the message is cut is not up to the client's choice.
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            headers.remove(&name);
        }
    }
    if named > 0 {
        match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
            Ok(left) if !kept.is_empty() => drop(headers.insert(header::CONNECTION, left)),
            _ => drop(headers.remove(header::CONNECTION)),
        }
    }
    Ok(())
}

/// The field that an option names. The library takes bytes for names that no token has.
fn named_field(option: &[u8]) -> Option<HeaderName> {
    let token = option.iter().copied().all(is_token);
    token.then(|| HeaderName::from_bytes(option).ok())?
}

/// Whether a byte may stand in a token: a method, the name of a field (RFC 9110, section 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Options that name no field of their own, or one that is taken off in any case.
fn is_of_the_connection(option: &[u8]) -> bool {
    let known: [&[u8]; 6] = [
        b"keep-alive",
        b"close",
        b"upgrade",
        b"te",
        b"trailer",
        b"http2-settings",
    ];
    known.iter().any(|known| option.eq_ignore_ascii_case(known))
}

#[cfg(test)]
#[path = "client_fields_tests.rs"]
mod tests;
