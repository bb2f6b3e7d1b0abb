//! The administration of the process: an API behind a token, and probes and metrics in the open.

mod api;
mod auth;
mod control;
mod probes;
mod rollouts;
pub mod view;

pub use auth::Token;

use crate::live::Live;
use crate::server::Serving;
use axum::Router;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::net::TcpListener;

/// What the handlers look at.
#[derive(Debug, Clone)]
pub struct Admin {
    pub live: Arc<Live>,
    /// Listeners and where they are bound.
    pub addresses: Arc<BTreeMap<String, SocketAddr>>,
    pub draining: Arc<AtomicBool>,
    pub started: Instant,
    pub token: Arc<Token>,
    /// Changes what is logged; `Err` holds why not.
    pub set_log: SetLog,
}

/// Changes the log filter while running.
pub type SetLog = fn(&str) -> Result<(), String>;

impl Admin {
    pub fn new(live: Arc<Live>, serving: &Serving, token: Token, set_log: SetLog) -> Self {
        Self {
            live,
            addresses: Arc::new(serving.addresses.clone()),
            draining: Arc::new(AtomicBool::new(false)),
            started: Instant::now(),
            token: Arc::new(token),
            set_log,
        }
    }

    /// From now on the process is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Serves the API. Ends with the process.
pub async fn serve_api(listener: TcpListener, admin: Admin) {
    let router = probes::router()
        .merge(api::router(&admin))
        .with_state(admin);
    serve(listener, router).await;
}

/// Serves probes and metrics. Ends with the process.
pub async fn serve_probes(listener: TcpListener, admin: Admin) {
    serve(listener, probes::router().with_state(admin)).await;
}

async fn serve(listener: TcpListener, router: Router) {
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "administration stopped");
    }
}
