//! Requests that the gateway makes on its own behalf: keys, authorization, health. Bounded in time
//! and size, never redirected, never through a proxy that the environment names.

use crate::files;
use std::path::Path;
use std::time::Duration;

/// What holds for every client.
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent("tyrian")
}

/// A client whose requests take no longer than `timeout`, body included. `ca` is a PEM file of
/// authorities that are believed instead of the system's.
///
/// # Errors
/// When the file cannot be used.
pub fn client(timeout: Duration, ca: Option<&Path>) -> Result<reqwest::Client, String> {
    client_as(timeout, ca, None)
}

/// As [`client`]; shows a certificate (chain and key in PEM) where it is asked for one.
///
/// # Errors
/// When a file cannot be used.
pub fn client_as(
    timeout: Duration,
    ca: Option<&Path>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
) -> Result<reqwest::Client, String> {
    let mut builder = builder().timeout(timeout).connect_timeout(timeout);
    if let Some((chain, key)) = identity {
        let pem = [chain.as_slice(), b"\n", key.as_slice()].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(words)?);
    }
    if let Some(path) = ca {
        let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let pem = files::read(path, files::PEM_MAX).map_err(|error| fail(&error))?;
        let authorities =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| fail(&error))?;
        builder = builder.tls_built_in_root_certs(false);
        for authority in authorities {
            builder = builder.add_root_certificate(authority);
        }
    }
    builder.build().map_err(words)
}

/// An error with its causes in one line.
pub fn words(error: reqwest::Error) -> String {
    use std::error::Error;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// The body of an answer, if it is not longer than `max` bytes.
///
/// # Errors
/// When it is longer or breaks off.
pub async fn body(mut answer: reqwest::Response, max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(words)? {
        if bytes.len() + chunk.len() > max {
            return Err(format!("the answer is larger than {max} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
