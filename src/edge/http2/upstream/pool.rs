//! The pool of connections, by endpoint.
//!
//! A request takes a stream of a connection that has one free, and only where there is none does it
//! look further:
//!
//! - The first request to an endpoint connects; those that come meanwhile wait for that connection,
//!   as long as the streams that it will probably carry are enough for them all. If they are not,
//!   further ones connect at the same time.
//! - A connection carries one stream until the upstream's SETTINGS have come, since these say how
//!   many it allows (RFC 9113, section 5.1.2). They are the first frame of any upstream.
//! - Nothing waits longer than [`PATIENCE`] for what another request has begun, where it may
//!   connect itself; after a failure, requests connect each for itself.
//! - At most [`CONNECTIONS_MAX`](super::group::CONNECTIONS_MAX) connections lead to one endpoint.
//!   Beyond them a request waits for a stream that ends, within its own deadline.

use super::claim::{Attempt, Lease};
use super::driver::{Seat, drive};
use super::group::{Group, Groups, Next};
use super::link::Link;
use super::stream::Http2Upstream;
use super::{meaning, settings};
use crate::edge::message::UpstreamError;
use http::uri::Scheme;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// How long a request waits for another one's connection: the delay after which RFC 8305 (section
/// 5) begins a further attempt.
const PATIENCE: Duration = Duration::from_millis(250);

/// Why there is no stream.
#[derive(Debug)]
pub enum Failed<E> {
    /// The transport could not be made.
    Connect(E),
    /// It could, but was not usable for HTTP/2.
    Handshake(UpstreamError),
}

/// Connections to upstreams that speak HTTP/2.
#[derive(Default)]
pub struct Http2Pool {
    groups: Arc<Groups>,
}

impl Http2Pool {
    /// Returns a stream to the endpoint of this key, and whether its connection was there already.
    /// Waits for as long as no stream is to be had: the caller sets the deadline. A connection that
    /// is not used for `idle` is closed.
    ///
    /// # Errors
    /// When the connection that was made for this request failed.
    pub async fn stream<F, Fut, T, E>(
        &self,
        key: u64,
        scheme: Scheme,
        idle: Duration,
        connect: F,
    ) -> Result<(Http2Upstream, bool), Failed<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut patient = true;
        // Dropped once it has decided anew.
        let mut turn;
        loop {
            let lease = match self.group(key).next(idle, patient) {
                Next::Take(lease) => Some(lease),
                Next::Connect(attempt) => {
                    // Boxed: it is large, and most requests find a connection.
                    let made = Box::pin(async { connected(attempt, connect(), idle).await });
                    let (lease, sender) = made.await?;
                    return Ok((Http2Upstream::new(sender, scheme, lease), false));
                }
                Next::Wait(next) => {
                    turn = next;
                    let patience = match turn.may_connect() {
                        true => PATIENCE,
                        false => Duration::MAX,
                    };
                    match timeout(patience, turn.comes()).await {
                        Ok(lease) => lease,
                        Err(_) => {
                            patient = false;
                            None
                        }
                    }
                }
            };
            // Without a lease, or with one of a connection that has just ended, it decides anew.
            if let Some(lease) = lease
                && let Some(sender) = lease.sender()
            {
                return Ok((Http2Upstream::new(sender, scheme, lease), true));
            }
        }
    }

    fn group(&self, key: u64) -> Arc<Group> {
        if let Some(group) = self.groups.get(&key) {
            return group.clone();
        }
        let group = self.groups.entry(key);
        let group = group.or_insert_with(|| Group::new(key, Arc::downgrade(&self.groups)));
        group.clone()
    }

    #[cfg(test)]
    pub(super) fn counts(&self, key: u64) -> Option<(usize, usize, usize)> {
        self.groups.get(&key).map(|group| group.counts())
    }
}

type Sender = h2::client::SendRequest<bytes::Bytes>;

/// Makes a transport, begins HTTP/2 on it, and adds it to the group as a connection.
async fn connected<T, E>(
    attempt: Attempt,
    connect: impl Future<Output = Result<T, E>>,
    idle: Duration,
) -> Result<(Lease, Sender), Failed<E>>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = match connect.await {
        Ok(transport) => {
            let shaken = settings().handshake(transport).await;
            shaken.map_err(|error| Failed::Handshake(meaning(&error)))
        }
        Err(error) => Err(Failed::Connect(error)),
    };
    match handshake {
        Ok((sender, connection)) => {
            let link = Link::new(sender.clone());
            let seat = Seat::new(attempt.group(), &link);
            let lease = attempt.succeeds(&link);
            tokio::spawn(drive(connection, seat, idle));
            Ok((lease, sender))
        }
        Err(failed) => {
            attempt.fails();
            Err(failed)
        }
    }
}
