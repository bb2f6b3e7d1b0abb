//! Makes the endpoints of one version of what its feeds say, and puts them to work.

use super::feed::Feed;
use super::hold::Hold;
use super::registry::{Discovery, servers};
use super::source::Entry;
use crate::config::discovery::{Trust, What, name_and_port};
use crate::config::service as config;
use crate::config::{Config, Name};
use crate::upstream::{Member, Service, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often the age of an answer is looked at, where endpoints are kept for a limited time only.
const AGE_CHECK: Duration = Duration::from_secs(1);

/// Endpoints by their addresses.
type Members = BTreeMap<Name, Member>;

/// One version that follows its feeds.
pub struct Follower {
    discovery: Weak<Discovery>,
    service: Weak<Service>,
    index: usize,
    /// Endpoints that stand in the configuration.
    given: Vec<Entry>,
    /// Where the others come from.
    feed: Option<Arc<Feed>>,
    /// Added to addresses without one.
    port: Option<(Name, u16)>,
    /// The servers that are asked for names among the endpoints; none: those of the system.
    servers: Vec<SocketAddr>,
    /// The feeds of names among the endpoints.
    names: HashMap<Name, Arc<Feed>>,
    trust: Trust,
    /// By address.
    hold: Hold<Name>,
    /// Removals wait to be confirmed, which has been said.
    holds: bool,
    wake: Arc<Notify>,
    /// When to look again although no feed has changed.
    again: Option<Instant>,
    current: Option<Members>,
}

impl Follower {
    /// Follows the sources of a version; `None`: all of its endpoints are addresses that stand in
    /// the configuration.
    pub fn new(
        discovery: &Arc<Discovery>,
        config: &Config,
        service: &Arc<Service>,
        index: usize,
        version: &config::Version,
    ) -> Option<Self> {
        let named = |endpoint: &config::Endpoint| name_and_port(&endpoint.address).is_some();
        if version.discover.is_none() && !version.endpoints.iter().any(named) {
            return None;
        }
        let given = version.endpoints.iter().map(|endpoint| Entry {
            weight: endpoint.weight,
            ..Entry::new(endpoint.address.clone())
        });
        let discover = version.discover.as_ref();
        let servers = discover.map_or(&[][..], |discover| servers(config, discover));
        let registry = discover.and_then(|discover| config.discovery.get(discover.from.as_ref()?));
        let wider = registry.map(|registry| registry.trust).unwrap_or_default();
        let trust = discover.map(|discover| discover.trust).unwrap_or_default();
        let trust = trust.or(wider);
        let wake = Arc::new(Notify::new());
        let feed = discover.and_then(|discover| discovery.feed_of(config, discover));
        if let Some(feed) = &feed {
            feed.wakes(&wake);
        }
        Some(Self {
            discovery: Arc::downgrade(discovery),
            service: Arc::downgrade(service),
            index,
            given: given.collect(),
            feed,
            port: discover.and_then(|discover| match &discover.what {
                What::Dns { host, port } => Some((format!("{host}:{port}").into(), *port)),
                What::Srv(_) | What::File(_) => None,
            }),
            servers: servers.to_vec(),
            names: HashMap::new(),
            trust,
            hold: Hold::new(trust),
            holds: false,
            wake,
            again: None,
            current: None,
        })
    }

    /// Follows until the version has gone.
    pub async fn run(mut self) {
        loop {
            let woken = self.wake.clone();
            match self.again {
                None => woken.notified().await,
                Some(again) => tokio::select! {
                    () = woken.notified() => {}
                    () = tokio::time::sleep_until(again.into()) => {}
                },
            }
            if self.service.strong_count() == 0 {
                return;
            }
            self.refresh();
        }
    }

    /// Makes the endpoints of what is known now, and puts them to work where they are others.
    pub fn refresh(&mut self) {
        let Some(service) = self.service.upgrade() else {
            return;
        };
        let Some(version) = service.versions.get(self.index) else {
            return;
        };
        let now = Instant::now();
        let Some(mut said) = self.said(now) else {
            self.again = self.checks_age(now);
            return;
        };
        let decided = self.hold.decide(said.keys().cloned().collect(), now);
        self.again = decided.again.or_else(|| self.checks_age(now));
        // Those that are held back are as they were.
        for address in &decided.set {
            let before = self.current.as_ref().and_then(|before| before.get(address));
            if let (false, Some(before)) = (said.contains_key(address), before) {
                said.insert(address.clone(), before.clone());
            }
        }
        if decided.held > 0 && !self.holds {
            let (service, version) = (&*service.name, &*version.name);
            let (held, of) = (decided.held, said.len());
            tracing::warn!(
                service,
                version,
                held,
                of,
                "most endpoints would be gone: they stay until the source has said so for a while"
            );
        }
        self.holds = decided.held > 0;
        if self.current.as_ref() == Some(&said) {
            return;
        }
        self.put(version, &service.name, said);
    }

    fn put(&mut self, version: &Version, service: &str, set: Members) {
        let members: Vec<Member> = set.values().cloned().collect();
        let before = version.set().endpoints().len();
        let carried = version.replace(&members);
        let (version, total) = (&*version.name, members.len());
        let (added, gone) = (total - carried.kept, before.saturating_sub(carried.kept));
        if self.current.is_some() || added + gone > 0 {
            tracing::info!(
                service,
                version,
                added,
                gone,
                total,
                "endpoints have changed"
            );
        }
        self.current = Some(set);
    }

    /// Returns what the sources say now; `None`: they have not said anything yet.
    fn said(&mut self, now: Instant) -> Option<Members> {
        let (mut entries, mut source) = (self.given.clone(), None);
        if let Some(feed) = &self.feed {
            let latest = feed.latest()?;
            if self.is_too_old(latest.at, feed, now) {
                self.hold.forget();
                return Some(Members::new());
            }
            entries.extend(latest.entries.iter().cloned());
            source = Some(feed.name().clone());
        }
        let names: Vec<Option<(Name, u16)>> = entries
            .iter()
            .map(|entry| name_and_port(&entry.address))
            .collect();
        let in_use = names.iter().flatten().map(|(host, _)| host);
        let in_use: BTreeSet<Name> = in_use.filter(|_| self.port.is_none()).cloned().collect();
        self.names.retain(|name, _| in_use.contains(name));
        let (mut members, mut waits) = (Members::new(), false);
        // The first one of an address counts.
        let mut add = |member: Option<Member>| {
            if let Some(member) = member {
                members.entry(member.address.clone()).or_insert(member);
            }
        };
        for (entry, name) in entries.iter().zip(names) {
            match name {
                _ if self.port.is_some() => add(self.with_port(entry, source.clone())),
                None => add(Some(member(entry, &entry.address, None, source.clone()))),
                Some((host, port)) => {
                    let Some(feed) = self.name(&host) else {
                        continue;
                    };
                    let Some(latest) = feed.latest() else {
                        waits = true;
                        continue;
                    };
                    let source = source.clone().unwrap_or_else(|| feed.name().clone());
                    for found in &latest.entries {
                        if let Ok(ip) = found.address.parse::<IpAddr>() {
                            let address = SocketAddr::new(ip, port).to_string();
                            let authority = Some(entry.address.clone());
                            let source = Some(source.clone());
                            add(Some(member(entry, &address, authority, source)));
                        }
                    }
                }
            }
        }
        // Nothing is decided by halves at the start.
        (!waits || !members.is_empty()).then_some(members)
    }

    fn with_port(&self, entry: &Entry, source: Option<Name>) -> Option<Member> {
        let (authority, port) = self.port.as_ref()?;
        let ip: IpAddr = entry.address.parse().ok()?;
        let address = SocketAddr::new(ip, *port).to_string();
        Some(member(entry, &address, Some(authority.clone()), source))
    }

    /// Returns the feed of a name among the endpoints.
    fn name(&mut self, host: &Name) -> Option<Arc<Feed>> {
        if let Some(feed) = self.names.get(host) {
            return Some(feed.clone());
        }
        let feed = self.discovery.upgrade()?.dns(host, &self.servers)?;
        feed.wakes(&self.wake);
        self.names.insert(host.clone(), feed.clone());
        Some(feed)
    }

    fn is_too_old(&self, at: Instant, feed: &Feed, now: Instant) -> bool {
        let age = now.saturating_duration_since(at);
        feed.is_failing() && self.trust.keep.is_some_and(|keep| age > keep)
    }

    fn checks_age(&self, now: Instant) -> Option<Instant> {
        let failing = self.feed.as_ref().is_some_and(|feed| feed.is_failing());
        let limited = self.trust.keep.is_some() && failing;
        limited.then(|| now + AGE_CHECK)
    }
}

fn member(entry: &Entry, address: &str, authority: Option<Name>, source: Option<Name>) -> Member {
    Member {
        address: address.into(),
        authority: authority.or_else(|| entry.authority.clone()),
        weight: entry.weight,
        zone: entry.labels.get("zone").cloned(),
        source,
    }
}
