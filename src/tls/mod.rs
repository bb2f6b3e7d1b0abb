//! TLS on both sides: certificates read and checked with the configuration, so that a broken file
//! never replaces a good one; rustls does the rest.

mod certificate;
pub mod dev;
pub mod handshake;
mod identity;
mod server;
mod upstream;

pub use certificate::{Certified, Unusable};
pub use identity::Identity;
pub use server::{InUse as ListenerInUse, ListenerTls};
pub use upstream::UpstreamTls;

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// The one cryptography of the process.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// Makes it the default of libraries that ask for one. Safe to call often.
pub fn install_provider() {
    // Whoever was first chose the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
