//! Bodies of requests: how long they say they are, who waits to be asked for one, and what is done
//! with each piece.

use super::context::{Journey, Refusal};
use super::fields::{content_length, elements};
use super::plugins;
use crate::reason::Reason;
use bytes::Bytes;
use http::{Version, header};
use pingora::Result;
use pingora::proxy::Session;

/// The refusal of a body that is.
pub fn too_large() -> Refusal {
    Refusal::new(
        Reason::BodyTooLarge,
        "the request body is larger than the route allows",
    )
}

/// Refuses a body that is announced too large before a byte of it is read.
///
/// # Errors
/// The refusal to answer with.
pub fn check_length(session: &Session, journey: &Journey) -> Result<(), Refusal> {
    let Some(max) = journey.route().and_then(|route| route.body_max) else {
        return Ok(());
    };
    match content_length(&session.req_header().headers) {
        Some(length) if max < length => Err(too_large()),
        _ => Ok(()),
    }
}

/// The request is accepted: whoever waits to be told may send its body (RFC 9110, section 10.1.1).
///
/// # Errors
/// When the client has gone.
pub async fn expect_continue(session: &mut Session) -> Result<()> {
    let head = session.req_header();
    let waits = elements(&head.headers, &header::EXPECT)
        .any(|what| what.eq_ignore_ascii_case(b"100-continue"));
    // HTTP/1.0 has no such thing.
    if head.version == Version::HTTP_10 || !waits || session.is_body_empty() {
        return Ok(());
    }
    let keepalive = session.get_keepalive();
    session
        .as_downstream_mut()
        .write_continue_response()
        .await?;
    // An interim answer is no reason to close, as the core has it.
    session.set_keepalive(keepalive);
    Ok(())
}

/// Takes the next piece of a body to what the upstream gets of it.
///
/// # Errors
/// The refusal to answer with.
pub fn piece(journey: &mut Journey, body: &mut Option<Bytes>, end: bool) -> Result<(), Refusal> {
    if let Some(bridge) = &mut journey.bridge {
        let decoded = bridge.request_piece(body, end);
        decoded.map_err(|_| Refusal::new(Reason::BadRequest, "the body is not base64"))?;
    }
    let max = journey.route().and_then(|route| route.body_max);
    if max.is_some_and(|max| journey.body_bytes > max) {
        return Err(too_large());
    }
    plugins::request_body(journey, body, end)
}
