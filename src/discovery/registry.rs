//! Feeds by name, over reloads; and the versions that follow them.

use super::dns::{Dns, Resolver};
use super::feed::Feed;
use super::file::File;
use super::follower::Follower;
use super::source::{Failure, Source};
use super::srv::Srv;
use crate::config::discovery::{Discover, What};
use crate::config::{Config, Name};
use crate::upstream::Service;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;

/// All that is discovered by this process.
#[derive(Default)]
pub struct Discovery {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    feeds: HashMap<Key, Weak<Feed>>,
    /// Resolvers by their servers; those of the system have none.
    resolvers: HashMap<Vec<SocketAddr>, Resolver>,
    /// Ends the followers of the live generation.
    followers: Vec<AbortHandle>,
}

/// What makes a feed the same for two versions: what it asks for, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: Name,
    servers: Vec<SocketAddr>,
}

/// Followers that are ready to be put to work.
#[must_use]
pub struct Followed(Vec<Follower>);

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").finish_non_exhaustive()
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Followed").field(&self.0.len()).finish()
    }
}

impl Discovery {
    /// Gives the versions of a generation that is not live yet what their feeds know already.
    /// Feeds that are new begin to ask.
    pub fn prepare(self: &Arc<Self>, config: &Config, services: &[Arc<Service>]) -> Followed {
        let mut followers = Vec::new();
        for service in services {
            let Some(table) = config.services.get(&service.name) else {
                continue;
            };
            for (index, (_, version)) in table.versions.iter().enumerate() {
                let follower = Follower::new(self, config, service, index, version);
                followers.extend(follower);
            }
        }
        for follower in &mut followers {
            follower.refresh();
        }
        Followed(followers)
    }

    /// Lets these versions follow their feeds from now on, in place of those of the generation
    /// before.
    pub fn follow(&self, Followed(followers): Followed) {
        let tasks = followers.into_iter();
        let tasks = tasks.map(|follower| tokio::spawn(follower.run()).abort_handle());
        let tasks: Vec<AbortHandle> = tasks.collect();
        let before = std::mem::replace(&mut self.state.lock().followers, tasks);
        before.iter().for_each(AbortHandle::abort);
        let mut state = self.state.lock();
        state.feeds.retain(|_, feed| feed.strong_count() > 0);
    }

    /// Returns all feeds that are in use, by name.
    pub fn feeds(&self) -> Vec<Arc<Feed>> {
        let state = self.state.lock();
        let feeds = state.feeds.values().filter_map(Weak::upgrade);
        let mut feeds: Vec<Arc<Feed>> = feeds.collect();
        drop(state);
        feeds.sort_by(|one, other| one.name().cmp(other.name()));
        feeds
    }

    /// Whether a source has not been asked to its end yet.
    pub fn waits(&self) -> bool {
        self.feeds().iter().any(|feed| !feed.was_asked())
    }

    /// Returns how long ago each source has answered, by its name.
    pub fn ages(&self) -> HashMap<Name, Duration> {
        let feeds = self.feeds().into_iter();
        let ages =
            feeds.filter_map(|feed| Some((feed.name().clone(), feed.latest()?.at.elapsed())));
        ages.collect()
    }

    /// Returns the feed of what a version discovers.
    pub(super) fn feed_of(&self, config: &Config, discover: &Discover) -> Option<Arc<Feed>> {
        let servers = servers(config, discover);
        match &discover.what {
            What::Dns { host, .. } => self.dns(host, servers),
            What::Srv(name) => self.feed(format!("srv:{name}"), servers, |resolver| {
                Box::new(Srv::new(resolver, name.clone()))
            }),
            What::File(path) => self.feed(format!("file:{}", path.display()), &[], |_| {
                Box::new(File::new(path.clone()))
            }),
        }
    }

    /// Returns the feed of the addresses of a name.
    pub(super) fn dns(&self, host: &Name, servers: &[SocketAddr]) -> Option<Arc<Feed>> {
        self.feed(format!("dns:{host}"), servers, |resolver| {
            Box::new(Dns::new(resolver, host.clone()))
        })
    }

    fn feed(
        &self,
        name: String,
        servers: &[SocketAddr],
        source: impl FnOnce(Resolver) -> Box<dyn Source>,
    ) -> Option<Arc<Feed>> {
        let key = Key {
            name: name.into(),
            servers: servers.to_vec(),
        };
        let mut state = self.state.lock();
        if let Some(feed) = state.feeds.get(&key).and_then(Weak::upgrade) {
            return Some(feed);
        }
        let resolver = state.resolver(servers);
        let resolver = resolver
            .inspect_err(|failure| tracing::error!(kind = failure.name(), "no resolver"))
            .ok()?;
        let feed = Feed::start(key.name.clone(), source(resolver));
        state.feeds.insert(key, Arc::downgrade(&feed));
        Some(feed)
    }
}

impl State {
    fn resolver(&mut self, servers: &[SocketAddr]) -> Result<Resolver, Failure> {
        if let Some(resolver) = self.resolvers.get(servers) {
            return Ok(resolver.clone());
        }
        let resolver = match servers.is_empty() {
            true => Resolver::system(),
            false => Resolver::own(servers)?,
        };
        self.resolvers.insert(servers.to_vec(), resolver.clone());
        Ok(resolver)
    }
}

/// The DNS servers that are asked; none: those of the system.
pub(super) fn servers<'c>(config: &'c Config, discover: &Discover) -> &'c [SocketAddr] {
    let registry = discover.from.as_ref();
    let registry = registry.and_then(|name| config.discovery.get(name));
    registry.map_or(&[], |registry| &registry.dns)
}
