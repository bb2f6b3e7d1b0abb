//! What others say of a trace, `tracestate` (W3C Trace Context, section 3.3): passed on if it is sound.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;
use std::borrow::Cow;

pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Most members of a `tracestate` (W3C Trace Context, section 3.3.1.1).
const MEMBERS_MAX: usize = 32;

/// Whether all lines of `tracestate` together are what section 3.3.1 asks for. What is malformed is
/// dropped as a whole.
pub fn is_sound(headers: &HeaderMap) -> bool {
    let mut known: SmallVec<[&[u8]; MEMBERS_MAX]> = SmallVec::new();
    let lines = headers.get_all(&TRACESTATE).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.all(|member| {
        let member = trimmed(member);
        if member.is_empty() {
            return true;
        }
        let Some(at) = memchr::memchr(b'=', member) else {
            return false;
        };
        let (key, value) = member.split_at(at);
        let sound = is_key(key) && is_value(value.get(1..).unwrap_or(&[]));
        let fresh = known.len() < MEMBERS_MAX && !known.contains(&key);
        known.push(key);
        sound && fresh
    })
}

/// The members of a sound `tracestate`, in one line.
pub fn members(headers: &HeaderMap) -> Cow<'_, str> {
    if !is_sound(headers) {
        return Cow::Borrowed("");
    }
    let lines = headers.get_all(&TRACESTATE).iter();
    let mut lines = lines.filter_map(|line| line.to_str().ok());
    match (lines.next(), lines.next()) {
        (None, _) => Cow::Borrowed(""),
        (Some(line), None) => Cow::Borrowed(line),
        (Some(first), Some(second)) => {
            let rest = lines.flat_map(|line| [",", line]);
            [first, ",", second].into_iter().chain(rest).collect()
        }
    }
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `name`, or `tenant@system`.
fn is_key(key: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase();
    let all = |part: &[u8]| {
        let allowed = |byte: &u8| letter(byte) || byte.is_ascii_digit() || b"_-*/".contains(byte);
        part.iter().all(allowed)
    };
    let mut parts = key.split(|byte| *byte == b'@');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name @ [first, ..]), None, None) => letter(first) && all(name) && name.len() <= 256,
        (Some(tenant @ [first, ..]), Some(system @ [second, ..]), None) => {
            let begins = letter(first) || first.is_ascii_digit();
            let short = tenant.len() <= 241 && system.len() <= 14;
            begins && letter(second) && all(tenant) && all(system) && short
        }
        _ => false,
    }
}

fn is_value(value: &[u8]) -> bool {
    let allowed = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    !value.is_empty() && value.len() <= 256 && value.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::{TRACESTATE, is_sound, members};
    use http::{HeaderMap, HeaderValue};

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (TRACESTATE.clone(), HeaderValue::from_str(line).unwrap());
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_tracestate_is_whole_or_nothing() {
        let sound = |lines: &[&str]| is_sound(&headers(lines));
        let long =
            |name: usize, system: usize| format!("{}@{}=1", "t".repeat(name), "v".repeat(system));
        let many = |count: usize| {
            let members = (0..count).map(|at| format!("k{at}=1"));
            members.collect::<Vec<_>>().join(",")
        };
        for good in [
            "",
            "foo=1",
            "foo=1 \t , \t bar=2, ",
            "foo=1,,bar=2",
            "0t@v=1",
            "a_-*/=x y",
            &format!("{}=1", "z".repeat(256)),
            &long(241, 14),
            &many(32),
            &format!("foo={}", "v".repeat(256)),
        ] {
            assert!(sound(&[good]), "{good}");
        }
        for bad in [
            "foo =1",
            "FOO=1",
            "foo.bar=1",
            "foo@=1",
            "@foo=1",
            "foo@@bar=1",
            "foo@bar@baz=1",
            "0=1",
            "foo",
            "foo=",
            "foo=bar=baz",
            "=1",
            "foo=1,foo=1",
            "foo=\u{e9}",
            &many(33),
            &format!("{}=1", "z".repeat(257)),
            &long(242, 1),
            &long(1, 15),
            &format!("foo={}", "v".repeat(257)),
        ] {
            assert!(!sound(&[bad]), "{bad}");
        }
        assert!(sound(&["foo=1", "bar=2"]) && !sound(&["foo=1", "foo=2"]));
        let several = headers(&["a=1", "b=2", "c=3"]);
        assert_eq!(members(&several), "a=1,b=2,c=3");
        assert_eq!(members(&headers(&["a=1,A=2"])), "");
    }
}
