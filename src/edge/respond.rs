//! Answers that need no upstream: fixed texts and redirects.

use super::context::{Journey, Refusal};
use super::{admit, answer, returning};
use crate::reason::Reason;
use crate::routing::rewrite;
use crate::snapshot::Target;
use bytes::Bytes;
use http::header;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// Answers as the route says. Returns the refusal of a request that the route cannot answer.
pub async fn from_route(session: &mut Session, journey: &Journey) -> Result<Option<Refusal>> {
    match journey.route().map(|route| &route.target) {
        Some(Target::Fixed(answer)) => {
            let mut head = ResponseHeader::build(answer.status, Some(5))?;
            head.insert_header(header::CONTENT_TYPE, answer.content_type.clone())?;
            send(session, journey, head, answer.body.clone()).await?;
            Ok(None)
        }
        Some(Target::Redirect(redirect)) => {
            let view = admit::view(session.req_header(), journey);
            let asked = rewrite::Asked {
                host: view.host,
                path: view.path,
                query: view.query,
            };
            let Some(location) = redirect.location(asked) else {
                let what = "the request names no host, and its redirect needs one";
                return Ok(Some(Refusal::new(Reason::BadRequest, what)));
            };
            let mut head = ResponseHeader::build(redirect.status, Some(5))?;
            head.insert_header(header::LOCATION, location)?;
            send(session, journey, head, Bytes::new()).await?;
            Ok(None)
        }
        Some(Target::Upstream(_)) | None => {
            pingora::Error::e_explain(pingora::ErrorType::InternalError, "no fixed answer here")
        }
    }
}

/// `OPTIONS *` asks about the server as a whole (RFC 9110, section 9.3.7); one that may go no further
/// ends here too.
pub async fn to_options(session: &mut Session, journey: &Journey) -> Result<()> {
    let head = ResponseHeader::build(204, Some(3))?;
    send(session, journey, head, Bytes::new()).await
}

async fn send(
    session: &mut Session,
    journey: &Journey,
    mut head: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    let bodiless = matches!(head.status.as_u16(), 204 | 304);
    if !bodiless {
        head.set_content_length(body.len())?;
    }
    returning::stamp(&mut head, journey)?;
    answer::write(session, head, body).await
}
