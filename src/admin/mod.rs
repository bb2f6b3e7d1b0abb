//! The administration of the process: an API behind a token, and probes and metrics in the open.

mod api;
mod audit;
mod auth;
mod control;
mod dashboard;
mod etag;
mod explain;
mod findings;
mod listeners;
mod mirrors;
mod probes;
mod profile;
mod rollouts;
mod stream;
mod tap;
mod troubles;
pub mod view;

pub use auth::{TOKEN_FILE, Token, Tokens};

use crate::live::Live;
use crate::server::Serving;
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::net::TcpListener;

/// What the handlers look at.
#[derive(Debug, Clone)]
pub struct Admin {
    pub live: Arc<Live>,
    pub serving: Arc<Serving>,
    pub draining: Arc<AtomicBool>,
    pub started: Instant,
    pub tokens: Arc<Tokens>,
    pub log: Log,
    /// Tells what is going on.
    pub stream: Arc<stream::Hub>,
    /// The latest calls that changed something or were not let in.
    trail: Arc<audit::Trail>,
}

/// The filter of the gateway's own log, which can be changed while running.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    pub get: fn() -> String,
    /// `Err` holds why not.
    pub set: fn(&str) -> Result<(), String>,
}

impl Admin {
    pub fn new(live: Arc<Live>, serving: Arc<Serving>, tokens: Tokens, log: Log) -> Self {
        Self {
            live,
            serving,
            draining: Arc::new(AtomicBool::new(false)),
            started: Instant::now(),
            tokens: Arc::new(tokens),
            log,
            stream: Arc::default(),
            trail: Arc::default(),
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
        .merge(dashboard::router(&admin))
        .merge(api::router(&admin))
        .with_state(admin.clone());
    tokio::join!(serve(listener, router), admin.stream.run(&admin));
}

/// Serves probes and metrics. Ends with the process.
pub async fn serve_probes(listener: TcpListener, admin: Admin) {
    serve(listener, probes::router().with_state(admin)).await;
}

async fn serve(listener: TcpListener, router: Router) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "administration stopped");
    }
}
