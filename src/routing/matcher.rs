//! Finds the routes of a path by walking a trie of its segments.
//!
//! Full paths are met in the order of precedence: at each segment a literal is tried before a
//! parameter. Prefixes wait until no full path holds; the longest come first. They stand on the way from
//! where a walk ended back to the root, so that a walk has nothing to note on its way.

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
    /// How many segments lead here, and from where the last of them does; `None`: this is the root.
    depth: u16,
    parent: Option<u32>,
}

/// Where a walk found no way on: one place, and one more for each time that both a literal and a
/// parameter led on.
type Ends = SmallVec<[u32; 4]>;

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
                let depth = node.depth + 1;
                self.nodes.push(Node {
                    depth,
                    parent: Some(at as u32),
                    ..Node::default()
                });
            }
            at = child as usize;
        }
        self.nodes.get_mut(at)
    }

    /// The best route whose conditions hold.
    pub fn find(&self, view: &View, judge: &mut impl Judge) -> Option<RouteId> {
        let mut others = Ends::new();
        let end = match self.walk(0, Cursor::of(view.path)?, &mut others, judge) {
            Ok(route) => return Some(route),
            Err(end) => end,
        };
        let found = match others.is_empty() {
            true => self.prefix(end, judge),
            false => self.prefix_of_several(others, end, judge),
        };
        found.or_else(|| {
            let path = view.path.as_bytes();
            let mut regexes = self.regexes.iter();
            let (_, route) = regexes.find(|(regex, route)| {
                regex.is_match(path) && judge.judge(*route) == Verdict::Holds
            })?;
            Some(*route)
        })
    }

    /// The best route whose whole path is that of the request; otherwise where the last way ended. Where
    /// the others did is in `ends` then, in the order in which they were taken.
    ///
    /// The depth of the recursion is that of the trie, which the configuration bounds.
    fn walk(
        &self,
        mut at: u32,
        mut cursor: Cursor,
        ends: &mut Ends,
        judge: &mut impl Judge,
    ) -> Result<RouteId, u32> {
        while let Some(node) = self.nodes.get(at as usize) {
            let Some(rest) = cursor.rest() else {
                return first(&node.here, judge).ok_or(at);
            };
            let literal = node.literals.get(&cursor, rest);
            // A parameter stands for at least one character.
            let parameter = node.parameter.filter(|_| !matches!(rest, [] | [b'/', ..]));
            if let (Some((child, length)), Some(_)) = (literal, parameter) {
                let mut cursor = cursor.clone();
                cursor.pass(length);
                match self.walk(child, cursor, ends, judge) {
                    Err(end) => ends.push(end),
                    found => return found,
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
        Err(at)
    }

    /// The best route of the prefixes on the way back from here.
    fn prefix(&self, end: u32, judge: &mut impl Judge) -> Option<RouteId> {
        let mut at = Some(end);
        while let Some(node) = at.and_then(|at| self.nodes.get(at as usize)) {
            if let found @ Some(_) = first(&node.below, judge) {
                return found;
            }
            at = node.parent;
        }
        None
    }

    /// The same where several ways ended. Among equally long prefixes that comes first whose way was
    /// taken first.
    fn prefix_of_several(
        &self,
        mut ends: Ends,
        last: u32,
        judge: &mut impl Judge,
    ) -> Option<RouteId> {
        ends.push(last);
        let depth = |end: &u32| self.nodes.get(*end as usize).map_or(0, |node| node.depth);
        let deepest = ends.iter().map(depth).max()?;
        for depth in (0..=deepest).rev() {
            for end in &mut ends {
                let node = self.nodes.get(*end as usize);
                let Some(node) = node.filter(|node| node.depth == depth) else {
                    continue;
                };
                if let found @ Some(_) = first(&node.below, judge) {
                    return found;
                }
                *end = node.parent.unwrap_or(*end);
            }
            // Where ways have met they go on as one.
            ends.dedup();
        }
        None
    }
}

#[inline]
fn first(candidates: &[RouteId], judge: &mut impl Judge) -> Option<RouteId> {
    for route in candidates {
        if judge.judge(*route) == Verdict::Holds {
            return Some(*route);
        }
    }
    None
}
