//! The body of an answer on its way to the client: shown to the filters, which may change it.

use super::context::RequestContext;
use super::trailers;
use crate::edge::filters::compress::{self, Encoder};
use crate::edge::filters::grpc::Bridge;
use crate::edge::filters::stale_response::Keeping;
use crate::edge::rejection::Rejection;
use crate::reason::Reason;
use bytes::Bytes;
use http::HeaderMap;

/// Filters of one answer.
#[derive(Debug, Default)]
pub struct ResponseFilters {
    pub keeping: Keeping,
    pub encoder: Option<Box<Encoder>>,
}

impl ResponseFilters {
    /// Shows a part of the body to the filters, in the order in which they stand here.
    ///
    /// # Errors
    /// What breaks the answer off.
    pub fn data(
        &mut self,
        context: &mut RequestContext,
        bridge: Option<&Bridge>,
        body: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Rejection> {
        if let Some(data) = body {
            context.count_response_in(data.len());
            context.mirroring.answered_data(data);
        }
        if !context.hooks.is_empty() {
            plugins(context, body, end)?;
        }
        if let Some(data) = body {
            self.keeping.data(data);
        }
        if end {
            let service = context.service();
            let kept = service.and_then(|service| service.last_good.as_ref());
            self.keeping.end(kept.map(|(kept, _)| kept.as_ref()));
        }
        if let Some(bridge) = bridge {
            bridge.answer_piece(body);
        }
        match &mut self.encoder {
            None => Ok(()),
            Some(encoder) => encoder.code(body, end).map_err(|_| {
                Rejection::new(Reason::InternalError, "the answer cannot be compressed")
            }),
        }
    }

    /// Shows the trailers to the filters. Returns a last part of the body, where the trailers go
    /// into it, and the trailers that are left.
    pub fn trailers(
        &self,
        context: &mut RequestContext,
        bridge: Option<&Bridge>,
        trailers: Option<HeaderMap>,
    ) -> (Option<Bytes>, Option<HeaderMap>) {
        let Some(mut trailers) = trailers else {
            return (None, None);
        };
        context.ended_with(&trailers);
        trailers::clean_response(&mut trailers, context);
        if self.encoder.is_some() {
            compress::trailers(&mut trailers);
        }
        match bridge.and_then(|bridge| bridge.trailers(&trailers)) {
            Some(last) => (Some(last), None),
            None => (None, Some(trailers)),
        }
    }
}

fn plugins(
    context: &mut RequestContext,
    body: &mut Option<Bytes>,
    end: bool,
) -> Result<(), Rejection> {
    let route = context.decision.and_then(|decision| decision.route);
    match route.and_then(|id| context.snapshot.route(id)) {
        Some(route) => context.hooks.response_body(route, body, end),
        None => Ok(()),
    }
}
