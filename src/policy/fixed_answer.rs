//! An answer that the configuration gives in full, made once.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// A fixed answer. Sending it copies nothing.
#[derive(Debug, Clone)]
pub struct FixedAnswer {
    pub status: StatusCode,
    pub content_type: HeaderValue,
    pub body: Bytes,
}

impl FixedAnswer {
    pub fn new(status: u16, content_type: HeaderValue, text: &str) -> Self {
        Self {
            // The configuration has statuses from 200 to 599 only.
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            content_type,
            body: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    /// Makes an answer of plain text.
    pub fn text(status: u16, text: &str) -> Self {
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        Self::new(status, content_type, text)
    }
}
