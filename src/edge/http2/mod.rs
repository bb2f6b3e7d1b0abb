//! HTTP/2 on both sides of the exchange (RFC 9113), over the `h2` library.

pub mod connection;
mod downstream;
mod frame_budget;
pub mod frames;
mod io;
mod request_head;
mod streams;
#[cfg(test)]
mod tests;
pub mod upstream;
