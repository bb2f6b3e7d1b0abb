//! HTTP/1 on both sides of the exchange (RFC 9112).

pub mod chunked;
pub mod connection;
pub mod downstream;
mod next;
mod output;
mod refuse;
#[cfg(test)]
mod testing;
pub mod trailers;
