//! Starts and stops traffic: opens the listeners, follows the configuration in what it listens
//! on, hands sockets over, drains.

use crate::config::listener::Bind;
use crate::config::server::Drain as Rules;
use crate::config::{Config, Name};
use crate::edge::{Connections, Drainer, Phase, Server as Edge, Shared, listener};
use crate::live::Doors;
use crate::snapshot::Current;
use crate::sockets::{self, Inherited, Listening};
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Unused upstream connections kept per thread, over all endpoints.
const POOL_SIZE: usize = 1024;
/// How often a drain looks whether the last connection has ended.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Running listeners. Dropping it does not stop them; [`Serving::drain`] does.
pub struct Serving {
    edge: Edge,
    /// Turns true when the process has no more time for connections of listeners that are closed.
    over: watch::Sender<bool>,
    open: Mutex<BTreeMap<Name, Open>>,
    runtime: Handle,
}

/// A listener that is open.
struct Open {
    /// As configured.
    asked: Bind,
    /// As bound.
    address: Bind,
    /// Connections that are open.
    connections: Arc<AtomicU32>,
    drainer: Drainer,
    accepting: JoinHandle<()>,
    /// A second handle on the socket, for whoever takes over.
    handle: OwnedFd,
}

/// A listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener `{name}` cannot bind {address}: {source}")]
pub struct CannotBind {
    pub name: Name,
    pub address: Bind,
    pub source: io::Error,
}

/// Opens every listener of the live snapshot, or takes its socket over, and starts serving. Must
/// run inside a tokio runtime.
///
/// # Errors
/// When an address cannot be bound; nothing is served then.
pub fn start(
    current: Current,
    metrics: Arc<Metrics>,
    inherited: &mut Inherited,
) -> Result<Arc<Serving>, CannotBind> {
    let snapshot = current.load_full();
    let mut sockets = Vec::new();
    for (name, config) in &snapshot.config.listeners {
        let fail = cannot_bind(name, &config.bind);
        let socket = inherited
            .or_bind(name, &config.bind, &config.tcp)
            .map_err(fail)?;
        sockets.push((name.clone(), config.bind.clone(), socket));
    }
    let threads = threads(snapshot.config.server.threads);
    let shared = Shared {
        current: current.clone(),
        metrics,
        connections: Connections::new(POOL_SIZE.saturating_mul(threads)),
    };
    let serving = Arc::new(Serving {
        edge: Edge {
            current,
            handler: Arc::new(shared),
            // Each listener has its own.
            drain: Drainer::new().1,
        },
        over: watch::channel(false).0,
        open: Mutex::default(),
        runtime: Handle::current(),
    });
    for (name, asked, socket) in sockets {
        let fail = cannot_bind(&name, &asked);
        serving.listen(&name, asked.clone(), socket).map_err(fail)?;
    }
    Ok(serving)
}

fn cannot_bind(name: &Name, address: &Bind) -> impl FnOnce(io::Error) -> CannotBind {
    let (name, address) = (name.clone(), address.clone());
    move |source| CannotBind {
        name,
        address,
        source,
    }
}

/// Worker threads: as configured, else one per core that the cgroup grants.
pub fn threads(configured: u16) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => usize::from(threads),
    }
}

impl Serving {
    fn listen(&self, name: &Name, asked: Bind, socket: Listening) -> io::Result<()> {
        let address = socket.address(&asked)?;
        let handle = socket.handle()?;
        let (drainer, drain) = Drainer::new();
        let edge = Edge {
            drain,
            ..self.edge.clone()
        };
        tracing::info!(listener = %name, %address, "listening");
        let connections = Arc::new(AtomicU32::new(0));
        let accepting = listener::accept(socket, name.clone(), edge, connections.clone());
        let failed = name.clone();
        let accepting = self.runtime.spawn(async move {
            if let Err(error) = accepting.await {
                tracing::error!(listener = %failed, %error, "cannot accept at all");
            }
        });
        let open = Open {
            asked,
            address,
            connections,
            drainer,
            accepting,
            handle,
        };
        self.open.lock().insert(name.clone(), open);
        Ok(())
    }

    /// Closes a listener that a reload has taken away; its connections have the grace of a drain.
    fn close(&self, name: &Name) {
        let Some(open) = self.open.lock().remove(name) else {
            return;
        };
        tracing::info!(listener = %name, address = %open.address, "no longer listening");
        open.drainer.tell(Phase::Closed);
        open.remove_file();
        let rules = self.edge.current.load().config.server.drain.clone();
        let mut over = self.over.subscribe();
        self.runtime.spawn(async move {
            let _ = timeout(rules.grace.min(rules.timeout), over.wait_for(|over| *over)).await;
            open.drainer.tell(Phase::Over);
        });
    }

    /// Listener names and the addresses they are really bound to.
    pub fn addresses(&self) -> BTreeMap<String, String> {
        let open = self.open.lock();
        open.iter()
            .map(|(name, open)| (name.to_string(), open.address.to_string()))
            .collect()
    }

    /// Listener names with the addresses they are bound to and the connections that are open.
    pub fn connections(&self) -> BTreeMap<String, (String, u32)> {
        let open = self.open.lock();
        let one = |open: &Open| (open.address.to_string(), open.connections.load(Relaxed));
        open.iter()
            .map(|(name, open)| (name.to_string(), one(open)))
            .collect()
    }

    /// Second handles on all sockets, by listener.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn handles(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let open = self.open.lock();
        open.iter()
            .map(|(name, open)| Ok((name.to_string(), open.handle.try_clone()?)))
            .collect()
    }

    /// From now on every answer says that its connection closes; new ones are still accepted.
    pub fn announce(&self) {
        for open in self.open.lock().values() {
            open.drainer.tell(Phase::Announced);
        }
    }

    /// Stops accepting, lets requests in flight end, and returns how many did not within the
    /// timeout. Where another process has taken the sockets over, their files stay, and kept
    /// connections are served for the grace.
    pub async fn drain(&self, rules: &Rules, handed_over: bool) -> i64 {
        let began = Instant::now();
        let closing = std::mem::take(&mut *self.open.lock());
        let mut drainers = Vec::with_capacity(closing.len());
        for (_, open) in closing {
            open.drainer.tell(Phase::Closed);
            if !handed_over {
                open.remove_file();
            }
            // All who have connected already are counted then.
            let _ = open.accepting.await;
            drainers.push(open.drainer);
        }
        if handed_over {
            self.empties(rules.grace.min(rules.timeout)).await;
        }
        let _ = self.over.send(true);
        for drainer in &drainers {
            drainer.tell(Phase::Over);
        }
        let left = rules.timeout.saturating_sub(began.elapsed());
        self.empties(left).await;
        self.edge.handler.metrics.active.load(Relaxed).max(0)
    }

    /// Waits until the last connection has closed, no longer than `limit`.
    async fn empties(&self, limit: Duration) {
        let began = Instant::now();
        let metrics = &self.edge.handler.metrics;
        while metrics.connections.load(Relaxed) > 0 || metrics.active.load(Relaxed) > 0 {
            if began.elapsed() >= limit {
                return;
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

impl Open {
    /// Removes the file of a Unix socket.
    fn remove_file(&self) {
        if let Bind::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Doors for Arc<Serving> {
    /// Binds what is new before anything changes: an address that is taken keeps the old
    /// configuration serving.
    fn prepare(&self, config: &Config) -> Result<Box<dyn FnOnce() + Send>, (Name, String)> {
        let (mut fresh, mut gone) = (Vec::new(), Vec::new());
        {
            let open = self.open.lock();
            for (name, listener) in &config.listeners {
                let same = open
                    .get(name)
                    .is_some_and(|open| open.asked == listener.bind);
                if !same {
                    let fail = cannot_bind(name, &listener.bind);
                    let socket = sockets::open(&listener.bind, &listener.tcp);
                    let failed = |error| (name.clone(), fail(error).to_string());
                    let socket = socket.map_err(failed)?;
                    fresh.push((name.clone(), listener.bind.clone(), socket));
                }
            }
            gone.extend(
                open.keys()
                    .filter(|name| !config.listeners.contains_key(*name))
                    .cloned(),
            );
        }
        let serving = self.clone();
        Ok(Box::new(move || {
            for name in gone {
                serving.close(&name);
            }
            for (name, asked, socket) in fresh {
                serving.close(&name);
                if let Err(error) = serving.listen(&name, asked, socket) {
                    tracing::error!(listener = %name, %error, "cannot listen");
                }
            }
        }))
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}
