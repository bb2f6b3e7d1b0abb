//! Conditions on a request besides host and path, compiled for matching.

use super::{View, carried, claims};
use crate::config::color::When;
use crate::config::route::{Match, ValueMatch};
use http::{HeaderName, Method};
use ipnet::IpNet;
use regex::bytes::Regex;
use smallvec::SmallVec;

/// Largest compiled regular expression, in bytes.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// A regular expression that must match from end to end.
///
/// # Errors
/// When it does not parse or compiles to more than `REGEX_SIZE_MAX`.
pub fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(REGEX_SIZE_MAX)
        .build()
}

/// How a route's conditions meet a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// All but the method.
    MethodOnly,
    Fails,
}

/// The conditions of one route.
#[derive(Debug)]
pub struct Conditions {
    methods: Methods,
    headers: Box<[(HeaderName, Value)]>,
    query: Box<[(String, Value)]>,
}

impl Conditions {
    pub fn build(config: &Match) -> Result<Self, regex::Error> {
        let headers = config.headers.iter();
        let headers = headers.map(|(name, value)| Ok((name.clone(), Value::build(value)?)));
        let query = config.query.iter();
        let query = query.map(|(name, value)| Ok((name.clone(), Value::build(value)?)));
        Ok(Self {
            methods: Methods::new(&config.methods),
            headers: headers.collect::<Result<_, regex::Error>>()?,
            query: query.collect::<Result<_, regex::Error>>()?,
        })
    }

    /// How many there are, for precedence: the methods count as one.
    pub fn count(&self) -> usize {
        usize::from(!self.methods.listed.is_empty()) + self.headers.len() + self.query.len()
    }

    pub fn methods(&self) -> &[Method] {
        &self.methods.listed
    }

    #[inline]
    pub fn judge(&self, view: &View) -> Verdict {
        let headers = self
            .headers
            .iter()
            .all(|(name, value)| value.holds_for_header(view, name));
        if !headers
            || !self
                .query
                .iter()
                .all(|(key, value)| value.holds_for_query(view, key))
        {
            return Verdict::Fails;
        }
        if self.methods.serve(view.method) {
            Verdict::Holds
        } else {
            Verdict::MethodOnly
        }
    }

    /// The conditions that fail, in words, for `explain`.
    pub fn failing(&self, view: &View) -> Vec<String> {
        let mut failing = Vec::new();
        if !self.methods.serve(view.method) {
            failing.push(format!("method is not {}", join(self.methods())));
        }
        for (name, value) in &self.headers {
            if !value.holds_for_header(view, name) {
                failing.push(format!("header {name} {}", value.not()));
            }
        }
        for (key, value) in &self.query {
            if !value.holds_for_query(view, key) {
                failing.push(format!("query {key} {}", value.not()));
            }
        }
        failing
    }
}

/// The methods that a route serves.
#[derive(Debug)]
struct Methods {
    /// As configured. Empty: any.
    listed: Box<[Method]>,
    /// A bit for each of those that are served.
    bits: u16,
}

impl Methods {
    fn new(listed: &[Method]) -> Self {
        let served = |method: &Method| match *method {
            // Whoever serves GET serves HEAD (RFC 9110, section 9.3.2).
            Method::GET => Self::bit(method) | Self::bit(&Method::HEAD),
            _ => Self::bit(method),
        };
        let bits = match listed {
            [] => u16::MAX,
            _ => listed.iter().map(served).fold(0, |bits, bit| bits | bit),
        };
        Self {
            listed: listed.into(),
            bits,
        }
    }

    #[inline]
    fn serve(&self, method: &Method) -> bool {
        match Self::bit(method) {
            Self::OTHERS => self.bits == u16::MAX || self.listed.contains(method),
            bit => self.bits & bit != 0,
        }
    }

    /// The bit of all methods that have none of their own.
    const OTHERS: u16 = 1;

    fn bit(method: &Method) -> u16 {
        match *method {
            Method::GET => 1 << 1,
            Method::HEAD => 1 << 2,
            Method::POST => 1 << 3,
            Method::PUT => 1 << 4,
            Method::DELETE => 1 << 5,
            Method::OPTIONS => 1 << 6,
            Method::PATCH => 1 << 7,
            Method::TRACE => 1 << 8,
            Method::CONNECT => 1 << 9,
            _ => Self::OTHERS,
        }
    }
}

fn join(methods: &[Method]) -> String {
    methods
        .iter()
        .map(Method::as_str)
        .collect::<Vec<_>>()
        .join(" or ")
}

/// One clause of a color: all of its conditions must hold.
#[derive(Debug)]
pub struct Clause {
    headers: Box<[(HeaderName, Value)]>,
    cookies: Box<[(String, Value)]>,
    clients: Box<[IpNet]>,
    claims: Box<[(String, Value)]>,
}

impl Clause {
    pub fn build(config: &When) -> Result<Self, regex::Error> {
        let headers = config.header.iter();
        let headers = headers.map(|(name, value)| Ok((name.clone(), Value::build(value)?)));
        let cookies = config.cookie.iter();
        let cookies = cookies.map(|(name, value)| Ok((name.clone(), Value::build(value)?)));
        let claims = config.jwt.iter();
        let claims = claims.map(|(name, value)| Ok((name.clone(), Value::build(value)?)));
        Ok(Self {
            claims: claims.collect::<Result<_, regex::Error>>()?,
            headers: headers.collect::<Result<_, regex::Error>>()?,
            cookies: cookies.collect::<Result<_, regex::Error>>()?,
            clients: config.client.clone().into(),
        })
    }

    pub fn count(&self) -> usize {
        let clients = usize::from(!self.clients.is_empty());
        self.headers.len() + self.cookies.len() + clients + self.claims.len()
    }

    #[inline]
    pub fn holds(&self, view: &View) -> bool {
        self.headers
            .iter()
            .all(|(name, value)| value.holds_for_header(view, name))
            && self
                .cookies
                .iter()
                .all(|(name, value)| value.holds(carried::cookie(view.headers, name).into_iter()))
            && (self.clients.is_empty()
                || self
                    .clients
                    .iter()
                    .any(|network| network.contains(&view.client)))
            && self
                .claims
                .iter()
                .all(|(name, value)| value.holds_for_claim(view, name))
    }
}

/// What a header, cookie or query value must be.
#[derive(Debug)]
enum Value {
    OneOf(Box<[Box<[u8]>]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
    Present(bool),
}

impl Value {
    fn build(config: &ValueMatch) -> Result<Self, regex::Error> {
        Ok(match config {
            ValueMatch::OneOf(values) => {
                Self::OneOf(values.iter().map(|value| value.as_bytes().into()).collect())
            }
            ValueMatch::Prefix(prefix) => Self::Prefix(prefix.as_bytes().into()),
            ValueMatch::Regex(pattern) => Self::Regex(anchored(pattern)?),
            ValueMatch::Present(present) => Self::Present(*present),
        })
    }

    #[inline]
    fn holds_for_header(&self, view: &View, name: &HeaderName) -> bool {
        let headers = view.headers;
        let Some(first) = headers.get(name) else {
            return self.holds_for_absence();
        };
        // Hardly any request has a field twice, and then the first value is all.
        self.fits(first.as_bytes())
            || headers.len() > headers.keys_len()
                && self.holds(
                    headers
                        .get_all(name)
                        .iter()
                        .map(http::HeaderValue::as_bytes),
                )
    }

    fn holds_for_query(&self, view: &View, key: &str) -> bool {
        let values: SmallVec<[_; 2]> = query_values(view.query, key).collect();
        self.holds(values.iter().map(AsRef::as_ref))
    }

    fn holds_for_claim(&self, view: &View, name: &str) -> bool {
        let values = view.claims.map(|known| claims::values(known, name));
        let values = values.unwrap_or_default();
        self.holds(values.iter().map(|value| value.as_bytes()))
    }

    /// Whether any of the values fits; absence fits only who asks for it.
    #[inline]
    fn holds<'v>(&self, values: impl Iterator<Item = &'v [u8]>) -> bool {
        let mut values = values.peekable();
        match values.peek() {
            Some(_) => values.any(|value| self.fits(value)),
            None => self.holds_for_absence(),
        }
    }

    #[inline]
    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::OneOf(allowed) => allowed.iter().any(|allowed| **allowed == *value),
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present(wanted) => *wanted,
        }
    }

    fn holds_for_absence(&self) -> bool {
        matches!(self, Self::Present(false))
    }

    fn not(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::OneOf(allowed) => {
                let allowed: Vec<String> = allowed.iter().map(|value| text(value)).collect();
                format!("is not {}", allowed.join(" or "))
            }
            Self::Prefix(prefix) => format!("does not start with {}", text(prefix)),
            Self::Regex(regex) => format!("does not match {regex}"),
            Self::Present(true) => "is absent".to_owned(),
            Self::Present(false) => "is present".to_owned(),
        }
    }
}

/// The pairs of a query, each with its decoded key.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (std::borrow::Cow<'_, [u8]>, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| (decode(pair.split('=').next().unwrap_or("")), pair))
}

/// The decoded values of a key in a query (`application/x-www-form-urlencoded`).
pub fn query_values<'q>(
    query: &'q str,
    key: &str,
) -> impl Iterator<Item = std::borrow::Cow<'q, [u8]>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter_map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (*decode(name) == *key.as_bytes()).then(|| decode(value))
        })
}

fn decode(text: &str) -> std::borrow::Cow<'_, [u8]> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_encoding::percent_decode_str(&spaced)
            .collect::<Vec<u8>>()
            .into();
    }
    percent_encoding::percent_decode_str(text).into()
}

#[cfg(test)]
mod tests {
    use super::Methods;
    use http::Method;

    #[test]
    fn a_route_serves_what_it_lists_and_head_with_get_and_without_a_list_anything() {
        let other = || Method::from_bytes(b"PURGE").unwrap();
        let another = || Method::from_bytes(b"BREW").unwrap();
        let all = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::PATCH,
            Method::TRACE,
            Method::CONNECT,
            other(),
            another(),
        ];
        let lists = all.iter().flat_map(|one| {
            let two = all.iter().map(|two| vec![one.clone(), two.clone()]);
            [vec![one.clone()]].into_iter().chain(two)
        });
        for listed in lists.chain([vec![], all.to_vec()]) {
            let methods = Methods::new(&listed);
            for method in &all {
                let by_get = *method == Method::HEAD && listed.contains(&Method::GET);
                let expected = listed.is_empty() || listed.contains(method) || by_get;
                assert_eq!(methods.serve(method), expected, "{method} of {listed:?}");
            }
        }
    }
}
