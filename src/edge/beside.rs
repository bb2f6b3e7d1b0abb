//! What happens beside the exchange and never holds it up: answers kept for worse times.

use super::context::{Journey, Refusal};
use crate::policy::last_good::{self, Reading};
use bytes::Bytes;
use http::{HeaderValue, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

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
