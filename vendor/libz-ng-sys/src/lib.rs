//! The C API that flate2's `zlib-ng` feature links against, served from stock zlib.
#![no_std]
pub use libz_sys::*;
