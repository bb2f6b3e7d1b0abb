//! Points in time, as lines tell them: `2026-11-21T10:00:00.123456Z`. Many lines share a second, so its
//! text is made once.

use super::json::fraction;
use jiff::Timestamp;
use std::cell::Cell;
use std::io::Write;

/// `2026-11-21T10:00:00`
type Second = [u8; 19];

thread_local! {
    /// The second that the thread has told last.
    static LAST: Cell<(i64, Second)> = const { Cell::new((i64::MIN, [0; 19])) };
}

/// Appends a point in time.
pub fn write(out: &mut Vec<u8>, time: Timestamp) {
    let nanos = u64::try_from(time.subsec_nanosecond());
    let (Some(second), Ok(nanos)) = (second(time.as_second()), nanos) else {
        // Before 1970, and beyond years of four digits.
        return drop(write!(out, "{time}"));
    };
    out.extend_from_slice(&second);
    if nanos > 0 {
        fraction(out, 1_000_000_000 + nanos);
        while out.pop_if(|digit| *digit == b'0').is_some() {}
    }
    out.push(b'Z');
}

fn second(number: i64) -> Option<Second> {
    let (last, text) = LAST.get();
    if last == number {
        return Some(text);
    }
    let text = Timestamp::from_second(number).ok()?.to_string();
    let text = text.strip_suffix('Z')?.as_bytes().try_into().ok()?;
    LAST.set((number, text));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::write;
    use jiff::Timestamp;

    proptest::proptest! {
        #[test]
        fn times_look_as_the_library_writes_them(
            second in Timestamp::MIN.as_second()..Timestamp::MAX.as_second(),
            nanos in 0_i32..1_000_000_000,
            zeros in 0_u32..10,
        ) {
            let nanos = nanos / 10_i32.pow(zeros.min(9)) * 10_i32.pow(zeros.min(9));
            for second in [second, second.rem_euclid(4_000_000_000), 0] {
                let time = Timestamp::new(second, nanos).unwrap();
                let mut out = Vec::new();
                write(&mut out, time);
                assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
            }
        }
    }
}
