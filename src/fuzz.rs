//! What fuzzers feed: one function a reader of hostile bytes, each of which panics when a promise
//! is broken. `fuzz/` runs them with mutations; the ordinary tests replay its corpora.

use crate::config::load_text;
use crate::edge;
use crate::policy::jwt;
use crate::routing::{carried, host, path};
use http::{HeaderMap, HeaderValue, header};

/// A name and what it feeds.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("config", config),
    ("head", head),
    ("body", body),
    ("target", target),
    ("fields", fields),
    ("proxy_protocol", proxy_protocol),
    ("http2", http2),
    ("jwt", jwt),
];

fn no_environment(_: &str) -> Option<String> {
    None
}

/// Any text is a configuration or a list of what is wrong with it, which can be shown.
pub fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let loaded = load_text("fuzz.toml", text, &no_environment);
        assert!(loaded.config.is_some() || loaded.has_errors());
        let _ = loaded.render_human(false);
        let _ = loaded.render_json();
    }
}

/// A head of a request is taken or refused, however it is cut.
pub fn head(bytes: &[u8]) {
    edge::fuzz::head(bytes);
}

/// So is a chunked body.
pub fn body(bytes: &[u8]) {
    edge::fuzz::body(bytes);
}

/// A path in normal form stays as it is, and has nothing left to climb by.
pub fn target(bytes: &[u8]) {
    let Ok(normal) = path::normalise_path(bytes) else {
        return;
    };
    assert!(normal.starts_with('/'), "{normal:?}");
    assert!(!normal.split('/').any(|part| part == ".." || part == "."));
    let again = path::normalise_path(normal.as_bytes());
    assert!(again.is_ok_and(|again| again == normal), "{normal:?}");
}

/// Cookies, baggage and hosts are read without a doubt, and a member that was taken out is gone.
pub fn fields(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    if let Ok(text) = value.to_str() {
        if let Ok(normal) = host::normalise_host(text) {
            let again = host::normalise_host(&normal);
            assert!(again.is_ok_and(|again| again == normal), "{normal:?}");
        }
        if let Some(kept) = carried::strip_baggage_members(text, &["color"]) {
            let kept = HeaderValue::from_str(&kept);
            let headers = kept.map(|kept| HeaderMap::from_iter([(header::ACCEPT, kept)]));
            let headers: HeaderMap = headers
                .map(|own| own.into_iter().map(|(_, v)| (baggage(), v)).collect())
                .unwrap_or_default();
            assert!(carried::baggage(&headers, "color").is_none(), "{text:?}");
        }
    }
    let headers = HeaderMap::from_iter([(header::COOKIE, value.clone()), (baggage(), value)]);
    let _ = carried::cookie(&headers, "color");
    let _ = carried::baggage(&headers, "color");
}

fn baggage() -> http::HeaderName {
    http::HeaderName::from_static("baggage")
}

/// A header of the PROXY protocol is whole, goes on, or is none.
pub fn proxy_protocol(bytes: &[u8]) {
    edge::fuzz::proxy_protocol(bytes);
}

/// Frames are judged the same however they are cut.
pub fn http2(bytes: &[u8]) {
    edge::fuzz::http2(bytes);
}

/// A token and a set of keys are taken apart, or refused.
pub fn jwt(bytes: &[u8]) {
    jwt::fuzz(bytes);
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    /// Changes of each seed that are tried; a fuzzer tries more.
    const CHANGES: usize = 300;

    fn changed(seed: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..=bytes.len());
            match random.u8(0..4) {
                0 if at < bytes.len() => bytes[at] = random.u8(..),
                1 => bytes.insert(at, *random.choice(b"\r\n\0 \t:;,=/.%#\"\\\xff").unwrap()),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }

    #[test]
    fn every_seed_keeps_its_promise_and_so_do_its_neighbours() {
        for (name, target) in TARGETS {
            let pattern = format!("fuzz/corpus/{name}/*");
            let mut random = fastrand::Rng::with_seed(7);
            let mut seeds = 0;
            for path in glob::glob(&pattern).unwrap().map(Result::unwrap) {
                let seed = std::fs::read(path).unwrap();
                target(&seed);
                for _ in 0..CHANGES {
                    target(&changed(&seed, &mut random));
                }
                seeds += 1;
            }
            assert!(seeds >= 3, "{name} has {seeds} seeds");
        }
    }
}
