//! The value of `Date` (RFC 9110, section 6.6.1), written once a second.

use jiff::Timestamp;
use jiff::fmt::strtime;
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a date in the preferred form (RFC 9110, section 5.6.7).
const LENGTH: usize = 29;

/// The date of second 0.
const EPOCH: [u8; LENGTH] = *b"Thu, 01 Jan 1970 00:00:00 GMT";

thread_local! {
    static CACHED: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, EPOCH)) };
}

/// Returns the date of now.
pub fn now() -> [u8; LENGTH] {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let second = since.map_or(0, |since| since.as_secs());
    let (cached, text) = CACHED.get();
    if cached == second {
        return text;
    }
    let text = written(second).unwrap_or(text);
    CACHED.set((second, text));
    text
}

fn written(second: u64) -> Option<[u8; LENGTH]> {
    let at = Timestamp::from_second(second as i64).ok()?;
    let text = strtime::format("%a, %d %b %Y %H:%M:%S GMT", at).ok()?;
    text.as_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{now, written};

    #[test]
    fn dates_have_the_preferred_form() {
        assert_eq!(
            written(784_111_777),
            Some(*b"Sun, 06 Nov 1994 08:49:37 GMT")
        );
        let (one, other) = (now(), now());
        assert!(one.ends_with(b" GMT") && other >= one || other != one);
        assert_ne!(one, *b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
