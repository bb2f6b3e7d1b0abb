//! Answers made smaller on their way to clients that take it (RFC 9110, section 12.5.3).
//!
//! Never touched: what is coded already, what says `no-transform`, parts of ranges, and answers
//! without a body. Their metadata still says what a `GET` of the same client would be told.

mod choice;
mod encoder;
mod metadata;

pub use encoder::Encoder;

use crate::config::compress::{Coding, Table};
use crate::edge::headers::{DIGESTS, varies_by, vary_by};
use bytes::Bytes;
use choice::chosen;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use http::{request, response};
use std::io;

/// Decides whether an answer is coded, and makes its head say so. Returns the encoder of its body
/// where that is to be coded.
pub fn begin(
    asked: &request::Parts,
    head: &mut response::Parts,
    rules: &Table,
) -> Option<Box<Encoder>> {
    if !metadata::may_be_coded(head.status, &head.headers, rules) {
        return None;
    }
    // A cache must know that another client may get another representation.
    vary_by(&mut head.headers, &header::ACCEPT_ENCODING);
    let coding = coding_for(asked, head.status, &rules.codings)?;
    if head.status == StatusCode::NOT_MODIFIED {
        metadata::not_modified(&asked.headers, &mut head.headers);
        return None;
    }
    if asked.method == Method::HEAD {
        metadata::coded(&mut head.headers, coding);
        return None;
    }
    let encoder = Encoder::new(coding).ok()?;
    metadata::coded(&mut head.headers, coding);
    Some(Box::new(encoder))
}

/// The coding of the whole representation that this client would be sent. Parts of one are always
/// parts of the plain bytes, and HTTP/1.0 has no framing for a body whose length changes.
fn coding_for(asked: &request::Parts, status: StatusCode, ours: &[Coding]) -> Option<Coding> {
    match status == StatusCode::PARTIAL_CONTENT || asked.version == Version::HTTP_10 {
        true => None,
        false => chosen(&asked.headers, ours),
    }
}

/// Tells caches of an answer that is sent again as it was kept, never coded, that another one may
/// be.
pub fn kept(headers: &mut Vec<(HeaderName, HeaderValue)>, rules: Option<&Table>) {
    let map: HeaderMap = headers.iter().cloned().collect();
    if rules.is_some_and(|rules| metadata::may_be_coded(StatusCode::OK, &map, rules))
        && !varies_by(&map, &header::ACCEPT_ENCODING)
    {
        let value = HeaderValue::from_static("accept-encoding");
        headers.push((header::VARY, value));
    }
}

impl Encoder {
    /// Codes one part of the body.
    ///
    /// # Errors
    /// When the encoder fails; the answer is cut then, never sent wrong.
    pub fn code(&mut self, body: &mut Option<Bytes>, end: bool) -> io::Result<()> {
        let own = body.take().unwrap_or_default();
        if own.is_empty() && !end {
            return Ok(());
        }
        let sent = self.piece(&own, end)?;
        *body = (!sent.is_empty()).then(|| sent.into());
        Ok(())
    }
}

/// Removes digests of the plain bytes from the trailers of a coded answer.
pub fn trailers(trailers: &mut HeaderMap) {
    for name in &DIGESTS {
        trailers.remove(name);
    }
}
