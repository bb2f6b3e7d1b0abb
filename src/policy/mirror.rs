//! Copies of requests for another service. They are sent beside the original, which waits for
//! nothing; what comes back is thrown away and counted.

use crate::config::upkeep::Mirror as Config;
use crate::outbound;
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The mirror of one route. Survives reloads that leave its table unchanged.
#[derive(Debug)]
pub struct Mirror {
    pub config: Config,
    in_flight: AtomicU32,
    pub sent: AtomicU64,
    pub failed: AtomicU64,
    /// Not sent, because too many were in flight or the body was too large.
    pub dropped: AtomicU64,
}

/// What is copied of a request.
#[derive(Debug)]
pub struct Copy {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<Bytes>,
    /// Body so far, in bytes.
    pub size: u64,
}

impl Mirror {
    pub fn build(config: &Config, previous: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            return previous.clone();
        }
        Arc::new(Self {
            config: config.clone(),
            in_flight: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Whether this request is one of those that are copied.
    pub fn wants(&self) -> bool {
        let share = u32::from(self.config.percent.0);
        share >= 10_000 || fastrand::u32(..10_000) < share
    }

    /// Sends a copy in the background, if there is room.
    pub fn send(self: &Arc<Self>, to: SocketAddr, copy: Copy) {
        let most = self.config.max_in_flight;
        let more = |count: u32| (count < most).then(|| count + 1);
        if self.in_flight.fetch_update(Relaxed, Relaxed, more).is_err() {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let place = Place(self.clone());
        tokio::spawn(async move {
            let mirror = &place.0;
            let Some(client) = outbound::plain() else {
                return;
            };
            let mut body = Vec::with_capacity(copy.size as usize);
            copy.body
                .iter()
                .for_each(|chunk| body.extend_from_slice(chunk));
            let request = client
                .request(copy.method, format!("http://{to}{}", copy.target))
                .timeout(mirror.config.timeout)
                .headers(copy.headers)
                .body(body);
            let answer = request.send().await;
            let counter = match &answer {
                Ok(answer) if !answer.status().is_server_error() => &mirror.sent,
                _ => &mirror.failed,
            };
            counter.fetch_add(1, Relaxed);
        });
    }
}

/// A copy in flight.
struct Place(Arc<Mirror>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
