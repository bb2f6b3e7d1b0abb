//! Answers of the gateway's own: fixed texts, redirects, and answers to `OPTIONS`; and how an
//! answer that is at hand as a whole is sent.

use super::admission;
use super::clock::flush;
use super::context::{Answer, RequestContext};
use super::response_headers::stamp;
use crate::edge::message::{ClientError, ClientLimits, Downstream, Length};
use crate::edge::rejection::Rejection;
use crate::reason::Reason;
use crate::routing::rewrite;
use crate::snapshot::Target;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};

/// An answer that is at hand as a whole.
#[derive(Debug)]
pub struct OwnAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The head is trailers too, as gRPC has it: over HTTP/2 it says nothing about a length.
    pub is_trailers_only: bool,
}

impl OwnAnswer {
    /// Makes an answer without fields.
    pub fn new(status: u16, body: Bytes) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body,
            is_trailers_only: false,
        }
    }

    fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Returns the answer of a route that needs no upstream.
///
/// # Errors
/// The rejection of a request that the route cannot answer.
pub fn of_route(head: &Parts, context: &RequestContext) -> Result<OwnAnswer, Rejection> {
    match context.route().map(|route| &route.target) {
        Some(Target::Fixed(fixed)) => {
            let answer = OwnAnswer::new(fixed.status.as_u16(), fixed.body.clone());
            Ok(answer.with(header::CONTENT_TYPE, fixed.content_type.clone()))
        }
        Some(Target::Redirect(redirect)) => {
            let view = admission::view(head, context);
            let asked = rewrite::Asked {
                host: view.host,
                path: view.path,
                query: view.query,
            };
            let location = redirect.location(asked);
            let location = location.and_then(|location| HeaderValue::try_from(location).ok());
            let location = location.ok_or_else(|| {
                let what = "the request names no host, and its redirect needs one";
                Rejection::new(Reason::BadRequest, what)
            })?;
            let answer = OwnAnswer::new(redirect.status.as_u16(), Bytes::new());
            Ok(answer.with(header::LOCATION, location))
        }
        Some(Target::Upstream(_)) | None => Err(Reason::InternalError.into()),
    }
}

/// Returns the answer to `OPTIONS *`, which asks about the server as a whole (RFC 9110, section
/// 9.3.7), and to a request that may go no further.
pub fn to_options() -> OwnAnswer {
    OwnAnswer::new(204, Bytes::new())
}

/// Sends an answer. `HEAD` gets its head alone.
///
/// # Errors
/// When the client has left, or takes nothing.
pub async fn send<D: Downstream>(
    downstream: &mut D,
    asked: &Parts,
    context: &mut RequestContext,
    answer: OwnAnswer,
    limits: &ClientLimits,
) -> Result<(), ClientError> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    head.headers = answer.headers;
    stamp(&mut head, context);
    // These have no content, and 204 must not say how long it is (RFC 9110, section 8.6).
    let bare = matches!(answer.status, 204 | 304);
    let unsaid = answer.is_trailers_only && asked.version == Version::HTTP_2;
    if !bare && !unsaid {
        let length = HeaderValue::from(answer.body.len());
        head.headers.insert(header::CONTENT_LENGTH, length);
    }
    context.answer = Some(Answer::of(head.status, &head.headers));
    if bare || answer.body.is_empty() || asked.method == Method::HEAD {
        downstream.send_head(head, Length::None)?;
    } else {
        let length = answer.body.len();
        downstream.send_head(head, Length::Exact(length as u64))?;
        context.count_response_out(length);
        downstream.send_data(answer.body)?;
        downstream.send_end(None)?;
    }
    flush(downstream, limits).await
}
