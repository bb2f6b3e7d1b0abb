//! What happens beside the exchange and never holds it up: copies for a mirror, answers kept for
//! worse times.

use super::context::{Journey, Refusal};
use crate::policy::last_good::{self, Reading};
use crate::policy::mirror::Copy;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use std::sync::atomic::Ordering::Relaxed;

/// Tells the mirror that nobody waits for its answer.
static MIRRORED: HeaderName = HeaderName::from_static("x-tyrian-mirrored");

/// Begins a copy of the request as the upstream gets it, if its route has a mirror that wants one.
pub fn copy(session: &mut Session, head: &RequestHeader, journey: &mut Journey) {
    let Some(mirror) = journey.route().and_then(|route| route.mirror.clone()) else {
        return;
    };
    if journey.attempt.number > 1 || session.is_upgrade_req() || !mirror.wants() {
        return;
    }
    let mut headers = head.headers.clone();
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    headers.insert(MIRRORED.clone(), HeaderValue::from_static("1"));
    journey.copy = Some(Copy {
        method: head.method.clone(),
        target: String::from_utf8_lossy(head.raw_path()).into_owned(),
        headers,
        body: Vec::new(),
        size: 0,
    });
    if session.is_body_empty() {
        send_copy(journey);
    }
}

/// Adds a part of the request's body to the copy, and sends it with the last one.
pub fn copy_body(chunk: Option<&Bytes>, end: bool, journey: &mut Journey) {
    let Some(copy) = &mut journey.copy else {
        return;
    };
    if let Some(chunk) = chunk {
        copy.size += chunk.len() as u64;
        copy.body.push(chunk.clone());
    }
    let size = copy.size;
    let mirror = journey.route().and_then(|route| route.mirror.as_ref());
    match mirror.filter(|mirror| size > mirror.config.body_max.0) {
        Some(mirror) => {
            mirror.dropped.fetch_add(1, Relaxed);
            journey.copy = None;
        }
        None if end => send_copy(journey),
        None => {}
    }
}

/// To the version of the request's color, else the default one.
fn send_copy(journey: &mut Journey) {
    let Some(copy) = journey.copy.take() else {
        return;
    };
    let snapshot = journey.snapshot.clone();
    let Some(mirror) = journey.route().and_then(|route| route.mirror.as_ref()) else {
        return;
    };
    let config = &snapshot.config;
    let name = &mirror.config.service;
    let color = journey.requested_color().and_then(|id| snapshot.color(id));
    let color = color.and_then(|color| config.colors.get(&color.name)?.versions.get(name));
    let default = config.services.get(name).map(|service| &service.default);
    let service = snapshot.service_named(name);
    let version = color
        .or(default)
        .and_then(|version| service?.version_named(version));
    let endpoint = version.and_then(|version| version.pick(&[], fastrand::u64(..)));
    match endpoint.and_then(|(_, endpoint)| endpoint.state.socket_address()) {
        Some(address) => mirror.send(address, copy),
        None => drop(mirror.failed.fetch_add(1, Relaxed)),
    }
}

fn key(session: &Session) -> Option<u64> {
    let head = session.req_header();
    let host = head
        .headers
        .get(header::HOST)
        .map_or(&[][..], HeaderValue::as_bytes);
    last_good::key(&head.method, host, head.raw_path(), &head.headers)
}

/// Begins to keep an answer, if its service may need it one day.
pub fn keep(session: &Session, head: &ResponseHeader, journey: &mut Journey) {
    let wanted = journey
        .service()
        .is_some_and(|service| service.last_good.is_some());
    if wanted && session.req_header().method == http::Method::GET && journey.identity.is_none() {
        journey.keeping =
            key(session).and_then(|key| Reading::begin(key, head.status, &head.headers));
    }
}

/// Keeps a part of an answer's body.
pub fn keep_body(chunk: Option<&Bytes>, end: bool, journey: &mut Journey) {
    let Some(reading) = &mut journey.keeping else {
        return;
    };
    if chunk.is_some_and(|chunk| !reading.more(chunk)) {
        journey.keeping = None;
    } else if end
        && let Some(read) = journey.keeping.take()
        && let Some((kept, _)) = journey
            .service()
            .and_then(|service| service.last_good.as_ref())
    {
        kept.keep(read);
    }
}

/// The last good answer to the same request, in place of a refusal.
pub fn recall(session: &Session, journey: &Journey, refusal: Refusal) -> Refusal {
    let kept = journey
        .service()
        .and_then(|service| service.last_good.as_ref());
    let answer = kept.and_then(|(kept, max)| kept.get(key(session)?, *max));
    let Some(answer) = answer else { return refusal };
    let mut headers = answer.headers.clone();
    headers.push((header::AGE, HeaderValue::from(answer.age().as_secs())));
    refusal.answering(200, headers, answer.body.to_vec())
}
