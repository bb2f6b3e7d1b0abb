//! Finding a token in a request and taking it apart.

use crate::config::jwt::TokenPlace;
use crate::reason::Reason;
use crate::routing::carried;
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
pub fn locate<'a>(places: &[TokenPlace], headers: &'a HeaderMap, query: &'a str) -> Located<'a> {
    for place in places {
        let found = match place {
            TokenPlace::Header(name) => in_header(headers, name),
            TokenPlace::Cookie(name) => match carried::cookie(headers, name) {
                Some(value) => text(value),
                None => Located::Nothing,
            },
            TokenPlace::Query(name) => in_query(query, name),
        };
        if found != Located::Nothing {
            return found;
        }
    }
    Located::Nothing
}

/// `Authorization` may hold other schemes, which are not ours; any other header is all token.
fn in_header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Located<'a> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Located::Nothing;
    };
    if values.next().is_some() {
        return Located::Malformed; // whose would count?
    }
    let value = value.as_bytes().trim_ascii();
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            text(token.trim_ascii())
        }
        _ if value.eq_ignore_ascii_case(b"bearer") => Located::Malformed,
        _ if name == http::header::AUTHORIZATION => Located::Nothing,
        _ => text(value),
    }
}

fn in_query<'a>(query: &'a str, name: &str) -> Located<'a> {
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Located::Nothing,
        (Some(value), None) => match percent_encoding::percent_decode_str(value).decode_utf8() {
            Ok(value) => Located::Token(value),
            Err(_) => Located::Malformed,
        },
        _ => Located::Malformed,
    }
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
    #[serde(default)]
    crit: Option<serde_json::Value>,
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
        if header.crit.is_some() {
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
