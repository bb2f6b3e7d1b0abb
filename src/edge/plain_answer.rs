//! Refusals made before there is a request to speak of: written straight to the socket, closed,
//! counted and logged like any other.

use super::connection::Server;
use super::context::Refusal;
use super::head::Refused;
use super::wire::ClientStream;
use super::{record, refusal, request_id};
use http::StatusCode;

/// Answers, logs and closes. `to_head`: the answer is its head alone (RFC 9110, section 9.3.2).
pub async fn refuse(server: &Server, mut stream: ClientStream, refused: Refused, to_head: bool) {
    let why = Refusal::from(refused);
    let id = request_id::fresh();
    server.metrics.unrouted.refusals.add(why.reason);
    if let Some(facts) = stream.facts() {
        record::without_request(server, facts, &why, &id);
    }
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
    if stream.send(answer.as_bytes()).await.is_ok() {
        stream.close_gently().await;
    }
}
