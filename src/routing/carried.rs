//! Finds the values that requests carry: cookies (RFC 6265) and W3C baggage members.
//!
//! Nothing allocates on the way to a value; malformed parts are passed over.

use http::{HeaderMap, HeaderValue, header};
use std::borrow::Cow;

/// The value of the first cookie of this name, over all `Cookie` fields.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get_all(header::COOKIE).iter().find_map(|field| {
        field
            .as_bytes()
            .split(|byte| *byte == b';')
            .find_map(|pair| {
                let (key, value) = split_pair(pair)?;
                (key == name.as_bytes()).then(|| unquote(value))
            })
    })
}

/// The value of the first baggage member of this key, percent-decoded.
pub fn baggage<'a>(headers: &'a HeaderMap, key: &str) -> Option<Cow<'a, [u8]>> {
    headers
        .get_all("baggage")
        .iter()
        .map(HeaderValue::as_bytes)
        .find_map(|field| {
            field.split(|byte| *byte == b',').find_map(|member| {
                let (name, value) = split_pair(member.split(|byte| *byte == b';').next()?)?;
                (name == key.as_bytes()).then(|| percent_encoding::percent_decode(value).into())
            })
        })
}

/// What is left of a baggage field without the members of these keys; `None` when nothing is.
/// Members that stay keep their bytes.
pub fn strip_baggage_members<'a>(field: &'a str, keys: &[&str]) -> Option<Cow<'a, str>> {
    let ours = |member: &str| {
        let name = member.split([';', '=']).next().unwrap_or("").trim();
        keys.contains(&name)
    };
    if !field.split(',').any(ours) {
        return (!field.trim().is_empty()).then_some(Cow::Borrowed(field));
    }
    let kept: Vec<&str> = field.split(',').filter(|member| !ours(member)).collect();
    let kept = kept.join(",");
    (!kept.trim().is_empty()).then(|| Cow::Owned(kept.trim().to_owned()))
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', pair)?;
    let (key, value) = pair.split_at(at);
    Some((key.trim_ascii(), value.get(1..)?.trim_ascii()))
}

fn unquote(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::{baggage, cookie, strip_baggage_members};
    use http::{HeaderMap, HeaderValue};

    fn headers(name: &'static str, fields: &[&'static [u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(name, HeaderValue::from_bytes(field).unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_found_in_any_field_and_only_by_its_whole_name() {
        let headers = headers(
            "cookie",
            &[b"a=1; xcolor=no; bare", b"\xff=2; color=\"green\"; color=x"],
        );
        assert_eq!(cookie(&headers, "color"), Some(&b"green"[..]));
        assert_eq!(cookie(&headers, "a"), Some(&b"1"[..]));
        assert_eq!(cookie(&headers, "bare"), None);
    }

    #[test]
    fn a_baggage_member_is_decoded_and_its_properties_ignored() {
        let headers = headers("baggage", &[b"k=v, color = gr%65en ;p=1;q , other=x"]);
        assert_eq!(baggage(&headers, "color").as_deref(), Some(&b"green"[..]));
        assert_eq!(baggage(&headers, "p"), None);
    }

    #[test]
    fn stripping_takes_only_our_members() {
        let strip =
            |field| strip_baggage_members(field, &["color"]).map(std::borrow::Cow::into_owned);
        assert_eq!(strip("a=1,color=x;p=q, b=2").as_deref(), Some("a=1, b=2"));
        assert_eq!(strip("color=x"), None);
        assert_eq!(strip(" color = x , color;y"), None);
        assert_eq!(strip("colors=x").as_deref(), Some("colors=x"));
        assert_eq!(strip(""), None);
    }
}
