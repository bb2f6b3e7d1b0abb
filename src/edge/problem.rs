//! The words of a rejection: the problem document (RFC 9457) and `Proxy-Status` (RFC 9209).

use crate::edge::rejection::Rejection;
use http::{HeaderValue, StatusCode};
use std::fmt::Write;

/// Media type of a problem document.
pub const PROBLEM: &str = "application/problem+json";

/// Returns the problem document of a rejection (RFC 9457), with members for reason and ids.
pub fn problem(rejection: &Rejection, id: Option<&HeaderValue>, trace: Option<&str>) -> String {
    let status = StatusCode::from_u16(rejection.status).ok();
    let title = status
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let mut body = String::with_capacity(256);
    let _ = write!(
        body,
        r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{}","reason":"{}""#,
        rejection.status,
        rejection.detail,
        rejection.reason.name(),
    );
    // Ids are visible ASCII, but a trusted peer's may hold a quote or a backslash.
    let mut member = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(body, r#","{name}":"{value}""#);
    };
    if let Some(id) = id.and_then(|id| id.to_str().ok()) {
        member("request_id", id);
    }
    if let Some(trace) = trace {
        member("trace_id", trace);
    }
    body.push_str("}\n");
    body
}

/// Returns the value of `Proxy-Status` (RFC 9209): who refused, and what kind of failure it was.
pub fn proxy_status(rejection: &Rejection) -> &'static str {
    let known_as = rejection.more.as_deref().and_then(|more| more.error);
    known_as.unwrap_or_else(|| rejection.reason.proxy_status())
}

#[cfg(test)]
mod tests {
    use super::problem;
    use crate::edge::rejection::Rejection;
    use crate::reason::Reason;
    use http::HeaderValue;

    #[test]
    fn every_reason_makes_a_well_formed_document() {
        for reason in Reason::ALL {
            let rejection = Rejection::new(reason, "because");
            let id = HeaderValue::from_static("a\"b\\c");
            let text = problem(
                &rejection,
                Some(&id),
                Some("0af7651916cd43dd8448eb211c80319c"),
            );
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(document["reason"], reason.name());
            assert_eq!(document["status"], reason.status());
            assert_eq!(document["request_id"], "a\"b\\c");
        }
    }
}
