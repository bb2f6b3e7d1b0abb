//! The request's half: what may be sent next, and what it looks like on the connection.

use super::Http1Upstream;
use crate::edge::message::UpstreamError;
use bytes::{BufMut, Bytes};

/// What of the request comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Head,
    /// So many bytes of the body.
    Exact(u64),
    Chunks,
    /// Bytes of another protocol.
    Raw,
    Nothing,
    /// A write has failed: everything that comes is discarded.
    Discarded,
}

impl<S> Http1Upstream<S> {
    pub(super) fn queue_body(&mut self, data: Bytes) -> Result<(), UpstreamError> {
        match &mut self.sending {
            Sending::Discarded => {}
            Sending::Raw => self.output.push(data),
            Sending::Exact(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    self.output.push(data);
                }
                // The upstream would take the rest for another request.
                None => return Err(UpstreamError::Closed),
            },
            // An empty chunk would end the body.
            Sending::Chunks if data.is_empty() => {}
            Sending::Chunks => self.queue_chunk(data),
            Sending::Nothing if data.is_empty() => {}
            Sending::Head | Sending::Nothing => return Err(UpstreamError::Closed),
        }
        Ok(())
    }

    pub(super) fn queue_chunk(&mut self, data: Bytes) {
        let line = self.output.small();
        write_hex(line, data.len());
        line.put_slice(b"\r\n");
        self.output.push(data);
        self.output.small().put_slice(b"\r\n");
    }

    /// Handles a failed write.
    pub(super) fn failed_write(&mut self) -> Result<(), UpstreamError> {
        self.output.discard();
        if self.sending == Sending::Raw {
            // No answer is to come.
            self.sending = Sending::Discarded;
            return Err(UpstreamError::Closed);
        }
        self.sending = Sending::Discarded;
        Ok(())
    }
}

fn write_hex(out: &mut impl BufMut, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) as u32 & 0xf;
        out.put_u8(char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8));
    }
}
