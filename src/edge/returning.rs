//! What comes back from the upstream: the answer becomes the gateway's own message before it goes to the
//! client.

use super::context::Journey;
use super::fields::{KEEP_ALIVE, PROXY_CONNECTION, elements_of, is_padded};
use super::{forward, plugins, policies};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use smallvec::SmallVec;

/// Largest head of an answer, in bytes of names and values; clients take less, most of them.
const ANSWER_HEAD_MAX: usize = 256 * 1024;

/// Whether an answer means the same to every client.
///
/// # Errors
/// What is wrong with it.
pub fn check(head: &ResponseHeader) -> Result<(), &'static str> {
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
            Err("the answer has a transfer coding that nobody asked for")
        }
        () if size > ANSWER_HEAD_MAX => Err("the answer's head is too large"),
        () if !is_sound(head) => Err("the answer's head is malformed"),
        () => Ok(()),
    }
}

/// How the length of an answer is told: as every client understands it, if the only transfer coding is
/// `chunked`, once. Nobody has asked for others (RFC 9112, section 7.4), and they would be taken for
/// content where the next hop speaks HTTP/2.
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

/// Whether the values of an answer are those that its upstream meant: over HTTP/2, white space around
/// one is malformed, over HTTP/1 it has been taken off.
fn is_sound(head: &ResponseHeader) -> bool {
    head.version != Version::HTTP_2 || !head.headers.values().any(is_padded)
}

/// Whether a final answer is still to come. A switch of protocols is one.
pub fn is_interim(head: &ResponseHeader) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

/// Takes off the upstream's answer what was for the gateway alone.
pub fn clean(head: &mut ResponseHeader, to_http10: bool, journey: &Journey) -> Result<()> {
    take_load(head, journey);
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    // These have no content, and must not say how long it is (RFC 9110, section 8.6).
    let bare = head.status.is_informational() || head.status == StatusCode::NO_CONTENT;
    let color = &journey.snapshot.config.coloring.header;
    let mut gone: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for (name, value) in &head.headers {
        let goes = match *name {
            header::CONNECTION => !switches,
            // A client that has to upgrade hears to what (RFC 9110, section 15.5.22).
            header::UPGRADE => !switches && head.status != StatusCode::UPGRADE_REQUIRED,
            header::CONTENT_LENGTH => bare,
            // HTTP/1.0 has no transfer codings: the end of the connection is the end of the body.
            header::TRANSFER_ENCODING => bare || to_http10,
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
        head.remove_header(name);
    }
    one_length(head)?;
    if matches!(head.version, Version::HTTP_09 | Version::HTTP_10) {
        // Whoever passes a message on speaks its own version (RFC 9110, section 2.5).
        head.set_version(Version::HTTP_11);
    }
    Ok(())
}

/// The fields that a line of `Connection` names: they are for the neighbour alone (RFC 9110, section
/// 7.6.1).
fn nominated(line: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let options = elements_of(line).filter(|option| {
        // Most upstreams say one of these, which name no field, or one that goes anyway.
        !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close")
    });
    let names = options.filter_map(|option| HeaderName::from_bytes(option).ok());
    // What says how the message is cut is not up to anybody's choice.
    names.filter(|name| {
        let kept = [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ];
        !kept.contains(name)
    })
}

/// Equal lengths, in one line or several, become one (RFC 9110, section 8.6); the core has refused
/// different ones.
fn one_length(head: &mut ResponseHeader) -> Result<()> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(first), second) = (lengths.next(), lengths.next()) else {
        return Ok(());
    };
    let length = first.as_bytes().split(|byte| *byte == b',').next();
    let length = length.unwrap_or_default().trim_ascii();
    if second.is_none() && length.len() == first.len() {
        return Ok(());
    }
    let length = HeaderValue::from_bytes(length).ok();
    match length.filter(|length| !length.is_empty()) {
        Some(length) => head.insert_header(header::CONTENT_LENGTH, length),
        None => Ok(()),
    }
}

/// What endpoints tell of their own load, 0 to 1.
static ENDPOINT_LOAD: HeaderName = HeaderName::from_static("x-endpoint-load");

fn take_load(head: &mut ResponseHeader, journey: &Journey) {
    let reports = journey
        .service()
        .is_some_and(|service| service.reported_load);
    if reports
        && let Some(load) = head.remove_header(&ENDPOINT_LOAD)
        && let Some(load) = load.to_str().ok().and_then(|load| load.trim().parse().ok())
        && let Some(endpoint) = journey.endpoint()
    {
        endpoint.state.report_load(load);
    }
}

/// Gives a sticky client the name of its endpoint, where it has another one or none.
pub fn stick(head: &mut ResponseHeader, journey: &Journey) -> Result<()> {
    let sticky = journey.service().and_then(|of| of.sticky.as_ref());
    let (Some(sticky), Some(endpoint)) = (sticky, journey.endpoint()) else {
        return Ok(());
    };
    if journey.attempt.sticky == Some(endpoint.id()) {
        return Ok(());
    }
    let age = sticky
        .max_age
        .map(|age| format!("; Max-Age={}", age.as_secs()));
    let (name, id, age) = (&sticky.cookie.0, endpoint.id(), age.unwrap_or_default());
    let secure = journey.cookie_secure();
    let cookie = format!("{name}={id:016x}; Path=/; HttpOnly; SameSite=Lax{age}{secure}");
    head.append_header(header::SET_COOKIE, cookie)?;
    Ok(())
}

/// What every answer tells: the request's id, and to trusted peers its color.
pub fn stamp(head: &mut ResponseHeader, journey: &Journey) -> Result<()> {
    if let Some(id) = &journey.request_id {
        // By its spelling, which the core need not copy then.
        head.insert_header(forward::X_REQUEST_ID_SPELT, id.clone())?;
    }
    if let Some(cookie) = &journey.set_color {
        head.append_header(header::SET_COOKIE, cookie.clone())?;
    }
    plugins::response_head(head, journey);
    for (name, value) in policies::readings(journey) {
        head.append_header(name.clone(), value.clone())?;
    }
    let name = &journey.snapshot.config.coloring.header;
    let color = journey.requested_color().filter(|_| journey.client.trusted);
    match color.and_then(|id| journey.snapshot.color(id)) {
        Some(color) => head.insert_header(name.clone(), color.value.clone()),
        None => Ok(()),
    }
}
