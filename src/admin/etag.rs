//! Writers who do not overwrite each other: every answer about the configuration names the
//! generation it tells of, and a write may say which one it was made for.

use super::Admin;
use super::api::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The tag of what is live.
fn tag(admin: &Admin) -> String {
    format!("\"g{}\"", admin.live.current.load().generation)
}

/// Refuses a write that was made for another generation (RFC 9110, section 13.1.1).
pub async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let wanted = request.headers().get(header::IF_MATCH);
    let wanted = wanted.map(|wanted| wanted.to_str().unwrap_or("").to_owned());
    let live = tag(&admin);
    let held = |wanted: &str| {
        wanted
            .split(',')
            .any(|one| matches!(one.trim(), one if one == "*" || one == live))
    };
    if wanted.as_deref().is_some_and(|wanted| !held(wanted)) {
        let detail = format!("{live} is live; look again before you change it");
        let problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
        return tagged(problem.into_response(), &live);
    }
    let about_config = request.uri().path().starts_with("/v1/config");
    let answer = next.run(request).await;
    match about_config {
        true => tagged(answer, &tag(&admin)),
        false => answer,
    }
}

fn tagged(mut answer: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}
