//! One line in the log for every call that changes something, and for every one that was not let in:
//! who, what, and what came of it.

use super::auth::{Role, writes};
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use std::net::SocketAddr;

/// What a call has done, in words; handlers leave it with their answer.
#[derive(Debug, Clone)]
pub struct Deed(pub String);

/// Writes the line once the call has ended, refused or not.
pub async fn write(request: Request, next: Next) -> Response {
    let writes = writes(&request);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let client = client.map(|ConnectInfo(address)| address.ip().to_string());
    let answer = next.run(request).await;
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status());
    if !writes && !refused {
        return answer;
    }
    let role = answer.extensions().get::<Role>().map(|role| role.name());
    let deed = answer.extensions().get::<Deed>();
    tracing::info!(
        %method,
        path,
        client = client.as_deref().unwrap_or("-"),
        role = role.unwrap_or("-"),
        status = answer.status().as_u16(),
        deed = deed.map_or("-", |Deed(words)| words),
        "audit"
    );
    answer
}
