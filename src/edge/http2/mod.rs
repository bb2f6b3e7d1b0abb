//! HTTP/2 with clients (RFC 9113), over the `h2` library.

pub mod connection;
mod downstream;
mod io;
mod streams;

#[cfg(test)]
mod tests;
