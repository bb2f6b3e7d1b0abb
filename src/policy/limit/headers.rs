//! `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`.

use super::Reading;
use http::HeaderValue;
use std::time::Duration;

/// What does not change from one answer to the next.
#[derive(Debug)]
pub struct Fields {
    name: Box<str>,
    /// `"name";q=QUOTA;w=WINDOW`
    pub policy: HeaderValue,
}

impl Fields {
    pub fn new(name: &str, quota: u32, window: Duration) -> Self {
        let policy = format!("\"{name}\";q={quota};w={}", seconds(window));
        Self {
            name: name.into(),
            policy: HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }

    /// `"name";r=REMAINING;t=SECONDS`
    pub fn state(&self, reading: Reading) -> HeaderValue {
        let text = format!(
            "\"{}\";r={};t={}",
            self.name,
            reading.remaining,
            seconds(reading.reset)
        );
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Whole seconds, rounded up: whoever waits that long is not refused again. At least one.
pub fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}
