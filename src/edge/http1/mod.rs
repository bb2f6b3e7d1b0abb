//! HTTP/1 on both sides of the exchange (RFC 9112).

pub mod canonicalize;
pub mod chunked;
pub mod connection;
pub mod downstream;
mod next;
mod output;
pub mod refuse;
pub mod request_head;
#[cfg(test)]
mod testing;
pub mod trailers;
pub mod upstream;
