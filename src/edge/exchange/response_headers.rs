//! The head of the upstream's answer: it is checked, loses the fields that were for the gateway
//! alone, and gets those of the gateway.

use super::context::RequestContext;
use super::policies;
use super::request_headers::X_REQUEST_ID;
use crate::edge::headers::{KEEP_ALIVE, PROXY_CONNECTION, elements_of, is_padded};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use smallvec::SmallVec;

/// Largest head of an answer, in bytes of names and values; clients take less, most of them.
const ANSWER_HEAD_MAX: usize = 256 * 1024;

/// Checks that an answer means the same to every client.
///
/// # Errors
/// What is wrong with it.
pub fn check(head: &Parts) -> Result<(), &'static str> {
    let (mut size, mut codings) = (0, Codings::None);
    // One pass over all, where looking for a field would be another.
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len();
        if *name == header::TRANSFER_ENCODING {
            codings = codings.and(value);
        }
    }
    match () {
        () if codings == Codings::Foreign => {
            Err("the answer has a transfer coding that was not asked for")
        }
        () if size > ANSWER_HEAD_MAX => Err("the answer's head is too large"),
        () if !is_sound(head) => Err("the answer's head is malformed"),
        () => Ok(()),
    }
}

/// How the length of an answer is told: as every client understands it, if the only transfer coding
/// is
/// `chunked`, once. The gateway asks for no others (RFC 9112, section 7.4), and they would be taken
/// for content where the next hop speaks HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codings {
    None,
    Chunked,
    Foreign,
}

impl Codings {
    fn and(self, coding: &HeaderValue) -> Self {
        match self {
            Self::None if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            _ => Self::Foreign,
        }
    }
}

/// Whether the values of an answer are those that its upstream meant: over HTTP/2, white space
/// around one is malformed, over HTTP/1 it has been taken off.
fn is_sound(head: &Parts) -> bool {
    head.version != Version::HTTP_2 || !head.headers.values().any(is_padded)
}

/// Returns the size of the fields of a head, as RFC 9113 counts it (section 6.5.2).
pub fn size(head: &Parts) -> usize {
    let fields = head.headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

/// Whether a final answer is still to come. A switch of protocols is one.
pub fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Removes the fields of the upstream's answer that were for the gateway alone.
pub fn clean(head: &mut Parts, context: &RequestContext) {
    take_load(&mut head.headers, context);
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    // These have no content, and must not say how long it is (RFC 9110, section 8.6).
    let bare = head.status.is_informational() || head.status == StatusCode::NO_CONTENT;
    let color = &context.snapshot.config.coloring.header;
    let mut gone: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for (name, value) in &head.headers {
        let goes = match *name {
            header::CONNECTION => !switches,
            // It tells a client that has to upgrade to what (RFC 9110, section 15.5.22).
            header::UPGRADE => !switches && head.status != StatusCode::UPGRADE_REQUIRED,
            header::CONTENT_LENGTH => bare,
            header::TRANSFER_ENCODING => true,
            _ => [&KEEP_ALIVE, &PROXY_CONNECTION, color].contains(&name),
        };
        if goes {
            gone.push(name.clone());
        }
        if goes && *name == header::CONNECTION {
            gone.extend(nominated(value));
        }
    }
    for name in &gone {
        head.headers.remove(name);
    }
    one_length(&mut head.headers);
}

/// The fields that a line of `Connection` names: they are for the neighbour alone (RFC 9110,
/// section
/// 7.6.1).
fn nominated(line: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let options = elements_of(line).filter(|option| {
        // Most upstreams say one of these, which name no field, or one that goes anyway.
        !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close")
    });
    let names = options.filter_map(|option| HeaderName::from_bytes(option).ok());
    // Fields of framing are not for an upstream to name.
    names.filter(|name| {
        let kept = [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ];
        !kept.contains(name)
    })
}

/// Makes equal lengths, in one line or several, one (RFC 9110, section 8.6); different ones have
/// been refused.
fn one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(first), second) = (lengths.next(), lengths.next()) else {
        return;
    };
    let length = first.as_bytes().split(|byte| *byte == b',').next();
    let length = length.unwrap_or_default().trim_ascii();
    if second.is_none() && length.len() == first.len() {
        return;
    }
    if let Ok(length) = HeaderValue::from_bytes(length)
        && !length.is_empty()
    {
        headers.insert(header::CONTENT_LENGTH, length);
    }
}

/// The load that endpoints report of themselves, 0 to 1.
static ENDPOINT_LOAD: HeaderName = HeaderName::from_static("x-endpoint-load");

/// Takes what an endpoint reports of itself off an answer.
pub fn take_load(headers: &mut HeaderMap, context: &RequestContext) {
    let reports = context
        .service()
        .is_some_and(|service| service.reported_load);
    if reports
        && let Some(load) = headers.remove(&ENDPOINT_LOAD)
        && let Some(load) = load.to_str().ok().and_then(|load| load.trim().parse().ok())
        && let Some(endpoint) = context.endpoint()
    {
        endpoint.report_load(load);
    }
}

/// Gives a sticky client the name of its endpoint, where it has another one or none.
pub fn stick(headers: &mut HeaderMap, context: &RequestContext) {
    let sticky = context.service().and_then(|of| of.sticky.as_ref());
    let (Some(sticky), Some(endpoint)) = (sticky, context.endpoint()) else {
        return;
    };
    if context.attempt.sticky == Some(endpoint.id()) {
        return;
    }
    let age = sticky
        .max_age
        .map(|age| format!("; Max-Age={}", age.as_secs()));
    let (name, id, age) = (&sticky.cookie.0, endpoint.id(), age.unwrap_or_default());
    let secure = context.cookie_secure();
    let cookie = format!("{name}={id:016x}; Path=/; HttpOnly; SameSite=Lax{age}{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Adds what every answer has: the request's id, states of limits, the plugins' changes, and for
/// trusted peers the color.
pub fn stamp(head: &mut Parts, context: &RequestContext) {
    let headers = &mut head.headers;
    if let Some(id) = &context.request_id {
        headers.insert(X_REQUEST_ID.clone(), id.clone());
    }
    if let Some(cookie) = &context.set_color {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
    if !context.hooks.is_empty()
        && !head.status.is_informational()
        && let Some(route) = context.route()
    {
        let color = context.requested_color();
        let color = color.and_then(|id| context.snapshot.color(id));
        let color = color.map(|color| color.name.as_ref());
        context.hooks.response_head(route, color, head);
    }
    let headers = &mut head.headers;
    for (name, value) in policies::readings(context) {
        headers.append(name.clone(), value.clone());
    }
    let color = context
        .requested_color()
        .filter(|_| context.client.trusted)
        .and_then(|id| context.snapshot.color(id));
    if let Some(color) = color {
        let name = context.snapshot.config.coloring.header.clone();
        headers.insert(name, color.value.clone());
    }
}
