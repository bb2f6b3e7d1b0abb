//! Answers made smaller on their way to clients that take it (RFC 9110, section 12.5.3).
//!
//! Never touched: what is coded already, what says `no-transform`, parts of ranges, and answers
//! without a body. Their metadata still says what a `GET` of the same client would be told.

mod choice;
mod encoder;
mod metadata;

pub use encoder::Encoder;

use super::context::Journey;
use super::fields::{DIGESTS, varies_by, vary_by};
use crate::config::compress::Coding;
use bytes::Bytes;
use choice::chosen;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use std::io;

/// Decides whether this answer is coded, and makes its head say so.
///
/// # Errors
/// Never in practice: the values are sound.
pub fn begin(session: &Session, head: &mut ResponseHeader, journey: &mut Journey) -> Result<()> {
    let Some(rules) = journey.route().and_then(|route| route.compress.as_deref()) else {
        return Ok(());
    };
    let asked = session.req_header();
    if !metadata::may_be_coded(head.status, &head.headers, rules) {
        return Ok(());
    }
    // A cache must know that another client may get another representation.
    vary_by(head, &header::ACCEPT_ENCODING)?;
    match coding_for(asked, head.status, &rules.codings) {
        None => Ok(()),
        Some(_) if head.status == StatusCode::NOT_MODIFIED => {
            metadata::not_modified(&asked.headers, head)
        }
        Some(coding) if asked.method == Method::HEAD => metadata::coded(head, coding),
        Some(coding) => {
            let Ok(encoder) = Encoder::new(coding) else {
                return Ok(());
            };
            metadata::coded(head, coding)?;
            if asked.version == Version::HTTP_11 {
                head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
            }
            journey.encoder = Some(Box::new(encoder));
            Ok(())
        }
    }
}

/// The coding of the whole representation that this client would be sent. Parts of one are always
/// parts of the plain bytes, and HTTP/1.0 has no framing for a body whose length changes.
fn coding_for(asked: &RequestHeader, status: StatusCode, ours: &[Coding]) -> Option<Coding> {
    match status == StatusCode::PARTIAL_CONTENT || asked.version == Version::HTTP_10 {
        true => None,
        false => chosen(&asked.headers, ours),
    }
}

/// Tells caches of an answer that is sent again as it was kept, never coded, that another one may be.
pub fn kept(headers: &mut Vec<(HeaderName, HeaderValue)>, journey: &Journey) {
    let rules = journey.route().and_then(|route| route.compress.as_deref());
    let map: HeaderMap = headers.iter().cloned().collect();
    if rules.is_some_and(|rules| metadata::may_be_coded(StatusCode::OK, &map, rules))
        && !varies_by(&map, &header::ACCEPT_ENCODING)
    {
        let value = HeaderValue::from_static("accept-encoding");
        headers.push((header::VARY, value));
    }
}

/// Compresses one piece of the body.
///
/// # Errors
/// When the encoder fails; the answer is cut then, never sent wrong.
pub fn piece(body: &mut Option<Bytes>, end: bool, journey: &mut Journey) -> io::Result<()> {
    let Some(encoder) = &mut journey.encoder else {
        return Ok(());
    };
    let own = body.take().unwrap_or_default();
    if own.is_empty() && !end {
        return Ok(());
    }
    let sent = encoder.piece(&own, end)?;
    *body = (!sent.is_empty()).then(|| sent.into());
    Ok(())
}

/// Takes digests of the plain bytes off the trailers of a coded answer.
pub fn trailers(trailers: &mut HeaderMap, journey: &Journey) {
    if journey.encoder.is_some() {
        for name in &DIGESTS {
            trailers.remove(name);
        }
    }
}
