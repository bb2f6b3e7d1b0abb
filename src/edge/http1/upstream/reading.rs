//! The answer's half: what has come is taken off the buffer part by part.

use super::Http1Upstream;
use super::chunked::Step;
use super::framing::Body;
use super::head::{Head, Reader};
use super::sending::Sending;
use crate::edge::message::{Frame, Length, UpstreamError};
use http::response;

/// What of the answer comes next.
#[derive(Debug)]
pub enum Reading {
    Head(Reader),
    Body(Body),
    Nothing,
    Failed(UpstreamError),
}

impl<S> Http1Upstream<S> {
    /// Takes the next head off the buffer, if all of it is there.
    pub(super) fn next_head(&mut self) -> Result<Option<Head>, UpstreamError> {
        let Reading::Head(reader) = &mut self.reading else {
            return Err(match self.reading {
                Reading::Failed(error) => error,
                // The final head has been returned.
                _ => UpstreamError::Closed,
            });
        };
        let read = reader.read(self.input.bytes(), self.asked);
        let head = read.map_err(UpstreamError::Malformed)?;
        match head.as_ref().map(|head| &head.body) {
            // Nothing of another protocol may be sent before (RFC 9110, section 7.8).
            Some(Body::Raw) if matches!(self.sending, Sending::Exact(_) | Sending::Chunks) => {
                let what = "the answer switches protocols before the end of the request";
                return Err(UpstreamError::Malformed(what));
            }
            _ => {}
        }
        Ok(head)
    }

    /// Takes note of what follows a head.
    pub(super) fn follow(&mut self, head: Head) -> (response::Parts, Length) {
        match head.body {
            Body::Head => return (head.parts, head.length),
            Body::Exact(0) => self.reading = Reading::Nothing,
            Body::Raw => {
                self.reading = Reading::Body(Body::Raw);
                if self.sending == Sending::Nothing {
                    self.sending = Sending::Raw;
                }
            }
            body => self.reading = Reading::Body(body),
        }
        self.keeps = head.keeps;
        (head.parts, head.length)
    }

    /// The connection has ended within a head.
    pub(super) fn cut_head(&mut self) -> UpstreamError {
        match &mut self.reading {
            Reading::Head(reader) if !self.input.is_empty() => {
                let malformed = reader.finish(self.input.bytes(), self.asked).err();
                malformed.map_or(UpstreamError::Closed, UpstreamError::Malformed)
            }
            _ => UpstreamError::Closed,
        }
    }

    /// Takes the next part of the body off the buffer.
    pub(super) fn next_frame(&mut self) -> Result<Step, UpstreamError> {
        let body = match &mut self.reading {
            Reading::Body(body) => body,
            Reading::Nothing => return Ok(Step::End),
            Reading::Failed(error) => return Err(*error),
            // The head has not been returned.
            Reading::Head(_) => return Err(UpstreamError::Closed),
        };
        let data = match body {
            Body::Chunked(decoder) => {
                let step = decoder.step(self.input.bytes());
                return step.map_err(UpstreamError::Malformed);
            }
            _ if self.input.is_empty() => return Ok(Step::More),
            Body::Exact(left) if *left < self.input.bytes().len() as u64 => {
                let last = self.input.bytes().split_to(*left as usize).freeze();
                *left = 0;
                last
            }
            Body::Exact(left) => {
                let data = self.input.take();
                *left -= data.len() as u64;
                data
            }
            Body::UntilClose | Body::Raw | Body::Head => self.input.take(),
        };
        if matches!(body, Body::Exact(0)) {
            self.reading = Reading::Nothing;
        }
        Ok(Step::Frame(Frame::Data(data)))
    }

    /// Whether the end of the connection is the end of the answer.
    pub(super) const fn ends_by_close(&self) -> bool {
        matches!(self.reading, Reading::Body(Body::UntilClose | Body::Raw))
    }
}
