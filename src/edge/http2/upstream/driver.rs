//! What runs one connection: reads and writes its frames, closes it when it has been idle, and
//! tells its group what changes.

use super::group::Group;
use super::link::Link;
use bytes::Bytes;
use h2::client::Connection;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

/// Longest wait for an upstream to take the GOAWAY of a connection that is not used any more.
const LINGER: Duration = Duration::from_secs(5);
/// Longest time until an idle connection is looked at again; a sum with it is a time that exists.
const IDLE_CHECK_MAX: Duration = Duration::from_hours(1);

/// The place of a connection in its group; left when the connection ends, however it does.
pub(super) struct Seat {
    group: Weak<Group>,
    link: Weak<Link>,
}

impl Seat {
    pub(super) fn new(group: Weak<Group>, link: &Arc<Link>) -> Self {
        let link = Arc::downgrade(link);
        Self { group, link }
    }

    fn with<T>(&self, act: impl FnOnce(&Arc<Group>, &Arc<Link>) -> T) -> Option<T> {
        let (group, link) = (self.group.upgrade()?, self.link.upgrade()?);
        Some(act(&group, &link))
    }

    /// Tells the group what the frames that have just been read have changed.
    fn report(&self) {
        self.with(|group, link| {
            if link.sender().is_none() {
                group.retire(link);
            } else if let Some(limit) = link.new_limit() {
                group.settle(link, limit);
            }
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.with(Group::retire);
    }
}

/// Runs a connection until it ends.
pub(super) async fn drive<T>(mut connection: Connection<T, Bytes>, seat: Seat, idle: Duration)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // One timer for the connection, however many requests there are.
    let mut timer = pin!(sleep(idle.min(IDLE_CHECK_MAX)));
    let mut closing = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended);
        }
        seat.report();
        if !closing && seat.link.strong_count() == 0 {
            // No stream is left, nor can one come: the library says GOAWAY.
            closing = true;
            timer.as_mut().reset(Instant::now() + LINGER);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if closing {
                return Poll::Ready(Ok(()));
            }
            let again = seat.with(Group::expire).flatten();
            closing = again.is_none() && seat.link.strong_count() == 0;
            let again = again.unwrap_or(LINGER).min(IDLE_CHECK_MAX);
            timer.as_mut().reset(Instant::now() + again);
        }
        Poll::Pending
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "HTTP/2 connection to an upstream ended");
    }
}
