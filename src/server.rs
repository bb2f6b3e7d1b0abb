//! Starts and stops traffic: binds the listeners, serves them, drains them.

use crate::edge::{Road, Server as Edge, listener};
use crate::snapshot::{Current, Snapshot};
use crate::telemetry::Metrics;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Unused upstream connections kept per thread, over all endpoints.
const POOL_SIZE: usize = 1024;
/// How often a drain looks whether the last request has ended.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Running listeners. Dropping it does not stop them; [`Serving::drain`] does.
#[derive(Debug)]
pub struct Serving {
    /// Listener names and the addresses they are really bound to.
    pub addresses: BTreeMap<String, SocketAddr>,
    drain: watch::Sender<bool>,
    acceptors: JoinSet<()>,
    metrics: Arc<Metrics>,
}

/// A listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener `{name}` cannot bind {address}: {source}")]
pub struct CannotBind {
    pub name: String,
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Binds every listener of the live snapshot and starts serving. Must run inside a tokio runtime.
///
/// # Errors
/// When an address cannot be bound; nothing is served then.
pub fn start(current: Current, metrics: Arc<Metrics>) -> Result<Serving, CannotBind> {
    let snapshot = current.load_full();
    let mut bound = Vec::new();
    for (name, config) in &snapshot.config.listeners {
        let fail = |source| CannotBind {
            name: name.to_string(),
            address: config.bind,
            source,
        };
        let socket = listener::bind(config.bind).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        bound.push((name.clone(), address, socket));
    }
    let (drain, draining) = watch::channel(false);
    let edge = Edge {
        proxy: Arc::new(proxy(&snapshot, &current, &metrics)),
        current,
        metrics: metrics.clone(),
        drain: draining,
    };
    let mut acceptors = JoinSet::new();
    let mut addresses = BTreeMap::new();
    for (name, address, socket) in bound {
        tracing::info!(listener = %name, %address, "listening");
        addresses.insert(name.to_string(), address);
        acceptors.spawn(listener::accept(socket, name, edge.clone()));
    }
    Ok(Serving {
        addresses,
        drain,
        acceptors,
        metrics,
    })
}

fn proxy(snapshot: &Snapshot, current: &Current, metrics: &Arc<Metrics>) -> HttpProxy<Road> {
    let conf = ServerConf {
        threads: threads(snapshot.config.server.threads),
        upstream_keepalive_pool_size: POOL_SIZE,
        // Tries are counted by the road; this is only a fence behind it. Never 0, which would
        // answer nothing at all.
        max_retries: usize::from(u8::MAX),
        ..ServerConf::default()
    };
    let mut proxy = HttpProxy::new(Road::new(current.clone(), metrics.clone()), Arc::new(conf));
    proxy.handle_init_modules();
    proxy
}

/// Worker threads: as configured, else one per core that the cgroup grants.
pub fn threads(configured: u16) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => usize::from(threads),
    }
}

impl Serving {
    /// Stops accepting, lets requests in flight end, and returns how many did not within `limit`.
    pub async fn drain(mut self, limit: Duration) -> i64 {
        let _ = self.drain.send(true);
        while self.acceptors.join_next().await.is_some() {}
        let deadline = Instant::now() + limit;
        loop {
            let left = self.metrics.active.load(Relaxed);
            if left <= 0 || Instant::now() >= deadline {
                return left.max(0);
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}
