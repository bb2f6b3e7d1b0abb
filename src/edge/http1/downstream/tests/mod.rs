//! A client connection from request to answer, over a pair of sockets.

mod answers;
mod closing;
mod reading;
mod switching;
