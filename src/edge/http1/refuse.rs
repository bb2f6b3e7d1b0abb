//! Refusals made before there is a request: written straight to the socket, closed, and recorded
//! like any other.

use super::downstream::Http1Client;
use crate::edge::http1::request_head::Refused;
use crate::edge::rejection::Rejection;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::{problem, request_id};
use http::{HeaderValue, StatusCode};

/// Records what is refused before there is a request: in metrics, the access log, and the tap.
pub trait Refusals {
    fn record(&self, connection: &ConnectionInfo, refused: &Refused, id: &HeaderValue);
}

/// Answers, records and closes. `to_head`: the answer is its head alone (RFC 9110, section 9.3.2).
pub async fn refuse(
    refusals: &impl Refusals,
    client: &mut Http1Client,
    info: &ConnectionInfo,
    refused: Refused,
    to_head: bool,
) {
    let id = request_id::fresh();
    refusals.record(info, &refused, &id);
    let why = Rejection::from(refused);
    let body = problem::problem(&why, Some(&id), None);
    let title = StatusCode::from_u16(why.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let answer = format!(
        "HTTP/1.1 {} {}\r\n\
         Content-Type: application/problem+json\r\n\
         Content-Length: {}\r\n\
         Cache-Control: no-store\r\n\
         Connection: close\r\n\
         Proxy-Status: {}\r\n\
         X-Request-Id: {}\r\n\
         {}\r\n{}",
        why.status,
        title.unwrap_or("Refused"),
        body.len(),
        problem::proxy_status(&why),
        id.to_str().unwrap_or("-"),
        if why.status == 405 {
            "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
        } else {
            ""
        },
        if to_head { "" } else { &body },
    );
    if client.send_plain(answer.as_bytes()).await.is_ok() {
        client.close_gently().await;
    }
}
