//! JSON Web Tokens: whose are believed, and what a verified one says (RFC 7519, RFC 8725).
//!
//! An exchange asks a [`Provider`] about a token; nothing here waits for an issuer, except for keys
//! that are being fetched at that very moment, and then for a bounded time.
//!
//! **Invariants:** an algorithm is used only with a key of its own kind, and only if the provider
//! names it. Nothing in a token's header leads anywhere: `jku`, `x5u`, `jwk` are never followed.
//! A cached verdict dies with the token, with its keys, and after a minute.

mod cache;
mod claims;
#[cfg(test)]
mod claims_tests;
pub mod color;
mod crypto;
mod fetch;
mod keys;
mod pem;
mod provider;
mod results;
pub mod revoked;
mod stash;
mod state;
#[cfg(test)]
mod tests;
mod token;
#[cfg(test)]
mod vectors;

pub use claims::Fault;
pub use keys::{KeySet, UnusableKeys};
pub use provider::{Materials, Provider, Verified};
pub use results::Results;
pub use token::{Located, locate};

/// Whatever bytes come as a token or as keys are taken apart or refused: for fuzzers.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(token) = std::str::from_utf8(bytes) {
        let _ = token::Parts::of(token);
    }
    let _ = KeySet::from_jwks(bytes);
}

/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 8 * 1024;
