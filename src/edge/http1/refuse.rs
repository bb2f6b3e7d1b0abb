//! Refusals made before there is a request: written straight to the socket, closed, and recorded like
//! any other.

use super::connection::Refusals;
use super::downstream::Http1Client;
use crate::edge::connection_info::ConnectionInfo;
use crate::edge::context::Refusal;
use crate::edge::head::Refused;
use crate::edge::{refusal, request_id};
use http::StatusCode;

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
    let why = Refusal::from(refused);
    let body = refusal::problem(&why, Some(&id), None);
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
        refusal::proxy_status(&why),
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
