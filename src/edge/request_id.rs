//! `x-request-id`: kept from trusted peers when it is sane, else a fresh UUIDv7 (RFC 9562).

use http::HeaderValue;

/// Longest id that is kept.
const LEN_MAX: usize = 128;

/// The id a trusted peer sent, if it is short and visible ASCII.
pub fn kept(value: Option<&HeaderValue>) -> Option<HeaderValue> {
    let value = value?;
    let sane = !value.is_empty()
        && value.len() <= LEN_MAX
        && value.as_bytes().iter().all(u8::is_ascii_graphic);
    sane.then(|| value.clone())
}

/// A fresh id: time-ordered, so that logs sort by it.
pub fn fresh() -> HeaderValue {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = now.map_or(0, |since| since.as_millis() as u64);
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = [0; 36];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text))
        .unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::{fresh, kept};
    use http::HeaderValue;

    #[test]
    fn fresh_ids_are_version_7_and_differ() {
        let (one, two) = (fresh(), fresh());
        assert_ne!(one, two);
        let id = uuid::Uuid::parse_str(one.to_str().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 7);
    }

    #[test]
    fn only_sane_ids_are_kept() {
        let sane = HeaderValue::from_static("abc-1");
        assert_eq!(kept(Some(&sane)), Some(sane.clone()));
        assert_eq!(kept(Some(&HeaderValue::from_static("a b"))), None);
        assert_eq!(kept(Some(&HeaderValue::from_static(""))), None);
        assert_eq!(
            kept(Some(&HeaderValue::from_str(&"a".repeat(129)).unwrap())),
            None
        );
    }
}
