//! What a request has of a [`Selector`]: one extraction for limits, hashes, shares, tokens and
//! colors. An empty value counts as absent, and of several values the first counts.

use super::conditions::query_values;
use super::{View, carried, claims};
use crate::config::selector::Selector;
use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::net::IpAddr;

/// What selectors can read of a request. What is not known is empty.
#[derive(Debug, Clone, Copy)]
pub struct Selectable<'a> {
    pub client: Option<IpAddr>,
    pub route: &'a str,
    pub color: &'a str,
    pub headers: &'a HeaderMap,
    /// Without `?`.
    pub query: &'a str,
    pub claims: Option<&'a claims::Claims>,
}

/// The value of a selector, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected<'a> {
    Text(Cow<'a, [u8]>),
    /// The network of the client.
    Network(Network),
}

/// The bytes of the network that a client is counted by: an IPv4 address, or the /64 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// A header or a key of the query came more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

impl<'a> Selectable<'a> {
    /// Returns the fields of a head alone.
    pub const fn of_head(headers: &'a HeaderMap, query: &'a str) -> Self {
        Self {
            client: None,
            route: "",
            color: "",
            headers,
            query,
            claims: None,
        }
    }
}

impl<'a> View<'a> {
    /// Returns what selectors can read of it. Route and color are not known yet.
    #[inline]
    pub const fn selectable(&self) -> Selectable<'a> {
        Selectable {
            client: Some(self.client),
            claims: self.claims,
            ..Selectable::of_head(self.headers, self.query)
        }
    }
}

impl Selector {
    /// Returns the value that a request has. `None`: it has none, or an empty one.
    #[inline]
    pub fn value<'a>(&self, request: &Selectable<'a>) -> Option<Selected<'a>> {
        let text: Cow<'a, [u8]> = match self {
            Self::Ip => return request.client.map(Selected::network),
            Self::Route => request.route.as_bytes().into(),
            Self::Color => request.color.as_bytes().into(),
            Self::Header(name) => request.headers.get(name)?.as_bytes().into(),
            Self::Cookie(name) => carried::cookie(request.headers, name)?.into(),
            Self::Query(key) => query_values(request.query, key).next()?,
            Self::Baggage(key) => carried::baggage(request.headers, key)?,
            Self::Claim(claim) => bytes(claims::first(request.claims?, claim)?),
            // `config::color` puts the header in its place.
            Self::ColorHeader => return None,
        };
        Selected::text(text)
    }

    /// Returns the value that a request has, for a use that takes no first one of several.
    ///
    /// # Errors
    /// When the header or the key of the query comes more than once.
    pub fn only_value<'a>(
        &self,
        request: &Selectable<'a>,
    ) -> Result<Option<Selected<'a>>, Repeated> {
        match self {
            Self::Header(name) => {
                let lines = request.headers.get_all(name).iter();
                only(lines.map(HeaderValue::as_bytes).map(Cow::Borrowed))
            }
            Self::Query(key) => only(query_values(request.query, key)),
            _ => Ok(self.value(request)),
        }
    }
}

fn only<'a>(
    mut values: impl Iterator<Item = Cow<'a, [u8]>>,
) -> Result<Option<Selected<'a>>, Repeated> {
    match (values.next(), values.next()) {
        (first, None) => Ok(first.and_then(Selected::text)),
        _ => Err(Repeated),
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

impl<'a> Selected<'a> {
    /// Returns the network that a client is counted by.
    #[inline]
    pub fn network(client: IpAddr) -> Self {
        Self::Network(match client {
            IpAddr::V4(address) => Network::V4(address.octets()),
            IpAddr::V6(address) => {
                let network = (u128::from(address) >> 64) as u64;
                Network::V6(network.to_be_bytes())
            }
        })
    }

    fn text(text: Cow<'a, [u8]>) -> Option<Self> {
        (!text.is_empty()).then_some(Self::Text(text))
    }
}

impl std::ops::Deref for Selected<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Network(Network::V4(octets)) => octets,
            Self::Network(Network::V6(octets)) => octets,
        }
    }
}

/// Returns the network of an address: an IPv6 customer has a /64 at least, and may use a new
/// address for each request.
pub fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
