//! HTTP/2 (RFC 9113).

#[expect(dead_code, reason = "the exchange that uses it is being written")]
pub mod upstream;
