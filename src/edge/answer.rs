//! Writes an answer of the gateway's own, with its body or without.

use bytes::Bytes;
use http::Method;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

/// Writes a whole answer. `HEAD` gets its head alone.
///
/// # Errors
/// When the client has gone.
pub async fn write(session: &mut Session, head: ResponseHeader, body: Bytes) -> Result<()> {
    let bodiless = matches!(head.status.as_u16(), 204 | 304);
    let empty = bodiless || body.is_empty() || session.req_header().method == Method::HEAD;
    if empty && let ServerSession::Custom(stream) = session.as_downstream_mut() {
        // The core would end the stream with a DATA frame of its own, which is not what an answer
        // of trailers alone is (gRPC), nor one to HEAD.
        return stream.write_response_header(Box::new(head), true).await;
    }
    session.write_response_header(Box::new(head), empty).await?;
    match empty {
        true => Ok(()),
        false => session.write_response_body(Some(body), true).await,
    }
}
