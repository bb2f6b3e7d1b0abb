//! Trailers of a request and of an answer: what the heads may not have does not come behind the
//! bodies either, since some recipients merge both (RFC 9110, section 6.5.1).

use super::context::RequestContext;
use super::request_headers::X_REQUEST_ID;
use super::response_headers::take_load;
use crate::edge::headers::{is_hop_by_hop, may_not_trail};
use crate::routing::client_fields::{self, Own};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Removes from a client's trailers what an upstream may believe of the gateway or of a proxy, and
/// what is for the gateway alone. A trusted peer speaks for its clients in the head, not here.
pub fn clean_request(trailers: &mut HeaderMap, context: &RequestContext) {
    let snapshot = &context.snapshot;
    let own = Own::of(&snapshot.config, &snapshot.guarded);
    client_fields::strip_trailers(trailers, own);
    remove(trailers, |name| {
        may_not_trail(name) || is_hop_by_hop(name) || snapshot.secret_headers.contains(name)
    });
}

/// Removes from an upstream's trailers what is for the gateway alone, and what the gateway itself
/// says in the head.
pub fn clean_response(trailers: &mut HeaderMap, context: &RequestContext) {
    take_load(trailers, context);
    let color = &context.snapshot.config.coloring.header;
    remove(trailers, |name| {
        may_not_trail(name) || is_hop_by_hop(name) || name == color || name == X_REQUEST_ID
    });
}

fn remove(trailers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let gone: SmallVec<[HeaderName; 4]> =
        trailers.keys().filter(|name| goes(name)).cloned().collect();
    for name in &gone {
        trailers.remove(name);
    }
}
