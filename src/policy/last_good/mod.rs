//! The last good answers of services whose breaker may serve them while it is open: few, small,
//! and never anything that belongs to one user. What may be kept and served stale is RFC 9111's.

mod control;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use control::Control;
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
    /// How old it was when it came.
    came_aged: Duration,
    /// Older than this it may not be served; `None`: it may be stale.
    fresh_for: Option<Duration>,
}

impl Answer {
    /// Time since its origin made it, as far as that is known (RFC 9111, section 4.2.3).
    pub fn age(&self) -> Duration {
        self.came_aged + self.at.elapsed()
    }

    fn may_be_served(&self, max: Duration) -> bool {
        let age = self.age();
        age <= max && self.fresh_for.is_none_or(|fresh_for| age < fresh_for)
    }
}

/// An answer that is being read, to be kept once it is whole.
#[derive(Debug)]
pub struct Reading {
    key: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    came_aged: Duration,
    fresh_for: Option<Duration>,
}

/// What is asked of whom: answers are kept apart by each of these.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Asked<'a> {
    pub scheme: &'a str,
    /// In normal form.
    pub host: &'a str,
    pub port: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub route: &'a str,
    /// The version that answers: test data stays with those it is meant for.
    pub version: &'a str,
    /// The color that goes up.
    pub color: &'a str,
}

/// Fields by which answers of one resource may differ and are kept all the same, each apart.
const VARIES: [HeaderName; 3] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
];

/// What a request's answer is kept under; `None`: it is not of a kind that is kept. Credentials
/// mean that the answer may be one user's.
pub fn key(method: &Method, asked: &Asked, headers: &HeaderMap) -> Option<u64> {
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let particular = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::RANGE,
        header::TRANSFER_ENCODING,
    ];
    let has_body = headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    if !safe || has_body || particular.iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    let mut hasher = SECRET.build_hasher();
    asked.hash(&mut hasher);
    for name in &VARIES {
        let lines = headers.get_all(name).iter();
        lines.for_each(|line| line.as_bytes().hash(&mut hasher));
        // So that lines of one field are not taken for those of the next.
        name.as_str().hash(&mut hasher);
    }
    Some(hasher.finish())
}

impl Reading {
    /// Begins to keep an answer, if it is one that anybody may be given. Its head is as it goes on:
    /// what was for this hop alone is off. `waited`: how long it was waited for.
    pub fn begin(
        key: u64,
        asked: &HeaderMap,
        status: StatusCode,
        headers: &HeaderMap,
        waited: Duration,
    ) -> Option<Self> {
        // "No part of either this request or any response to it" (section 5.2.1.5).
        if status != StatusCode::OK || Control::of(asked)?.no_store {
            return None;
        }
        let control = Control::of(headers)?;
        if control.is_private()
            || !is_told_apart(headers)
            || headers.contains_key(header::SET_COOKIE)
        {
            return None;
        }
        let came_aged = control::age(headers) + waited;
        let fresh_for = control.fresh_for(headers);
        if fresh_for.is_some_and(|fresh_for| fresh_for <= came_aged) {
            return None;
        }
        let kept = headers.iter().filter(|(name, _)| !DROPPED.contains(name));
        let headers = kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Some(Self {
            key,
            headers,
            body: Vec::new(),
            came_aged,
            fresh_for,
        })
    }

    /// Takes more of the body. Returns whether it still fits.
    pub fn more(&mut self, chunk: &[u8]) -> bool {
        self.body.extend_from_slice(chunk);
        self.body.len() <= BODY_MAX
    }
}

/// What is told anew with each answer, or is for a proxy alone (section 3.1).
const DROPPED: [HeaderName; 7] = [
    header::AGE,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Whether the answer differs by nothing but what keys tell apart, in all lines of `Vary`.
fn is_told_apart(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names.all(|name| {
        let name = name.trim_ascii();
        let known = |known: &HeaderName| known.as_str().as_bytes().eq_ignore_ascii_case(name);
        name.is_empty() || VARIES.iter().any(known)
    })
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
            came_aged: read.came_aged,
            fresh_for: read.fresh_for,
        };
        self.answers.insert(read.key, answer);
    }

    /// The last good answer, if it is no older than `max` and may be served so late.
    pub fn get(&self, key: u64, max: Duration) -> Option<Answer> {
        let answer = self
            .answers
            .get(&key)
            .filter(|answer| answer.may_be_served(max))?;
        self.served.fetch_add(1, Relaxed);
        Some(answer.clone())
    }
}
