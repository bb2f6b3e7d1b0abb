//! What a message says of its being kept: `Cache-Control`, `Age`, `Expires` (RFC 9111).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::fmt::rfc2822;
use std::time::Duration;

/// A number that does not fit counts as this much (section 1.2.2).
const SECONDS_MAX: u64 = 1 << 31;

/// The directives of all lines of `Cache-Control`, as far as they matter here.
#[derive(Debug, Default)]
pub struct Control {
    pub no_store: bool,
    private: bool,
    /// Each use would have to be allowed by the origin.
    no_cache: bool,
    /// Never stale, says `must-revalidate` or what means the same to a shared cache.
    strict: bool,
    max_age: Option<u64>,
    shared_max_age: Option<u64>,
}

impl Control {
    /// Reads all lines; `None`: there is one that cannot be read.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut control = Self::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            let mut rest = line.to_str().ok()?;
            while !rest.is_empty() {
                let (directive, after) = rest.split_at(end(rest)?);
                rest = after.get(1..).unwrap_or_default();
                let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
                control.take(name.trim(), value.trim().trim_matches('"'));
            }
        }
        Some(control)
    }

    fn take(&mut self, name: &str, value: &str) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // Of two lifetimes the shorter one counts (section 4.2.1).
        let shorter = |before: Option<u64>| {
            let now = seconds(value).unwrap_or(0);
            Some(before.map_or(now, |before| before.min(now)))
        };
        if is("no-store") {
            self.no_store = true;
        } else if is("private") {
            self.private = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("must-revalidate") || is("proxy-revalidate") {
            self.strict = true;
        } else if is("max-age") {
            self.max_age = shorter(self.max_age);
        } else if is("s-maxage") {
            self.strict = true;
            self.shared_max_age = shorter(self.shared_max_age);
        }
    }

    /// Whether an answer that says this is not for others, or not for later.
    pub fn is_private(&self) -> bool {
        self.no_store || self.private || self.no_cache
    }

    /// How old an answer may get that must not be stale (section 4.2.4); `None`: it may be.
    pub fn fresh_for(&self, headers: &HeaderMap) -> Option<Duration> {
        self.strict.then(|| {
            let told = self.shared_max_age.or(self.max_age);
            told.map_or_else(|| until_expires(headers), Duration::from_secs)
        })
    }
}

/// Where a directive ends: at a comma that is not quoted. `None`: a quote is never closed.
fn end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX))
}

/// How old an answer says it is.
pub fn age(headers: &HeaderMap) -> Duration {
    let said = headers.get(header::AGE).and_then(|age| age.to_str().ok());
    Duration::from_secs(said.and_then(|age| seconds(age.trim())).unwrap_or(0))
}

/// From `Date` to `Expires`; what is missing or no date has expired (section 5.3).
fn until_expires(headers: &HeaderMap) -> Duration {
    let date = |name: HeaderName| {
        let value = headers.get(name).map(HeaderValue::to_str)?.ok()?;
        Some(rfc2822::parse(value).ok()?.timestamp())
    };
    let span = date(header::EXPIRES).zip(date(header::DATE));
    let span = span.map(|(expires, made)| expires.duration_since(made));
    let span = span.and_then(|span| Duration::try_from(span).ok());
    span.unwrap_or_default()
}
