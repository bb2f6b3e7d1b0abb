//! What happens beside the exchange and never holds it up: answers kept for worse times.

use super::context::{Journey, Refusal};
use super::{admit, compress};
use crate::policy::last_good::{self, Asked, Reading};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// What the answer of the version at hand is kept under. Whoever is known, by whatever means, may
/// have been given what is his alone.
fn key(session: &Session, journey: &Journey) -> Option<u64> {
    let certified = journey.certificate.is_some() && journey.forwards_certificate;
    if journey.identity.is_some() || certified {
        return None;
    }
    let head = session.req_header();
    let view = admit::view(head, journey);
    let color = journey.requested_color();
    let color = color.and_then(|id| journey.snapshot.color(id));
    let asked = Asked {
        scheme: journey.scheme(),
        host: view.host,
        port: admit::port(head),
        path: view.path,
        query: view.query,
        route: journey.route().map_or("", |route| &route.name),
        version: journey.version().map_or("", |version| &version.name),
        color: color.map_or("", |color| &color.name),
    };
    last_good::key(view.method, &asked, view.headers)
}

/// Begins to keep an answer, if its service may need it one day. Its head is as the upstream's
/// that has lost what was for this hop alone, and has nothing yet of what the gateway adds.
pub fn keep(session: &Session, head: &ResponseHeader, journey: &mut Journey) {
    let wanted = journey
        .service()
        .is_some_and(|service| service.last_good.is_some());
    let asked = session.req_header();
    if wanted && asked.method == Method::GET {
        let waited = journey.attempt.head_took.unwrap_or_default();
        journey.keeping = key(session, journey).and_then(|key| {
            Reading::begin(key, &asked.headers, head.status, &head.headers, waited)
        });
    }
}

/// Keeps a part of an answer's body, as plugins have left it: they do not see it again.
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
    let answer = kept.and_then(|(kept, max)| kept.get(key(session, journey)?, *max));
    let Some(answer) = answer else { return refusal };
    let mut headers = answer.headers.clone();
    compress::kept(&mut headers, journey);
    headers.push((header::AGE, HeaderValue::from(answer.age().as_secs())));
    refusal.answering(200, headers, answer.body)
}
