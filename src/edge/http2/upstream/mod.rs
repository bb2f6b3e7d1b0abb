//! HTTP/2 towards upstreams: shared connections, and one exchange on one stream (RFC 9113).
//!
//! - `pool` hands out streams and decides when another connection is opened.
//! - `group` holds the connections to one endpoint, and the requests that wait for a stream.
//! - `claim` is what a request holds of a group, `link` what the group holds of a connection.
//! - `driver` runs one connection: a task that lives as long as the connection.
//! - `stream` is one exchange as [`Upstream`](crate::edge::message::Upstream) has it, `upload` its
//!   request body, `head` its two heads.

mod claim;
mod driver;
mod group;
mod head;
mod link;
mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod upload;

pub use pool::{Failed, Http2Pool};
pub use stream::Http2Upstream;

use crate::edge::message::UpstreamError;
use h2::Reason;
use std::time::Duration;

/// Streams at once on one connection, where the upstream allows as many.
const STREAMS_MAX: usize = 100;
/// Data that an upstream may send ahead on one stream. A client that takes nothing holds as much of
/// the gateway's memory, so that a connection holds 12.5 MiB at most.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Data that it may send ahead on one connection: what all streams may hold. With less, a few
/// clients that take nothing would hold all of it, and no other stream of the connection could go
/// on. The library gives room to stream and connection at once, so it cannot be given back earlier.
/// Go's client has such a window too (1 GiB, with 4 MiB for a stream).
const CONNECTION_WINDOW: u32 = STREAMS_MAX as u32 * STREAM_WINDOW;
/// Largest head or trailers of an answer, as RFC 9113 counts it (section 6.5.2).
const HEAD_MAX: u32 = 256 * 1024;
/// Data of a request that one stream holds until it can be written.
const SEND_BUFFER: usize = 64 * 1024;
/// What small DATA frames that are not read yet may cost: each that has less than 256 bytes counts
/// what it lacks. With frames of 32 bytes it suffices for the whole window of a connection, as
/// where clients read many small messages slowly; beyond it the library gives the connection up,
/// with all of its streams.
const SMALL_FRAMES_MAX: usize = (CONNECTION_WINDOW as usize / 32) * (256 - 32);
/// Streams reset by the gateway whose late frames are still dropped silently, and for how long.
/// Late frames on a stream that is forgotten count as faults of the upstream.
const RESETS_KEPT: usize = 1024;
const RESETS_KEPT_FOR: Duration = Duration::from_secs(5);
/// Faults of an upstream on single streams before its connection is given up.
const FAULTS_MAX: usize = 10_000;
/// The limit on streams that stands for "the upstream's SETTINGS have not come". No SETTINGS frame
/// can say it: its values have 32 bits, and the library takes an absent limit for `usize::MAX`.
const UNSETTLED: usize = usize::MAX - 1;

fn settings() -> h2::client::Builder {
    let mut settings = h2::client::Builder::new();
    settings
        .enable_push(false)
        .initial_max_send_streams(UNSETTLED)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES_MAX)
        .max_concurrent_reset_streams(RESETS_KEPT)
        .reset_stream_duration(RESETS_KEPT_FOR)
        .max_local_error_reset_streams(Some(FAULTS_MAX));
    settings
}

/// Returns what an error of the library means for an exchange that has no answer yet.
fn meaning(error: &h2::Error) -> UpstreamError {
    match () {
        () if error.is_library() => UpstreamError::Malformed(fault(error.reason())),
        // The library ends a stream with a GOAWAY of the upstream only if its number is above the
        // last one of that frame: then it has not been processed (RFC 9113, section 6.8).
        () if error.is_go_away() => UpstreamError::Unprocessed,
        () if error.reason() == Some(Reason::REFUSED_STREAM) => UpstreamError::Unprocessed,
        () if error.is_reset() => UpstreamError::Reset,
        () => UpstreamError::Closed,
    }
}

/// Returns what the upstream did that the library has ended the stream or the connection for.
fn fault(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::FLOW_CONTROL_ERROR) => "the upstream sent more than its window",
        Some(Reason::FRAME_SIZE_ERROR) => "the upstream sent a frame of a wrong size",
        Some(Reason::COMPRESSION_ERROR) => "the upstream's compressed fields are broken",
        Some(Reason::ENHANCE_YOUR_CALM) => "the upstream sent too many useless frames",
        _ => "the answer breaks the rules of HTTP/2",
    }
}
