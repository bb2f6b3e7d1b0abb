//! Copies of requests for a mirror, and what of their answers is compared. The exchange itself
//! waits for none of it.

use super::grpc;
use crate::config::mirror::Compare;
use crate::edge::headers::is_endless;
use crate::policy::mirror::{Answer, Asked, Mirror, Place, Reading, Side};
use crate::routing::client_fields::MIRRORED;
use crate::upstream::{SideClient, SideRequest};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header, request, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// The copy of one request, and the original's answer, as far as they have come.
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

/// The original's answer, and the way to the comparison.
#[derive(Debug)]
struct Original {
    reading: Option<Reading>,
    tell: oneshot::Sender<Answer>,
}

/// Where a copy goes, beside the version of the original.
#[derive(Debug)]
pub struct Destination {
    /// `None`: the mirror's version does not exist.
    pub copy: Option<Arc<SideClient>>,
    /// The original's version, which is asked once more to tell noise from differences.
    pub original: Option<Arc<SideClient>>,
}

impl Mirroring {
    /// Begins a copy of the request as the upstream gets it, if the mirror wants one.
    pub fn copy(&mut self, mirror: &Mirror, head: &request::Parts) {
        if !mirror.wants() {
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
            self.original = Some(Original { reading, tell });
            original
        });
        let target = head.uri.path_and_query();
        self.copy = Some(Copy {
            method: head.method.clone(),
            target: target
                .map_or("/", http::uri::PathAndQuery::as_str)
                .to_owned(),
            headers,
            body: Vec::new(),
            original,
        });
    }

    /// Another try begins, which may be at another version: there is nothing to compare.
    pub fn retried(&mut self) {
        *self = Self::default();
    }

    /// Whether a copy waits for more of the request's body, or for its end.
    pub const fn is_copying(&self) -> bool {
        self.copy.is_some()
    }

    /// Adds a part of the request's body to the copy.
    pub fn data(&mut self, mirror: &Mirror, data: &Bytes) {
        let Some(copy) = &mut self.copy else { return };
        copy.body.extend_from_slice(data);
        if copy.body.len() as u64 > mirror.config.body_max.0 {
            mirror.dropped.fetch_add(1, Relaxed);
            *self = Self::default();
        }
    }

    /// Sends the copy, which is complete.
    pub fn send(&mut self, mirror: &Arc<Mirror>, to: Destination) {
        let Some(copy) = self.copy.take() else { return };
        let Some(client) = to.copy else {
            mirror.failed.fetch_add(1, Relaxed);
            return;
        };
        let safe = matches!(copy.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let compares_noise = copy.original.is_some() && safe && mirror.wants_noise();
        let again = to.original.filter(|_| compares_noise);
        let Some(place) = mirror.enter() else { return };
        let request = SideRequest {
            method: copy.method,
            target: copy.target,
            headers: copy.headers,
            body: copy.body.into(),
        };
        tokio::spawn(run(place, request, client, again, copy.original));
    }

    /// Reads the head of the original's answer, as the upstream gave it.
    pub fn answered(&mut self, mirror: &Mirror, head: &response::Parts, took: Duration) {
        let Some(original) = &mut self.original else {
            return;
        };
        let status = head.status.as_u16();
        let endless = is_endless(head.status, &head.headers);
        let compare = mirror.config.compare.as_ref();
        original.reading =
            compare.map(|compare| Reading::begin(compare, status, &head.headers, took, endless));
    }

    /// Reads a part of the original's answer.
    pub fn answered_data(&mut self, data: &Bytes) {
        if let Some(original) = &mut self.original
            && let Some(reading) = &mut original.reading
        {
            reading.more(data);
        }
    }

    /// Compares the original's answer, which was served to its end, with that of the copy.
    pub fn ended(&mut self, grpc: Option<u8>) {
        if let Some(original) = self.original.take()
            && let Some(reading) = original.reading
        {
            // The copy may have ended before.
            let _ = original.tell.send(reading.end(grpc));
        }
    }
}

/// Sends a copy, and compares what comes back with what the original got.
async fn run(
    place: Place,
    request: SideRequest,
    to: Arc<SideClient>,
    again: Option<Arc<SideClient>>,
    original: Option<oneshot::Receiver<Answer>>,
) {
    let mirror = &place.0;
    let second = async {
        match &again {
            Some(again) => ask(again, &request, mirror).await,
            None => None,
        }
    };
    let (copy, second) = tokio::join!(ask(&to, &request, mirror), second);
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
        method: request.method.as_str(),
        target: &request.target,
    };
    tally.compare(Side::Copy, asked, &original, &copy);
    if let Some(second) = second {
        tally.compare(Side::Noise, asked, &original, &second);
    }
}

/// The answer to a copy, if it comes in time.
async fn ask(client: &SideClient, request: &SideRequest, mirror: &Mirror) -> Option<Answer> {
    let began = Instant::now();
    let until = began + mirror.config.timeout;
    let (answer, used) = match timeout_at(until, client.send(request)).await.ok()? {
        Ok(answered) => answered,
        Err(error) => {
            tracing::debug!(%error, "a copy was not answered");
            return None;
        }
    };
    let took = began.elapsed();
    let (head, mut body) = answer.into_parts();
    let endless = is_endless(head.status, &head.headers);
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
