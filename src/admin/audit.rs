//! One line in the log for every call that changes something, and for every one that was not let in:
//! who, what, and what came of it. The latest ones are kept in memory for `GET /v1/audit`.

use super::Admin;
use super::auth::{Role, writes};
use crate::rollout::Moment;
use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Calls with a valid token that are kept.
const DONE_KEPT: usize = 256;
/// Calls without a valid token that are kept. They have a ring of their own, so that strangers
/// cannot push out what others have done.
const REFUSED_KEPT: usize = 64;
/// Characters of a path or deed that are kept.
const TEXT_MAX: usize = 200;

/// What a call has done, in words; handlers leave it with their answer.
#[derive(Debug, Clone)]
pub struct Deed(pub String);

/// One call.
#[derive(Debug, Clone, Serialize)]
struct Entry {
    time: Moment,
    client: Option<IpAddr>,
    /// `None`: the call had no valid token.
    role: Option<&'static str>,
    method: String,
    /// Without the query.
    path: String,
    status: u16,
    deed: Option<String>,
}

/// The latest calls, the newest last.
#[derive(Debug, Default)]
pub struct Trail {
    done: Mutex<VecDeque<Entry>>,
    refused: Mutex<VecDeque<Entry>>,
}

impl Trail {
    fn keep(&self, entry: Entry) {
        let (ring, most) = match entry.role {
            Some(_) => (&self.done, DONE_KEPT),
            None => (&self.refused, REFUSED_KEPT),
        };
        let mut ring = ring.lock();
        if ring.len() >= most {
            ring.pop_front();
        }
        ring.push_back(entry);
    }

    /// Returns all that is kept, the newest first.
    fn latest(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.done.lock().iter().cloned().collect();
        all.extend(self.refused.lock().iter().cloned());
        all.sort_by_key(|entry| std::cmp::Reverse(entry.time));
        all
    }
}

/// `GET /v1/audit`
pub async fn list(State(admin): State<Admin>) -> Json<Value> {
    Json(
        json!({ "entries": admin.trail.latest(), "kept": DONE_KEPT, "refused_kept": REFUSED_KEPT }),
    )
}

/// Writes the line once the call has ended, refused or not.
pub async fn write(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let writes = writes(&request);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let client = client.map(|ConnectInfo(address)| address.ip());
    let answer = next.run(request).await;
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status());
    if !writes && !refused {
        return answer;
    }
    let role = answer.extensions().get::<Role>().map(|role| role.name());
    let deed = answer.extensions().get::<Deed>();
    let deed = deed.map(|Deed(words)| words.as_str());
    let status = answer.status().as_u16();
    let from = client.map_or("-".to_owned(), |client| client.to_string());
    tracing::info!(
        %method,
        path,
        client = from,
        role = role.unwrap_or("-"),
        status,
        deed = deed.unwrap_or("-"),
        "audit"
    );
    admin.trail.keep(Entry {
        time: Moment::now(),
        client,
        role,
        method: short(method.as_str()),
        path: short(&path),
        status,
        deed: deed.map(short),
    });
    answer
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::{DONE_KEPT, Entry, Moment, REFUSED_KEPT, TEXT_MAX, Trail, short};

    fn entry(second: u64, role: Option<&'static str>) -> Entry {
        Entry {
            time: Moment(second * 1000),
            client: None,
            role,
            method: "PUT".to_owned(),
            path: "/v1/log".to_owned(),
            status: 200,
            deed: None,
        }
    }

    #[test]
    fn strangers_do_not_push_out_what_others_have_done() {
        let trail = Trail::default();
        trail.keep(entry(0, Some("write")));
        for second in 1..=1000 {
            trail.keep(entry(second, None));
        }
        let all = trail.latest();
        assert_eq!(all.len(), REFUSED_KEPT + 1);
        assert_eq!(all[0].time.seconds(), 1000, "the newest is first");
        assert_eq!(all.last().unwrap().role, Some("write"));
        for second in 1..=1000 {
            trail.keep(entry(second, Some("write")));
        }
        assert_eq!(trail.latest().len(), REFUSED_KEPT + DONE_KEPT);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(short("/v1/log"), "/v1/log");
        let cut = short(&"ü".repeat(5000));
        assert_eq!(cut.chars().count(), TEXT_MAX + 1);
        assert!(cut.ends_with('…'));
    }
}
