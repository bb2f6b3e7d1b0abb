//! `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`.

use super::Reading;
use http::HeaderValue;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// What does not change from one answer to the next.
#[derive(Debug)]
pub struct Fields {
    /// `"name";r=`
    head: Box<[u8]>,
    /// `"name";q=QUOTA;w=WINDOW`
    pub policy: HeaderValue,
    /// What the log says of whoever is over the limit, and of whoever has no key.
    pub over: Arc<str>,
    pub keyless: Arc<str>,
}

impl Fields {
    pub fn new(name: &str, quota: u32, window: Duration) -> Self {
        let policy = format!("\"{name}\";q={quota};w={}", seconds(window));
        Self {
            head: format!("\"{name}\";r=").into_bytes().into(),
            policy: HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("")),
            over: format!("limit `{name}`: too many requests").into(),
            keyless: format!("limit `{name}`: the request lacks a part of its key").into(),
        }
    }

    /// `"name";r=REMAINING;t=SECONDS`
    pub fn state(&self, reading: Reading) -> HeaderValue {
        // Each answer has one, so it is written without the machinery of formatting.
        let mut text = SmallVec::<[u8; 96]>::from_slice(&self.head);
        let mut digits = itoa::Buffer::new();
        text.extend_from_slice(digits.format(reading.remaining).as_bytes());
        text.extend_from_slice(b";t=");
        text.extend_from_slice(digits.format(seconds(reading.reset)).as_bytes());
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Whole seconds, rounded up: whoever waits that long is not refused again. At least one.
pub fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}
