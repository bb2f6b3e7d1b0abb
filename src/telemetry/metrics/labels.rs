//! The values of labels that requests choose: each set is closed, so that clients add no series.

use http::Method;
use std::fmt;

/// A label value made once (per process) and compared by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LabelId(pub u32);

/// The methods of RFC 9110 and RFC 5789; anything else is `_OTHER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MethodLabel(u8);

/// The methods that have a label of their own, behind the one for all others.
pub const METHODS: [&str; 10] = [
    "_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

impl MethodLabel {
    pub fn new(method: &Method) -> Self {
        let name = method.as_str();
        Self(METHODS.iter().position(|known| *known == name).unwrap_or(0) as u8)
    }

    pub fn name(self) -> &'static str {
        METHODS
            .get(usize::from(self.0))
            .copied()
            .unwrap_or("_OTHER")
    }
}

/// A status code that IANA lists (and 499), or the class of one that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeLabel(u16);

impl CodeLabel {
    /// The code of a series that could not be made.
    pub(super) const OTHER: Self = Self(0);

    pub fn new(status: u16) -> Self {
        match status {
            100..=103
            | 200..=208
            | 226
            | 300..=308
            | 400..=417
            | 421..=426
            | 428
            | 429
            | 431
            | 451
            | 499
            | 500..=508
            | 510
            | 511 => Self(status),
            _ => Self(status / 100),
        }
    }

    /// 1 to 5; 0 for a series that could not be made.
    pub const fn class(self) -> u16 {
        match self.0 {
            class @ 0..=9 => class,
            code => code / 100,
        }
    }

    /// Whether it is a server error.
    pub fn is_failure(self) -> bool {
        self.0 == 5 || self.0 >= 500
    }
}

impl fmt::Display for CodeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("other"),
            class @ 1..=9 => write!(f, "{class}xx"),
            code => write!(f, "{code}"),
        }
    }
}
