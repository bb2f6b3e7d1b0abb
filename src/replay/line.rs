//! A line of the access log, as far as a decision needs it.

use super::masked::Masked;
use crate::routing::claims::Claims;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::IpAddr;

/// A recorded request, and what became of it.
#[derive(Debug, Deserialize)]
pub struct Line<'l> {
    #[serde(borrow)]
    pub method: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub host: Cow<'l, str>,
    #[serde(borrow, default)]
    pub path: Cow<'l, str>,
    /// What of it was asked about.
    #[serde(borrow, default, rename = "matched_query")]
    pub query: Cow<'l, str>,
    #[serde(borrow, default)]
    pub client: Cow<'l, str>,
    pub trusted: Option<bool>,
    #[serde(borrow, default)]
    pub headers: Pairs<'l>,
    #[serde(borrow, default)]
    pub cookies: Pairs<'l>,
    #[serde(default, deserialize_with = "claims")]
    pub claims: Option<Claims>,
    pub bucket: Option<u16>,
    #[serde(borrow)]
    pub signed: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub route: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub service: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub version: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub color_requested: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub color_reason: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub reason: Option<Cow<'l, str>>,
}

/// An object of texts, in its order; a name may come twice.
#[derive(Debug, Default)]
pub struct Pairs<'l>(pub SmallVec<[(Cow<'l, str>, Cow<'l, str>); 4]>);

#[derive(Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

impl<'de: 'l, 'l> Deserialize<'de> for Pairs<'l> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<'l>(PhantomData<&'l ()>);
        impl<'de: 'l, 'l> Visitor<'de> for Reader<'l> {
            type Value = Pairs<'l>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'l>, M::Error> {
                let mut pairs = Pairs::default();
                while let Some((Text(name), Text(value))) =
                    map.next_entry::<Text<'l>, Text<'l>>()?
                {
                    pairs.0.push((name, value));
                }
                Ok(pairs)
            }
        }
        from.deserialize_map(Reader(PhantomData))
    }
}

/// Claims that were written one value at a time become lists again.
fn claims<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Claims>, D::Error> {
    let Pairs(pairs) = Pairs::deserialize(from)?;
    let mut claims = Claims::new();
    for (name, value) in pairs {
        let value = serde_json::Value::from(value.into_owned());
        match claims.get_mut(name.as_ref()) {
            Some(serde_json::Value::Array(values)) => values.push(value),
            Some(first) => *first = serde_json::Value::Array(vec![first.take(), value]),
            None => drop(claims.insert(name.into_owned(), value)),
        }
    }
    Ok(Some(claims))
}

/// The parts of a request that a view borrows; made once and filled for each line.
#[derive(Debug, Default)]
pub struct Parts {
    pub method: Method,
    pub headers: HeaderMap,
}

impl Line<'_> {
    pub fn client(&self) -> IpAddr {
        self.client
            .parse()
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
    }

    /// Fills in method and headers. `None`: this is no request.
    pub fn fill(&self, parts: &mut Parts, masked: &Masked) -> Option<()> {
        parts.method = Method::from_bytes(self.method.as_ref()?.as_bytes()).ok()?;
        parts.headers.clear();
        for (name, value) in &self.headers.0 {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_str(masked.behind(value)).ok()?;
            parts.headers.append(name, value);
        }
        for (name, value) in &self.cookies.0 {
            let value = masked.behind(value);
            let pair = HeaderValue::try_from(format!("{name}={value}")).ok()?;
            parts.headers.append(header::COOKIE, pair);
        }
        Some(())
    }
}
