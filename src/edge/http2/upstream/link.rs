//! One connection, as its group knows it.

use super::{STREAMS_MAX, UNSETTLED};
use bytes::Bytes;
use h2::client::SendRequest;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// Streams on a connection whose SETTINGS have not come. More could exceed a limit that is on its
/// way, and the upstream would refuse them.
const EARLY_STREAMS: usize = 1;

/// One connection. It ends when the last reference to this goes and its streams have ended.
pub(super) struct Link {
    sender: SendRequest<Bytes>,
    /// Streams that the upstream allows; [`UNSETTLED`] until it has said so.
    limit: AtomicUsize,
}

impl Link {
    pub(super) fn new(sender: SendRequest<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            sender,
            limit: AtomicUsize::new(UNSETTLED),
        })
    }

    /// Returns what sends a request, unless the connection takes no more: it has ended, the
    /// upstream has said GOAWAY, or stream numbers have run out.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.clone();
        let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(()))).then_some(sender)
    }

    /// Returns the upstream's limit if it is another one than before.
    pub(super) fn new_limit(&self) -> Option<usize> {
        let limit = self.sender.current_max_send_streams();
        (limit != self.limit.load(Relaxed)).then_some(limit)
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }
}

/// A connection in its group.
pub(super) struct Slot {
    pub(super) link: Arc<Link>,
    /// Streams handed out.
    pub(super) active: usize,
    /// Since when there has been none.
    pub(super) idle_since: Instant,
}

impl Slot {
    pub(super) fn is_settled(&self) -> bool {
        self.link.limit.load(Relaxed) != UNSETTLED
    }

    pub(super) fn has_room(&self) -> bool {
        let limit = match self.link.limit.load(Relaxed) {
            UNSETTLED => EARLY_STREAMS,
            limit => limit.min(STREAMS_MAX),
        };
        self.active < limit
    }
}
