//! Writes an answer of the gateway's own, with its body or without.

use super::facts::Facts;
use super::fields::content_length;
use bytes::Bytes;
use http::{Method, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

/// Bodies up to this size are read off so that the connection can be kept.
const DRAINABLE: u64 = 64 * 1024;

/// Says that the connection closes after this answer, where its listener drains.
pub fn announce_end(session: &mut Session) {
    if Facts::of(session.digest()).is_some_and(Facts::closes) {
        session.set_keepalive(None);
    }
}

/// Keeps the connection of a request that was refused after the core had turned to an upstream:
/// the core would close then, whatever the answer says. Not where the answer says `close`, or the
/// rest of the request does not come.
pub async fn keep_connection(session: &mut Session) {
    if session.get_keepalive().is_none() || session.drain_request_body().await.is_err() {
        return;
    }
    if let Some(facts) = Facts::of(session.digest()) {
        facts.keep();
    }
}

/// Writes a whole answer. `HEAD` gets its head alone.
///
/// # Errors
/// When the client has gone.
pub async fn write(session: &mut Session, head: ResponseHeader, body: Bytes) -> Result<()> {
    let drains = can_drain(session);
    match drains {
        // The core would close wherever a body has not been read to its end.
        true => session.set_close_on_response_before_downstream_finish(false),
        false => session.set_keepalive(None),
    }
    announce_end(session);
    write_whole(session, head, body).await?;
    let h1 = matches!(session.as_downstream(), ServerSession::H1(_));
    if drains && h1 && session.get_keepalive().is_none() {
        // The connection closes: over bytes that were not read the kernel would reset it, and the
        // answer would be lost. Where it is kept, the core reads them.
        let _ = session.drain_request_body().await;
    }
    Ok(())
}

async fn write_whole(session: &mut Session, head: ResponseHeader, body: Bytes) -> Result<()> {
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

/// Whether the rest of the request is small enough to read off. A client that waits to be asked for
/// it may never send it.
fn can_drain(session: &mut Session) -> bool {
    if session.is_body_empty() || session.is_body_done() {
        return true;
    }
    let headers = &session.req_header().headers;
    let short = content_length(headers).is_some_and(|length| length <= DRAINABLE);
    short && !headers.contains_key(header::EXPECT)
}
