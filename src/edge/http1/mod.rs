//! HTTP/1 on both sides of the exchange (RFC 9112).

pub mod upstream;
