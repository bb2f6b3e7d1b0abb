//! Finding a token in a request and taking it apart.

use crate::config::selector::{Selector, SelectorFor, TokenPlace};
use crate::reason::Reason;
use crate::routing::selector::{Repeated, Selectable, Selected};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// What was found where tokens may be.
#[derive(Debug, PartialEq, Eq)]
pub enum Located<'a> {
    Nothing,
    Token(Cow<'a, str>),
    /// Several, or something that is not a token.
    Malformed,
}

/// Looks for a token at the configured places; the first place with anything counts.
pub fn locate<'a>(
    places: &[SelectorFor<TokenPlace>],
    headers: &'a HeaderMap,
    query: &'a str,
) -> Located<'a> {
    let request = Selectable::of_head(headers, query);
    for place in places {
        let found = match place.only_value(&request) {
            Err(Repeated) => Located::Malformed, // whose would count?
            Ok(None) => Located::Nothing,
            Ok(Some(value)) => token(place, value),
        };
        if found != Located::Nothing {
            return found;
        }
    }
    Located::Nothing
}

/// The token in the value of a place. `Authorization` may hold other schemes, which are not ours;
/// any other header is all token.
fn token<'a>(place: &Selector, value: Selected<'a>) -> Located<'a> {
    match (place.header(), value) {
        (Some(name), Selected::Text(Cow::Borrowed(value))) => in_header(name, value),
        (_, Selected::Text(Cow::Borrowed(value))) => text(value),
        (_, Selected::Text(Cow::Owned(value))) => {
            let text = String::from_utf8(value).map(Cow::Owned);
            text.map_or(Located::Malformed, Located::Token)
        }
        (_, Selected::Network(_)) => Located::Nothing,
    }
}

fn in_header<'a>(name: &http::HeaderName, value: &'a [u8]) -> Located<'a> {
    let value = value.trim_ascii();
    if let Some((scheme, token)) = value.split_first_chunk::<7>()
        && scheme.eq_ignore_ascii_case(b"bearer ")
    {
        return text(token.trim_ascii());
    }
    // A scheme is a token of RFC 9110; whatever ends it, what comes behind is meant for it.
    let mut words = value.split(|byte| !is_token(*byte));
    let scheme = words.next().unwrap_or_default();
    match scheme.eq_ignore_ascii_case(b"bearer") {
        true => Located::Malformed,
        false if name == http::header::AUTHORIZATION => Located::Nothing,
        false => text(value),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn text(bytes: &[u8]) -> Located<'_> {
    match std::str::from_utf8(bytes) {
        Ok("") | Err(_) => Located::Malformed,
        Ok(text) => Located::Token(Cow::Borrowed(text)),
    }
}

/// A token's parts.
#[derive(Debug)]
pub struct Parts<'t> {
    pub header: Header,
    /// What is signed.
    pub message: &'t str,
    pub payload: &'t str,
    pub signature: &'t str,
}

/// What is read of a JOSE header. Whatever else it says is not looked at.
#[derive(Debug, Deserialize)]
pub struct Header {
    pub alg: String,
    #[serde(default)]
    pub kid: Option<String>,
    /// What the token is for, where it says so (RFC 8725, section 3.11).
    #[serde(default)]
    pub typ: Option<String>,
    /// There at all, whatever it is: `null` is not left out.
    #[serde(default, rename = "crit", deserialize_with = "is_there")]
    critical: bool,
}

fn is_there<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| true)
}

impl<'t> Parts<'t> {
    /// Takes a compact token apart (RFC 7515, section 7.1).
    ///
    /// # Errors
    /// When it is not one, or asks for extensions, of which none is known (section 4.1.11).
    pub fn of(token: &'t str) -> Result<Self, Reason> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::JwtMalformed);
        };
        let message = token.get(..header.len() + 1 + payload.len()).unwrap_or("");
        let header: Header = decoded(header)?;
        if header.critical {
            return Err(Reason::JwtMalformed);
        }
        Ok(Self {
            header,
            message,
            payload,
            signature,
        })
    }
}

/// A part of a token, decoded.
pub fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, Reason> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::JwtMalformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Reason::JwtMalformed)
}

#[cfg(test)]
mod tests {
    use super::{Located, Selector, SelectorFor, locate};
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn a_token_is_found_or_malformed_and_never_passed_over() {
        let token = |text: &'static str| Located::Token(text.into());
        for (field, found) in [
            (&b"Bearer a.b.c"[..], token("a.b.c")),
            (b"bEARER   a.b.c ", token("a.b.c")),
            (b"Bearer\ta.b.c", Located::Malformed),
            (b"Bearer \ta.b.c", token("a.b.c")),
            (b"Bearer,a.b.c", Located::Malformed),
            (b"Bearer\xa0a.b.c", Located::Malformed),
            (b"Bearer", Located::Malformed),
            (b"Bearer ", Located::Malformed),
            (b"BearerX a.b.c", Located::Nothing),
            (b"Basic dTpw", Located::Nothing),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(field).unwrap();
            headers.insert("authorization", value);
            let places = [SelectorFor::new(Selector::Header(AUTHORIZATION))];
            assert_eq!(locate(&places, &headers, ""), found, "{field:?}");
        }
    }

    #[test]
    fn an_empty_place_is_absent_and_a_repeated_one_is_malformed() {
        let name = HeaderName::from_static("x-token");
        let places = [Selector::Header(name.clone()), Selector::Cookie("t".into())];
        let places = places.map(SelectorFor::new);
        let token = |text: &'static str| Located::Token(text.into());
        for (lines, cookie, found) in [
            (&[""][..], "t=", Located::Nothing),
            (&[""], "t=a.b.c", token("a.b.c")),
            (&["a.b.c"], "t=d.e.f", token("a.b.c")),
            (&["", "a.b.c"], "t=", Located::Malformed),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&name, HeaderValue::from_static(line));
            }
            headers.insert("cookie", HeaderValue::from_static(cookie));
            assert_eq!(locate(&places, &headers, ""), found, "{lines:?} {cookie}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_found_however_its_name_is_encoded() {
        let places = [SelectorFor::new(Selector::Query("access_token".to_owned()))];
        for (query, found) in [
            ("a=1&access_token=a.b%2Ec", Located::Token("a.b.c".into())),
            ("access%5Ftoken=a.b.c", Located::Token("a.b.c".into())),
            ("access_token=a&access%5ftoken=b", Located::Malformed),
            ("access_tokens=a", Located::Nothing),
        ] {
            assert_eq!(locate(&places, &HeaderMap::new(), query), found, "{query}");
        }
    }
}
