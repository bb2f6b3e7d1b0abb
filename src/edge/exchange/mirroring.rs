//! The mirror of a route beside the exchange: which parts of a request and its answer it gets.

use super::context::RequestContext;
use crate::edge::filters::mirror::Destination;
use crate::edge::message::{Length, Request};
use crate::policy::mirror::Mirror;
use crate::upstream::{SideClient, Version};
use bytes::Bytes;
use http::{request, response};
use std::sync::Arc;

/// Begins a copy of the request as the upstream gets it. A WebSocket is not copied, nor another
/// try.
pub fn begin(request: &Request, head: &request::Parts, context: &mut RequestContext) {
    let snapshot = context.snapshot.clone();
    let Some(mirror) = mirror(context, &snapshot) else {
        return;
    };
    if context.attempt.number > 1 {
        context.mirroring.retried();
    } else if !request.websocket {
        context.mirroring.copy(mirror, head);
        if request.body == Length::None {
            context.mirror_ends();
        }
    }
}

/// Shows the head of the upstream's answer to the comparison.
pub fn answered(head: &response::Parts, context: &mut RequestContext) {
    let snapshot = context.snapshot.clone();
    if let Some(mirror) = mirror(context, &snapshot) {
        let took = context.attempt.head_took.unwrap_or_default();
        context.mirroring.answered(mirror, head, took);
    }
}

fn mirror<'s>(
    context: &RequestContext,
    snapshot: &'s crate::snapshot::Snapshot,
) -> Option<&'s Arc<Mirror>> {
    snapshot.route(context.route_id()?)?.mirror.as_ref()
}

impl RequestContext {
    /// Adds a part of the request's body to the copy.
    pub fn mirror_data(&mut self, data: &Bytes) {
        if !self.mirroring.is_copying() {
            return;
        }
        let snapshot = self.snapshot.clone();
        if let Some(mirror) = mirror(self, &snapshot) {
            self.mirroring.data(mirror, data);
        }
    }

    /// Sends the copy: the request's body has ended.
    pub fn mirror_ends(&mut self) {
        if !self.mirroring.is_copying() {
            return;
        }
        let snapshot = self.snapshot.clone();
        if let Some(mirror) = mirror(self, &snapshot) {
            let to = Destination {
                copy: self.mirror_version(),
                original: self.version().and_then(Version::side_client),
            };
            self.mirroring.send(mirror, to);
        }
    }

    fn mirror_version(&self) -> Option<Arc<SideClient>> {
        let color = self.requested_color();
        let version = self.snapshot.mirror_version(self.route()?, color)?;
        version.side_client()
    }
}
