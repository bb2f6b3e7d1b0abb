//! Finds the routes of a path by walking a trie of its segments.
//!
//! Full paths are met in the order of precedence: at each segment a literal is tried before a
//! parameter. Prefixes are met on the way and wait, the longest first, until no full path holds.

use super::conditions::Verdict;
use super::cursor::{Cursor, segment};
use super::literals::Literals;
use super::{RouteId, View};
use crate::config::route::{PathMatch, Segment};
use regex::bytes::Regex;
use smallvec::SmallVec;

/// The routes of one host, by path.
#[derive(Debug)]
pub struct Paths {
    nodes: Vec<Node>,
    /// In precedence order among themselves.
    regexes: Vec<(Regex, RouteId)>,
}

/// A place in the trie.
#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    parameter: Option<u32>,
    /// Routes whose path ends here, in precedence order.
    here: Vec<RouteId>,
    /// Routes whose prefix ends here, in precedence order.
    below: Vec<RouteId>,
}

/// Routes of the prefixes met on a walk, and how long each prefix is. The longest is last, and among
/// equals the one that was met first.
type Met<'p> = SmallVec<[(u16, &'p [RouteId]); 8]>;

/// What a walk has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Route(RouteId),
    Nothing,
}

/// Judges a candidate; told to by the walk in the order of precedence.
pub trait Judge {
    fn judge(&mut self, route: RouteId) -> Verdict;
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            regexes: Vec::new(),
        }
    }
}

impl Paths {
    /// Adds a route; routes of the same shape must be added in precedence order.
    pub fn insert(&mut self, path: &PathMatch, route: RouteId) -> Result<(), regex::Error> {
        match path {
            PathMatch::Exact(segments) | PathMatch::Template(segments) => {
                // The root is one empty segment, however it was written.
                let root = [Segment::Literal(String::new())];
                let segments = if segments.is_empty() {
                    &root
                } else {
                    segments.as_slice()
                };
                if let Some(node) = self.node(segments) {
                    node.here.push(route);
                }
            }
            PathMatch::Prefix(segments) => {
                if let Some(node) = self.node(segments) {
                    node.below.push(route);
                }
            }
            PathMatch::Regex(pattern) => {
                self.regexes
                    .push((super::conditions::anchored(pattern)?, route));
            }
        }
        Ok(())
    }

    /// The node of these segments, made on the way; always there.
    fn node(&mut self, segments: &[Segment]) -> Option<&mut Node> {
        let mut at = 0;
        for segment in segments {
            let next = self.nodes.len() as u32;
            let node = self.nodes.get_mut(at)?;
            let child = match segment {
                Segment::Literal(text) => node.literals.get_or_insert(text, next),
                Segment::Parameter(_) => *node.parameter.get_or_insert(next),
            };
            if child == next {
                self.nodes.push(Node::default());
            }
            at = child as usize;
        }
        self.nodes.get_mut(at)
    }

    /// The best route whose conditions hold.
    pub fn find(&self, view: &View, judge: &mut impl Judge) -> Found {
        let Some(start) = Cursor::of(view.path) else {
            return Found::Nothing;
        };
        let mut met = Met::new();
        if let Found::Route(route) = self.walk(0, start, 0, &mut met, judge) {
            return Found::Route(route);
        }
        for (_, below) in met.iter().rev() {
            if let Found::Route(route) = first(below, judge) {
                return Found::Route(route);
            }
        }
        for (regex, route) in &self.regexes {
            if regex.is_match(view.path.as_bytes()) && judge.judge(*route) == Verdict::Holds {
                return Found::Route(*route);
            }
        }
        Found::Nothing
    }

    /// The depth of the recursion is that of the trie, which the configuration bounds.
    fn walk<'p>(
        &'p self,
        mut at: u32,
        mut cursor: Cursor,
        mut depth: u16,
        met: &mut Met<'p>,
        judge: &mut impl Judge,
    ) -> Found {
        while let Some(node) = self.nodes.get(at as usize) {
            if !node.below.is_empty() {
                meet(met, depth, &node.below);
            }
            let Some(rest) = cursor.rest() else {
                return first(&node.here, judge);
            };
            depth += 1;
            let literal = node.literals.get(&cursor, rest);
            // A parameter stands for at least one character.
            let parameter = node.parameter.filter(|_| !matches!(rest, [] | [b'/', ..]));
            if let (Some((child, length)), Some(_)) = (literal, parameter) {
                let mut cursor = cursor.clone();
                cursor.pass(length);
                if let found @ Found::Route(_) = self.walk(child, cursor, depth, met, judge) {
                    return found;
                }
            }
            let (child, length) = match (literal, parameter) {
                (_, Some(child)) => (child, segment(rest).len()),
                (Some((child, length)), None) => (child, length),
                (None, None) => break,
            };
            cursor.pass(length);
            at = child;
        }
        Found::Nothing
    }
}

fn meet<'p>(met: &mut Met<'p>, depth: u16, below: &'p [RouteId]) {
    let shorter = |(other, _): &(u16, _)| *other < depth;
    match met.last().is_none_or(shorter) {
        true => met.push((depth, below)),
        // A second way, through a parameter, meets shorter ones again.
        false => {
            let place = met.iter().rposition(shorter);
            met.insert(place.map_or(0, |before| before + 1), (depth, below));
        }
    }
}

fn first(candidates: &[RouteId], judge: &mut impl Judge) -> Found {
    for route in candidates {
        if judge.judge(*route) == Verdict::Holds {
            return Found::Route(*route);
        }
    }
    Found::Nothing
}
