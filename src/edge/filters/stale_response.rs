//! Stale answers: the last good answer to a request is kept, and sent where the upstream fails
//! (RFC 5861, section 4).

use crate::config::compress::Table;
use crate::edge::filters::compress;
use crate::edge::rejection::Rejection;
use crate::policy::last_good::{LastGood, Reading};
use bytes::Bytes;
use http::{HeaderValue, header};
use std::time::Duration;

/// An answer that is being kept, as far as it has come.
#[derive(Debug, Default)]
pub struct Keeping(Option<Reading>);

impl Keeping {
    /// Keeps an answer, if there is one to keep.
    pub const fn new(reading: Option<Reading>) -> Self {
        Self(reading)
    }

    /// Keeps a part of the body, as plugins have left it. An answer that is too large is not kept.
    pub fn data(&mut self, data: &Bytes) {
        if self.0.as_mut().is_some_and(|reading| !reading.more(data)) {
            self.0 = None;
        }
    }

    /// Stores the answer, which has come to its end.
    pub fn end(&mut self, kept: Option<&LastGood>) {
        if let (Some(reading), Some(kept)) = (self.0.take(), kept) {
            kept.keep(reading);
        }
    }
}

/// Returns the last good answer to the same request in place of a rejection, where there is one no
/// older than `max`.
pub fn recall(
    kept: &LastGood,
    max: Duration,
    key: Option<u64>,
    rules: Option<&Table>,
    rejection: Rejection,
) -> Rejection {
    let Some(answer) = key.and_then(|key| kept.get(key, max)) else {
        return rejection;
    };
    let mut headers = answer.headers.clone();
    compress::kept(&mut headers, rules);
    headers.push((header::AGE, HeaderValue::from(answer.age().as_secs())));
    rejection.answering(200, headers, answer.body)
}
