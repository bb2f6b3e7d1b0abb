//! The endpoints of a version at one moment, and what picks among them.
//!
//! A set never changes. When endpoints come or go, another set is made beside the requests that are
//! served, and takes its place; endpoints that stay keep their state by their address.

use super::balance::Balancer;
use super::build::Carried;
use super::endpoint::Owner;
use super::{Endpoint, EndpointState, Health, SideClient};
use crate::config::Name;
use crate::config::discovery::name_and_port;
use crate::config::service::{self as config, Balance, UpstreamHttp};
use crate::config::units::Percent;
use crate::config::upkeep::Health as Checks;
use crate::tls::UpstreamTls;
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How the endpoints of a version are made, and how they are picked; the same for all of its sets.
#[derive(Debug)]
pub(super) struct Rules {
    pub owner: Owner,
    pub checks: Option<Arc<Checks>>,
    pub tls: Option<Arc<UpstreamTls>>,
    pub http: UpstreamHttp,
    /// How long unused connections beside traffic are kept.
    pub idle: Duration,
    pub balance: Balance,
    pub slow_start: Option<Duration>,
    pub panic_threshold: Percent,
}

/// An endpoint as a configuration or a source names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// An IP address with a port, or `unix:/path`.
    pub address: Name,
    /// The name with a port under which the address was found: what `Host` and TLS say.
    pub authority: Option<Name>,
    /// 0 to 1000; with 0 it gets no requests.
    pub weight: u16,
    pub zone: Option<Name>,
    /// Where it was discovered, such as `dns:shop.internal`; `None`: the configuration names it.
    pub source: Option<Name>,
}

impl Member {
    /// Takes an endpoint of the configuration; `None`: it is named, and must be discovered.
    pub fn given(endpoint: &config::Endpoint) -> Option<Self> {
        let known = name_and_port(&endpoint.address).is_none();
        known.then(|| Self {
            address: endpoint.address.clone(),
            authority: None,
            weight: endpoint.weight,
            zone: None,
            source: None,
        })
    }
}

/// Endpoints that do not change, with what picks among them.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Vec<Endpoint>,
    /// Indices into them.
    by_address: HashMap<Name, usize, FxBuildHasher>,
    balancer: Balancer,
    slow_start: Option<Duration>,
    panic_threshold: Percent,
}

impl EndpointSet {
    /// Builds a set. Endpoints that are in the set `before` keep their state; of the others, those
    /// that have checks wait for the first one to pass, unless there was no set at all.
    pub(super) fn build(
        rules: &Rules,
        wanted: &[Member],
        before: Option<&Self>,
        carried: &mut Carried,
    ) -> Self {
        let build = |wanted: &Member| {
            let kept = before.and_then(|before| before.same(wanted));
            let is_new = kept.is_none() && before.is_some();
            if is_new {
                let Owner {
                    service, version, ..
                } = &rules.owner;
                let reset = format!("endpoint {service}/{version} {}: new", wanted.address);
                carried.reset.push(reset);
            }
            carried.kept += usize::from(kept.is_some());
            let built = Endpoint::build(rules, wanted, kept);
            if rules.checks.is_none() {
                built.state.found(Health::Assumed);
            } else if is_new {
                built.state.found(Health::Awaited);
            }
            built
        };
        let endpoints: Vec<Endpoint> = wanted.iter().map(build).collect();
        let addresses = endpoints.iter().map(|endpoint| endpoint.address.clone());
        Self {
            by_address: addresses.zip(0..).collect(),
            balancer: Balancer::build(rules.balance, &endpoints),
            endpoints,
            slow_start: rules.slow_start,
            panic_threshold: rules.panic_threshold,
        }
    }

    /// Returns the same endpoints by other rules.
    pub(super) fn again(&self, rules: &Rules) -> Self {
        let members = self
            .endpoints
            .iter()
            .map(|endpoint| endpoint.member.clone());
        let members: Vec<Member> = members.collect();
        Self::build(rules, &members, Some(self), &mut Carried::default())
    }

    /// Returns all endpoints, in the order in which they were given.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Returns the endpoint with this address.
    pub fn at(&self, address: &str) -> Option<&Endpoint> {
        let mut endpoints = self.endpoints.iter();
        endpoints.find(|endpoint| *endpoint.address == *address)
    }

    /// Returns the endpoints with this address, or with addresses of this `name:port`.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| {
            *endpoint.address == *name || endpoint.state.authority() == name
        })
    }

    /// Returns the endpoint that a source names again.
    fn same(&self, member: &Member) -> Option<&Endpoint> {
        let at = self.by_address.get(&member.address)?;
        let known = self.endpoints.get(*at)?;
        known
            .state
            .is_named(member.authority.as_ref())
            .then_some(known)
    }

    /// Whether at least one endpoint may be tried.
    pub fn available(&self) -> bool {
        self.endpoints.iter().any(Endpoint::serves)
            || (self.in_panic_mode() && self.wanted().any(|e| e.state.reachable()))
    }

    /// Whether active checks ask its endpoints.
    pub fn is_checked(&self) -> bool {
        self.endpoints.iter().any(Endpoint::is_checked)
    }

    /// Whether the balancer asks for a hash of the request.
    pub fn hashes(&self) -> bool {
        self.balancer.hashes()
    }

    /// Picks an endpoint for the next try: available, and not among those `tried` already, which
    /// are named by [`EndpointState::serial`].
    pub fn pick(&self, tried: &[u64], hash: u64) -> Option<&Endpoint> {
        let panics = self.in_panic_mode();
        let eligible = |index: usize| {
            self.endpoints.get(index).is_some_and(|endpoint| {
                let state = &endpoint.state;
                !tried.contains(&state.serial())
                    && (state.available() || (panics && state.reachable()))
            })
        };
        let mut index = self.balancer.pick(&self.endpoints, hash, &eligible)?;
        if self.skips_turn(index) {
            let others = |other: usize| other != index && eligible(other);
            let other = self.balancer.pick(&self.endpoints, hash, &others);
            index = other.unwrap_or(index);
        }
        self.endpoints.get(index)
    }

    /// Returns the endpoint of a sticky client, if it may be tried.
    pub fn sticky(&self, id: u64, tried: &[u64]) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| {
            let state = &endpoint.state;
            state.id() == id && !tried.contains(&state.serial()) && endpoint.serves()
        })
    }

    /// Returns the client beside traffic of any endpoint that may be tried.
    pub fn side_client(&self) -> Option<Arc<SideClient>> {
        let endpoint = self.pick(&[], fastrand::u64(..))?;
        Some(endpoint.side_client.clone())
    }

    /// Returns the endpoints that are to get requests, well or not.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.is_wanted())
    }

    /// Counts the endpoints that are to get requests, and of which this is true.
    pub(super) fn count(&self, is: impl Fn(&EndpointState) -> bool) -> usize {
        self.wanted().filter(|endpoint| is(&endpoint.state)).count()
    }

    /// Whether so few endpoints are well that it is more likely the checks that are not.
    fn in_panic_mode(&self) -> bool {
        let Percent(threshold) = self.panic_threshold;
        if threshold == 0 {
            return false;
        }
        let well = self.endpoints.iter().filter(|endpoint| endpoint.serves());
        well.count() * 10_000 < usize::from(threshold) * self.wanted().count()
    }

    /// Whether an endpoint that warms up, or is busy, lets this turn pass.
    fn skips_turn(&self, index: usize) -> bool {
        let Some(endpoint) = self.endpoints.get(index) else {
            return false;
        };
        let weight = endpoint.state.slow_start_weight(self.slow_start);
        weight < 1.0 && fastrand::f32() >= weight
    }
}

#[cfg(test)]
impl Rules {
    /// Rules without checks, TLS or anything else.
    pub fn plain() -> Self {
        Self {
            owner: Owner {
                service: "shop".into(),
                version: "v1".into(),
                series: Arc::default(),
            },
            checks: None,
            tls: None,
            http: UpstreamHttp::H1,
            idle: Duration::from_mins(1),
            balance: Balance::RoundRobin,
            slow_start: None,
            panic_threshold: Percent(0),
        }
    }
}

#[cfg(test)]
impl Member {
    /// An endpoint that a configuration names.
    pub fn at(address: impl Into<Name>, weight: u16) -> Self {
        Self {
            address: address.into(),
            authority: None,
            weight,
            zone: None,
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Carried, EndpointSet, Member, Rules};

    fn set(rules: &Rules, ports: &[u16], before: Option<&EndpointSet>) -> (EndpointSet, Carried) {
        let wanted = ports
            .iter()
            .map(|port| Member::at(format!("127.0.0.1:{port}"), 1));
        let wanted: Vec<Member> = wanted.collect();
        let mut carried = Carried::default();
        let set = EndpointSet::build(rules, &wanted, before, &mut carried);
        (set, carried)
    }

    #[test]
    fn endpoints_that_stay_keep_what_is_known_of_them() {
        let rules = Rules::plain();
        let (first, carried) = set(&rules, &[1, 2, 3], None);
        assert_eq!((carried.kept, carried.reset.len()), (0, 0));
        let busy = first.at("127.0.0.1:2").unwrap().state.enter();
        let gone = first.at("127.0.0.1:1").unwrap().state.enter();
        let (second, carried) = set(&rules, &[4, 3, 2], Some(&first));
        assert_eq!((carried.kept, carried.reset.len()), (2, 1));
        drop(first);
        let kept = &second.at("127.0.0.1:2").unwrap().state;
        assert_eq!(
            (kept.in_flight(), kept.serial()),
            (1, busy.endpoint().serial())
        );
        // A try at an endpoint that has gone ends as any other.
        assert_eq!(gone.endpoint().in_flight(), 1);
        drop((busy, gone));
        assert_eq!(kept.in_flight(), 0);
        let tried: Vec<u64> = [3, 4]
            .map(|port| {
                let address = format!("127.0.0.1:{port}");
                second.at(&address).unwrap().state.serial()
            })
            .into();
        assert_eq!(
            second.pick(&tried, 0).unwrap().address.as_ref(),
            "127.0.0.1:2"
        );
    }
}
