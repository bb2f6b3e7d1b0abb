//! Copies of requests for a mirror, and what of their answers is compared. The exchange itself
//! waits for none of it.

use super::context::Journey;
use super::{grpc, watch};
use crate::config::mirror::Compare;
use crate::policy::mirror::{Answer, Asked, Mirror, Place, Reading, Side};
use crate::routing::client_fields::MIRRORED;
use crate::upstream::{Errand, Errands};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// What one request holds for its mirror, as far as it has come.
#[derive(Debug, Default)]
pub struct Mirroring {
    copy: Option<Copy>,
    original: Option<Original>,
}

/// A copy that is not complete yet.
#[derive(Debug)]
struct Copy {
    method: Method,
    /// Path and query.
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Where the original's answer will come from.
    original: Option<oneshot::Receiver<Answer>>,
}

/// The original's answer, for whoever compares.
#[derive(Debug)]
struct Original {
    reading: Option<Reading>,
    tell: oneshot::Sender<Answer>,
}

/// Begins a copy of the request as the upstream gets it, if its route has a mirror that wants one.
pub fn copy(session: &mut Session, head: &RequestHeader, journey: &mut Journey) {
    let Some(mirror) = journey.route().and_then(|route| route.mirror.clone()) else {
        return;
    };
    if journey.attempt.number > 1 {
        // Another try may be at another version: there is nothing to compare.
        journey.mirroring.original = None;
        return;
    }
    if session.is_upgrade_req() || !mirror.wants() {
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
    let original = mirror.tally.as_ref().map(|_| {
        let (tell, original) = oneshot::channel();
        let reading = None;
        journey.mirroring.original = Some(Original { reading, tell });
        original
    });
    journey.mirroring.copy = Some(Copy {
        method: head.method.clone(),
        target: String::from_utf8_lossy(head.raw_path()).into_owned(),
        headers,
        body: Vec::new(),
        original,
    });
    if session.is_body_empty() {
        send(journey);
    }
}

/// Adds a part of the request's body to the copy, and sends it with the last one.
pub fn copy_body(chunk: Option<&Bytes>, end: bool, journey: &mut Journey) {
    let Some(copy) = &mut journey.mirroring.copy else {
        return;
    };
    copy.body
        .extend_from_slice(chunk.map_or(&[], |chunk| chunk));
    let size = copy.body.len() as u64;
    let mirror = journey.route().and_then(|route| route.mirror.as_ref());
    match mirror.filter(|mirror| size > mirror.config.body_max.0) {
        Some(mirror) => {
            mirror.dropped.fetch_add(1, Relaxed);
            journey.mirroring = Mirroring::default();
        }
        None if end => send(journey),
        None => {}
    }
}

/// The head of the original's answer, as the upstream gave it.
pub fn answered(head: &ResponseHeader, journey: &mut Journey) {
    if journey.mirroring.original.is_none() {
        return;
    }
    let took = journey.attempt.head_took.unwrap_or_default();
    let mirror = journey.route().and_then(|route| route.mirror.as_ref());
    let compare = mirror.and_then(|mirror| mirror.config.compare.as_ref());
    let reading = compare.map(|compare| {
        let status = head.status.as_u16();
        Reading::begin(compare, status, &head.headers, took, journey.endless)
    });
    if let Some(original) = &mut journey.mirroring.original {
        original.reading = reading;
    }
}

/// A part of its body.
pub fn answered_body(chunk: Option<&Bytes>, journey: &mut Journey) {
    if let (Some(original), Some(chunk)) = (&mut journey.mirroring.original, chunk)
        && let Some(reading) = &mut original.reading
    {
        reading.more(chunk);
    }
}

/// The original is over. Where it was not served to its end, nothing is told, and nothing compared.
pub fn ended(journey: &mut Journey) {
    if let Some(original) = journey.mirroring.original.take()
        && let Some(reading) = original.reading
        && journey.refusal.is_none()
    {
        // Nobody may listen any more.
        let _ = original.tell.send(reading.end(journey.attempt.grpc));
    }
}

/// To the mirror's version, else that of the request's color, else the default one.
fn send(journey: &mut Journey) {
    let Some(copy) = journey.mirroring.copy.take() else {
        return;
    };
    let Some(mirror) = journey.route().and_then(|route| route.mirror.clone()) else {
        return;
    };
    let color = journey.requested_color();
    let route = journey.route();
    let goal = route.and_then(|route| journey.snapshot.mirror_version(route, color));
    let Some(errands) = goal.and_then(|version| version.errands().cloned()) else {
        mirror.failed.fetch_add(1, Relaxed);
        return;
    };
    let safe = matches!(copy.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let again = (copy.original.is_some() && safe && mirror.wants_noise())
        .then(|| journey.version()?.errands().cloned())
        .flatten();
    let Some(place) = mirror.enter() else {
        return;
    };
    let errand = Errand {
        method: copy.method,
        target: copy.target,
        headers: copy.headers,
        body: copy.body.into(),
    };
    tokio::spawn(run(place, errand, errands, again, copy.original));
}

/// Sends a copy, and compares what comes back with what the original got.
async fn run(
    place: Place,
    errand: Errand,
    to: Arc<Errands>,
    again: Option<Arc<Errands>>,
    original: Option<oneshot::Receiver<Answer>>,
) {
    let mirror = &place.0;
    let second = async {
        match &again {
            Some(again) => ask(again, &errand, mirror).await,
            None => None,
        }
    };
    let (copy, second) = tokio::join!(ask(&to, &errand, mirror), second);
    let well = copy.as_ref().is_some_and(|copy| copy.status < 500);
    let counter = if well { &mirror.sent } else { &mirror.failed };
    counter.fetch_add(1, Relaxed);
    let (Some(tally), Some(original)) = (&mirror.tally, original) else {
        return;
    };
    let limit = mirror.config.timeout;
    let (Some(copy), Ok(Ok(original))) = (copy, tokio::time::timeout(limit, original).await) else {
        tally.unfinished();
        return;
    };
    let asked = Asked {
        method: errand.method.as_str(),
        target: &errand.target,
    };
    tally.compare(Side::Copy, asked, &original, &copy);
    if let Some(second) = second {
        tally.compare(Side::Noise, asked, &original, &second);
    }
}

/// The answer to an errand, if it comes in time.
async fn ask(errands: &Errands, errand: &Errand, mirror: &Mirror) -> Option<Answer> {
    let began = Instant::now();
    let until = began + mirror.config.timeout;
    let (answer, used) = match timeout_at(until, errands.send(errand)).await.ok()? {
        Ok(answered) => answered,
        Err(error) => {
            tracing::debug!(%error, "a copy was not answered");
            return None;
        }
    };
    let took = began.elapsed();
    let (head, mut body) = answer.into_parts();
    let endless = watch::is_endless(head.status, &head.headers);
    let nothing = Compare::nothing();
    let compare = mirror.config.compare.as_ref().unwrap_or(&nothing);
    let status = head.status.as_u16();
    let mut reading = Reading::begin(compare, status, &head.headers, took, endless);
    let mut grpc = grpc::status(&head.headers);
    // How a call of gRPC has ended is said at its very end.
    if !endless || grpc.is_none() && grpc::is_grpc(&head.headers) {
        match timeout_at(until, rest(&mut body, &mut reading, &mut grpc)).await {
            // Also where nobody compares it: a connection is kept only when its answer is read.
            Ok(Some(true)) => used.keep(),
            Ok(Some(false)) => {}
            // Of a stream that goes on, its head is enough.
            Err(_) if endless => {}
            Ok(None) | Err(_) => return None,
        }
    }
    Some(reading.end(grpc))
}

/// Reads a body as far as it is looked at; returns whether that was all of it. `None`: it broke.
async fn rest(body: &mut Incoming, reading: &mut Reading, grpc: &mut Option<u8>) -> Option<bool> {
    while let Some(frame) = body.frame().await {
        let frame = frame.ok()?;
        if let Some(trailers) = frame.trailers_ref() {
            *grpc = grpc::status(trailers).or(*grpc);
        }
        if frame.data_ref().is_some_and(|chunk| !reading.more(chunk)) {
            return Some(false);
        }
    }
    Some(true)
}
