//! WebSockets over HTTP/2 (RFC 8441): a request for one becomes the request that HTTP/1.1 has for
//! it, and both sides are told when the process leaves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::{HeaderValue, Method, StatusCode, header, request, response};

/// Makes an extended CONNECT the request that offers the same over HTTP/1.1 (RFC 6455, section
/// 4.1). Its key is new, since HTTP/2 has none.
pub fn offer(head: &mut request::Parts) {
    head.method = Method::GET;
    head.extensions.remove::<Protocol>();
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let headers = &mut head.headers;
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}

/// Makes the answer that switches over HTTP/1.1 that of HTTP/2 (RFC 8441, section 5).
pub fn accept(head: &mut response::Parts) {
    head.status = StatusCode::OK;
    head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
}
