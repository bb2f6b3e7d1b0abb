//! What comparisons have found on one route, bounded: counts, pairs of statuses, some examples.

use super::answer::Answer;
use crate::config::mirror::Compare;
use crate::telemetry::watch::{Cell, Reading};
use http::HeaderName;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;

/// Pairs of statuses that are told apart.
const PAIRS_MAX: usize = 32;
/// Latest differences that are kept as examples.
const EXAMPLES_MAX: usize = 16;
/// Longest path of an example, in bytes.
const PATH_MAX: usize = 256;

/// What has been compared on a route since its mirror was configured so.
#[derive(Debug)]
pub struct Tally {
    since: Timestamp,
    headers: Box<[HeaderName]>,
    /// Latency of the originals that were compared, of their copies, and of second askings.
    pub original: Cell,
    pub copy: Cell,
    pub noise: Cell,
    found: Mutex<Found>,
}

#[derive(Debug)]
struct Found {
    unfinished: u64,
    copy: Counts,
    noise: Counts,
    pairs: Vec<StatusPair>,
    examples: VecDeque<Example>,
}

/// Whose answers differ from the originals'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Copy,
    /// The original's version, asked again.
    Noise,
}

/// How many answers differ, and in what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub compared: u64,
    /// In anything.
    pub any: u64,
    pub status: u64,
    /// `None`: no two answers of gRPC were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<u64>,
    /// In each of the compared fields.
    pub headers: Vec<u64>,
    pub body: u64,
}

/// Statuses of originals and copies that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusPair {
    pub original: u16,
    pub copy: u16,
    pub count: u64,
}

/// A request whose copy was answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub at: String,
    pub method: String,
    /// Without query.
    pub path: String,
    pub differs: Vec<String>,
}

/// The request that was compared, for examples.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
}

/// What a tally has come to.
#[derive(Debug)]
pub struct Report {
    pub since: Timestamp,
    pub headers: Vec<String>,
    /// Copies without an original to compare them with: refused, broken off, or tried again.
    pub unfinished: u64,
    pub copy: Counts,
    pub noise: Counts,
    pub pairs: Vec<StatusPair>,
    pub examples: Vec<Example>,
    pub original_latency: Reading,
    pub copy_latency: Reading,
    pub noise_latency: Reading,
}

impl Counts {
    fn none(headers: usize) -> Self {
        Self {
            compared: 0,
            any: 0,
            status: 0,
            grpc: None,
            headers: vec![0; headers],
            body: 0,
        }
    }

    fn add(&mut self, differences: &Differences) {
        self.compared += 1;
        self.any += u64::from(differences.any());
        self.status += u64::from(differences.status);
        self.body += u64::from(differences.body);
        if let Some(differs) = differences.grpc {
            *self.grpc.get_or_insert(0) += u64::from(differs);
        }
        for (count, differs) in self.headers.iter_mut().zip(&differences.headers) {
            *count += u64::from(*differs);
        }
    }
}

/// What differs between two answers.
struct Differences {
    status: bool,
    grpc: Option<bool>,
    headers: Vec<bool>,
    body: bool,
}

impl Differences {
    fn of(original: &Answer, other: &Answer) -> Self {
        let headers = original.headers.iter().zip(&other.headers);
        Self {
            status: original.status != other.status,
            grpc: original
                .grpc
                .zip(other.grpc)
                .map(|(one, other)| one != other),
            headers: headers.map(|(one, other)| one != other).collect(),
            body: original
                .body
                .zip(other.body)
                .is_some_and(|(one, other)| one != other),
        }
    }

    fn any(&self) -> bool {
        self.status || self.grpc == Some(true) || self.body || self.headers.contains(&true)
    }
}

impl Tally {
    pub fn new(compare: &Compare) -> Self {
        let headers = compare.headers.len();
        Self {
            since: Timestamp::now(),
            headers: compare.headers.clone().into(),
            original: Cell::default(),
            copy: Cell::default(),
            noise: Cell::default(),
            found: Mutex::new(Found {
                unfinished: 0,
                copy: Counts::none(headers),
                noise: Counts::none(headers),
                pairs: Vec::new(),
                examples: VecDeque::new(),
            }),
        }
    }

    /// A copy whose original has no answer of its own.
    pub fn unfinished(&self) {
        self.found.lock().unfinished += 1;
    }

    /// Compares an answer with the original's.
    pub fn compare(&self, side: Side, asked: Asked, original: &Answer, other: &Answer) {
        let differences = Differences::of(original, other);
        let failed = |answer: &Answer| answer.status >= 500;
        let cell = match side {
            Side::Copy => {
                self.original.observe(failed(original), Some(original.took));
                &self.copy
            }
            Side::Noise => &self.noise,
        };
        cell.observe(failed(other), Some(other.took));
        let mut found = self.found.lock();
        match side {
            Side::Noise => found.noise.add(&differences),
            Side::Copy => {
                found.copy.add(&differences);
                if differences.status {
                    found.pair(original.status, other.status);
                }
                if differences.any() {
                    let example = self.example(asked, original, other, &differences);
                    found.examples.truncate(EXAMPLES_MAX - 1);
                    found.examples.push_front(example);
                }
            }
        }
    }

    fn example(
        &self,
        asked: Asked,
        original: &Answer,
        other: &Answer,
        found: &Differences,
    ) -> Example {
        let mut differs = Vec::new();
        if found.status {
            differs.push(format!("status {} → {}", original.status, other.status));
        }
        if let (Some(true), Some(one), Some(other)) = (found.grpc, original.grpc, other.grpc) {
            differs.push(format!("grpc-status {one} → {other}"));
        }
        let headers = self.headers.iter().zip(&found.headers);
        differs.extend(
            headers
                .filter(|(_, differs)| **differs)
                .map(|(name, _)| format!("header {name}")),
        );
        if found.body {
            differs.push("body".to_owned());
        }
        let path = asked.target.split('?').next().unwrap_or_default();
        Example {
            at: Timestamp::now().to_string(),
            method: asked.method.to_owned(),
            path: path.chars().take(PATH_MAX).collect(),
            differs,
        }
    }

    pub fn report(&self) -> Report {
        let found = self.found.lock();
        Report {
            since: self.since,
            headers: self.headers.iter().map(ToString::to_string).collect(),
            unfinished: found.unfinished,
            copy: found.copy.clone(),
            noise: found.noise.clone(),
            pairs: found.pairs.clone(),
            examples: found.examples.iter().cloned().collect(),
            original_latency: self.original.read(),
            copy_latency: self.copy.read(),
            noise_latency: self.noise.read(),
        }
    }

    /// Counts alone, for scrapes.
    pub fn counts(&self) -> (Counts, Counts) {
        let found = self.found.lock();
        (found.copy.clone(), found.noise.clone())
    }
}

impl Found {
    fn pair(&mut self, original: u16, copy: u16) {
        let known = |pair: &&mut StatusPair| (pair.original, pair.copy) == (original, copy);
        if let Some(pair) = self.pairs.iter_mut().find(known) {
            pair.count += 1;
        } else if self.pairs.len() < PAIRS_MAX {
            self.pairs.push(StatusPair {
                original,
                copy,
                count: 1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Asked, EXAMPLES_MAX, PAIRS_MAX, Side, Tally};
    use crate::config::mirror::Compare;
    use crate::config::units::Percent;
    use http::header::CONTENT_TYPE;
    use std::time::Duration;

    fn answer(status: u16, kind: u64, body: Option<u64>) -> Answer {
        Answer {
            status,
            grpc: None,
            headers: [kind].into_iter().collect(),
            body,
            took: Duration::from_millis(3),
        }
    }

    #[test]
    fn differences_are_counted_by_kind_and_bounded() {
        let tally = Tally::new(&Compare {
            headers: vec![CONTENT_TYPE],
            body: true,
            noise: Percent(0),
        });
        let asked = Asked {
            method: "GET",
            target: "/a?token=secret",
        };
        let original = answer(200, 1, Some(1));
        tally.compare(Side::Copy, asked, &original, &original);
        tally.compare(Side::Copy, asked, &original, &answer(200, 2, Some(1)));
        tally.compare(Side::Noise, asked, &original, &answer(200, 1, Some(2)));
        // A stream on one side is no difference.
        tally.compare(Side::Copy, asked, &original, &answer(200, 1, None));
        assert_eq!(tally.report().copy.grpc, None);
        let grpc = |status| Answer {
            grpc: Some(status),
            ..answer(200, 1, None)
        };
        tally.compare(Side::Noise, asked, &grpc(0), &grpc(0));
        tally.compare(Side::Noise, asked, &grpc(0), &grpc(13));
        for status in 400..500 {
            tally.compare(Side::Copy, asked, &original, &answer(status, 1, Some(1)));
        }
        tally.unfinished();
        let report = tally.report();
        assert_eq!((report.copy.compared, report.copy.any), (103, 101));
        assert_eq!((report.copy.status, report.copy.body), (100, 0));
        assert_eq!(report.copy.headers, [1]);
        assert_eq!((report.noise.compared, report.noise.body), (3, 1));
        assert_eq!((report.noise.grpc, report.noise.any), (Some(1), 2));
        assert_eq!(report.unfinished, 1);
        assert_eq!(report.pairs.len(), PAIRS_MAX);
        assert_eq!(report.examples.len(), EXAMPLES_MAX);
        assert_eq!(report.examples[0].path, "/a");
        assert_eq!(report.examples[0].differs, ["status 200 → 499"]);
        assert_eq!(report.original_latency.requests, 103);
    }
}
