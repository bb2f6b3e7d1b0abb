//! Whose bucket a request takes from.

use crate::config::limit::KeyPart;
use crate::routing::carried;
use crate::routing::claims::{self, Claims};
use http::HeaderMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;

/// What a key may be made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub client: IpAddr,
    pub route: &'a str,
    pub color: &'a str,
    pub headers: &'a HeaderMap,
    pub claims: Option<&'a Claims>,
}

/// Secret to the process, so that nobody outside can make two keys meet.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The hash of a key, and whether all of its parts were there.
pub fn key_of(parts: &[KeyPart], facts: &Facts) -> (u64, bool) {
    let mut hasher = SECRET.build_hasher();
    let mut whole = true;
    for part in parts {
        whole &= feed(part, facts, &mut hasher);
    }
    (hasher.finish(), whole)
}

/// Feeds one part, with its length, so that parts cannot run into each other.
fn feed(part: &KeyPart, facts: &Facts, hasher: &mut impl Hasher) -> bool {
    let value: Option<&[u8]> = match part {
        KeyPart::Ip => {
            network_of(facts.client).hash(hasher);
            return true;
        }
        KeyPart::Route => Some(facts.route.as_bytes()),
        KeyPart::Color => Some(facts.color.as_bytes()),
        KeyPart::Header(name) => facts.headers.get(name).map(http::HeaderValue::as_bytes),
        KeyPart::Cookie(name) => carried::cookie(facts.headers, name),
        KeyPart::Jwt(claim) => {
            let values = facts
                .claims
                .map(|known| claims::values(known, claim))
                .unwrap_or_default();
            (values.len() as u64).hash(hasher);
            values.iter().for_each(|value| value.hash(hasher));
            return !values.is_empty();
        }
    };
    value.hash(hasher);
    value.is_some()
}

/// An IPv6 customer has a /64 at least, and may use a new address for each request.
pub fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}
