//! The last good answers of services whose breaker may serve them while it is open: few, small,
//! and never anything that belongs to one user.

use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Most answers that are kept.
const ANSWERS_MAX: usize = 1024;
/// Largest body that is kept, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The answers of one service.
#[derive(Debug, Default)]
pub struct LastGood {
    answers: DashMap<u64, Answer>,
    pub served: AtomicU64,
}

/// An answer as it was kept.
#[derive(Debug, Clone)]
pub struct Answer {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    at: Instant,
}

impl Answer {
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

/// An answer that is being read, to be kept once it is whole.
#[derive(Debug)]
pub struct Reading {
    key: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// What a request's answer is kept under; `None`: it is not of a kind that is kept. Credentials
/// mean that the answer may be one user's.
pub fn key(method: &Method, host: &[u8], target: &[u8], headers: &HeaderMap) -> Option<u64> {
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let of_somebody = headers.contains_key(header::AUTHORIZATION)
        || headers.contains_key(header::COOKIE)
        || headers.contains_key(header::RANGE);
    if !safe || of_somebody {
        return None;
    }
    let mut hasher = SECRET.build_hasher();
    (host, target).hash(&mut hasher);
    for name in [
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::ACCEPT_LANGUAGE,
    ] {
        headers
            .get(name)
            .map(HeaderValue::as_bytes)
            .hash(&mut hasher);
    }
    Some(hasher.finish())
}

impl Reading {
    /// Begins to keep an answer, if it is one that anybody may be given.
    pub fn begin(key: u64, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name).map_or(Ok(""), HeaderValue::to_str).ok();
        let control = text(header::CACHE_CONTROL)?.to_ascii_lowercase();
        let personal = ["private", "no-store"]
            .iter()
            .any(|word| control.contains(word));
        let varies = text(header::VARY)?.to_ascii_lowercase();
        let known = ["accept", "accept-encoding", "accept-language", ""];
        let told_apart = varies.split(',').all(|name| known.contains(&name.trim()));
        if status != StatusCode::OK
            || personal
            || !told_apart
            || headers.contains_key(header::SET_COOKIE)
        {
            return None;
        }
        let dropped = [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
            header::AGE,
        ];
        let kept = headers.iter().filter(|(name, _)| !dropped.contains(name));
        let headers = kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Some(Self {
            key,
            headers,
            body: Vec::new(),
        })
    }

    /// Takes more of the body. Returns whether it still fits.
    pub fn more(&mut self, chunk: &[u8]) -> bool {
        self.body.extend_from_slice(chunk);
        self.body.len() <= BODY_MAX
    }
}

impl LastGood {
    /// Keeps an answer that has been read to its end.
    pub fn keep(&self, read: Reading) {
        if self.answers.len() >= ANSWERS_MAX && !self.answers.contains_key(&read.key) {
            let oldest = self
                .answers
                .iter()
                .min_by_key(|answer| answer.at)
                .map(|answer| *answer.key());
            if let Some(oldest) = oldest {
                self.answers.remove(&oldest);
            }
        }
        let answer = Answer {
            headers: read.headers,
            body: read.body.into(),
            at: Instant::now(),
        };
        self.answers.insert(read.key, answer);
    }

    /// The last good answer, if it is no older than `max`.
    pub fn get(&self, key: u64, max: Duration) -> Option<Answer> {
        let answer = self
            .answers
            .get(&key)
            .filter(|answer| answer.age() <= max)?;
        self.served.fetch_add(1, Relaxed);
        Some(answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{LastGood, Reading, key};
    use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
    use std::time::Duration;

    fn keep(
        kept: &LastGood,
        target: &[u8],
        field: Option<(http::HeaderName, &'static str)>,
    ) -> bool {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = field {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let key = key(&Method::GET, b"h", target, &HeaderMap::new()).unwrap();
        if let Some(mut reading) = Reading::begin(key, StatusCode::OK, &headers) {
            assert!(reading.more(b"body"));
            kept.keep(reading);
        }
        kept.get(key, Duration::from_mins(1)).is_some()
    }

    #[test]
    fn only_what_is_anybodys_is_kept() {
        let kept = LastGood::default();
        assert!(keep(&kept, b"/1", None));
        assert!(keep(&kept, b"/2", Some((header::VARY, "Accept-Encoding"))));
        assert!(!keep(&kept, b"/3", Some((header::SET_COOKIE, "a=b"))));
        assert!(!keep(
            &kept,
            b"/4",
            Some((header::CACHE_CONTROL, "private, max-age=5"))
        ));
        assert!(!keep(&kept, b"/5", Some((header::VARY, "Cookie"))));
        assert!(!keep(&kept, b"/6", Some((header::VARY, "*"))));
    }

    #[test]
    fn requests_with_credentials_have_no_key() {
        let mut headers = HeaderMap::new();
        assert!(key(&Method::POST, b"h", b"/", &headers).is_none());
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        assert!(key(&Method::GET, b"h", b"/", &headers).is_none());
    }

    #[test]
    fn the_number_of_answers_is_bounded() {
        let kept = LastGood::default();
        for target in 0..super::ANSWERS_MAX + 10 {
            assert!(keep(&kept, format!("/{target}").as_bytes(), None));
        }
        assert_eq!(kept.answers.len(), super::ANSWERS_MAX);
    }
}
