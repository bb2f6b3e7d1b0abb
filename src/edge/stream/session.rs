//! What the core asks of a session, in its words (pingora 0.9.1 shows the trait, and documents it
//! nowhere; its own session for HTTP/2 says what is meant).

use super::Exchange;
use crate::edge::pace::Pace;
use async_trait::async_trait;
use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use pingora::ErrorType::ReadTimedout;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, Result};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[async_trait]
impl Session for Exchange {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let timeout = self.read_timeout.filter(|_| self.answered.is_none());
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        poll_fn(|cx| self.poll_body(cx, until)).await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_body_done() {
            return Err(poll_fn(|cx| self.poll_gone(cx)).await);
        }
        self.read_body_bytes().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let limit = self.drain_timeout.unwrap_or(Duration::MAX);
        let drained = tokio::time::timeout(limit, async {
            while !self.is_body_done() && self.read_body_bytes().await?.is_some() {}
            Ok(())
        });
        let late = |_| Error::explain(ReadTimedout, "while draining a body");
        drained.await.map_err(late)?
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.answer(resp, end)
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.answer(Box::new(resp.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.write(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.end_with(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.pass(tasks).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            self.ended = true;
        }
    }

    /// Without one, the body may rest, so that its pace says nothing either.
    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
        if timeout.is_none() {
            self.pace = Pace::default();
        }
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    /// Nobody asks: failures are told by the access log.
    fn request_summary(&self) -> String {
        String::new()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.answered.as_deref()
    }

    fn is_body_done(&mut self) -> bool {
        self.is_body_empty() || self.body.is_end_stream()
    }

    fn is_body_empty(&mut self) -> bool {
        let none = self.length == Some(0);
        self.read == 0 && self.held.is_none() && (none || self.body.is_end_stream())
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// For subrequests, which nobody makes.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        self.replay.get_or_insert_default();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let replay = self.replay.as_ref()?;
        let whole = !replay.truncated && !replay.bytes.is_empty();
        whole.then(|| replay.bytes.clone().freeze())
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}

/// Messages beside those of HTTP, of which there are none.
type Messages = Box<dyn futures::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;
