//! What a request holds of its group: a stream, an attempt to connect, or a place among those that
//! wait. Each ends when it is dropped, at whatever point the request leaves.

use super::group::Group;
use super::link::Link;
use bytes::Bytes;
use h2::client::SendRequest;
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;

/// The right to one stream of a connection, until it is dropped.
pub(super) struct Lease {
    group: Arc<Group>,
    link: Arc<Link>,
    counted: bool,
}

impl Lease {
    pub(super) fn new(group: &Arc<Group>, link: &Arc<Link>) -> Self {
        Self {
            group: group.clone(),
            link: link.clone(),
            counted: true,
        }
    }

    /// Returns what sends a request; a connection that takes none is taken out.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let sender = self.link.sender();
        if sender.is_none() {
            self.retire();
        }
        sender
    }

    /// Drops it without giving its stream back, for one that was never counted.
    pub(super) fn forget(mut self) {
        self.counted = false;
    }

    /// Takes the connection out, so that it gets no more streams.
    pub(super) fn retire(&self) {
        self.group.retire(&self.link);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.counted {
            self.group.release(&self.link);
        }
    }
}

/// A connection being made by the request that will have its first stream.
pub(super) struct Attempt {
    group: Arc<Group>,
    state: Making,
}

#[derive(PartialEq, Eq)]
enum Making {
    UnderWay,
    Failed,
    Done,
}

impl Attempt {
    pub(super) fn new(group: &Arc<Group>) -> Self {
        Self {
            group: group.clone(),
            state: Making::UnderWay,
        }
    }

    pub(super) fn group(&self) -> Weak<Group> {
        Arc::downgrade(&self.group)
    }

    /// Adds the connection that was made. Returns its first stream.
    pub(super) fn succeeds(mut self, link: &Arc<Link>) -> Lease {
        self.state = Making::Done;
        self.group.join(link.clone());
        Lease::new(&self.group, link)
    }

    pub(super) fn fails(mut self) {
        self.state = Making::Failed;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        match self.state {
            Making::Done => {}
            Making::UnderWay => self.group.give_up(false),
            Making::Failed => self.group.give_up(true),
        }
    }
}

/// The place of a request among those that wait for a stream. It keeps the group: a request that is
/// sent back drops it once it has decided anew.
pub(super) struct Turn {
    group: Arc<Group>,
    granted: oneshot::Receiver<Lease>,
    may_connect: bool,
    is_over: bool,
}

impl Turn {
    pub(super) fn new(
        group: &Arc<Group>,
        granted: oneshot::Receiver<Lease>,
        may_connect: bool,
    ) -> Self {
        Self {
            group: group.clone(),
            granted,
            may_connect,
            is_over: false,
        }
    }

    /// Returns a stream, or `None` where the request has to decide anew.
    pub(super) async fn comes(&mut self) -> Option<Lease> {
        let lease = (&mut self.granted).await.ok();
        self.is_over = true;
        lease
    }

    /// Whether the request could make a connection of its own instead.
    pub(super) fn may_connect(&self) -> bool {
        self.may_connect
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A stream that has been granted since goes back when the receiver is dropped, after this.
        self.granted.close();
        self.group.leave(!self.is_over);
    }
}
