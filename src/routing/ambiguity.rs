//! Paths that another parser may read differently, and the routes that they would meet then.
//!
//! Servers and frameworks disagree about `%2F`, `%5C`, `\`, `;parameters` and text that is encoded
//! twice (RFC 3986, sections 2.2 and 3.3, leaves them room). Where such a reading meets another
//! route with other policies, the policies of the route that was matched say nothing about what
//! the upstream will serve, so the request is refused.

use super::path::{ROUNDS, decode_once, is_kept, push_encoded, resolve};
use super::table::{Action, Table};
use super::{RouteId, View};

/// Whether a path in normal form has any byte that a second parser might read differently. Most
/// paths have none.
pub(super) fn is_possible(path: &str) -> bool {
    memchr::memchr2(b'%', b';', path.as_bytes()).is_some()
}

/// The other paths that a parser behind us may see in a path in normal form, each in normal form,
/// without repetitions. Empty for most paths.
///
/// The path is decoded up to three times. Parameters are kept, or dropped once at any time, or
/// from any time on; `\` is a character, or a separator. A parser that drops them before it
/// decodes sees another path than one that does so after.
pub fn readings(path: &str) -> Vec<String> {
    let mut found = Readings {
        path,
        found: Vec::new(),
    };
    if !has_structure(path) {
        return found.found;
    }
    for separates in [false, true] {
        let mut whole = Some(path.as_bytes().to_vec());
        for round in 0..=ROUNDS {
            let Some(bytes) = whole else { break };
            found.add(&bytes, round, separates);
            let bare = without_parameters(&bytes, separates);
            if bare != bytes {
                found.follow(bare.clone(), round, separates, false);
                found.follow(bare, round, separates, true);
            }
            whole = decoded(&bytes);
        }
    }
    found.found
}

/// The readings of a path that have been found.
struct Readings<'p> {
    path: &'p str,
    found: Vec<String>,
}

impl Readings<'_> {
    /// Adds what bytes mean after so many rounds of decoding.
    fn add(&mut self, bytes: &[u8], round: usize, separates: bool) {
        if let Some(read) = normal_form(bytes, round > 0, separates)
            && read != self.path
            && !self.found.contains(&read)
        {
            self.found.push(read);
        }
    }

    /// Adds what bytes without parameters mean, and what they come to when they are decoded on.
    fn follow(&mut self, bytes: Vec<u8>, from: usize, separates: bool, drops_again: bool) {
        let mut next = Some(bytes);
        for round in from..=ROUNDS {
            let Some(bytes) = next else { break };
            self.add(&bytes, round, separates);
            next = decoded(&bytes).map(|bytes| match drops_again {
                true => without_parameters(&bytes, separates),
                false => bytes,
            });
        }
    }
}

/// Bytes decoded once more; `None`: nothing is left to decode.
fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode_once(bytes);
    (decoded != bytes).then_some(decoded)
}

/// Bytes without the parameters of their segments.
fn without_parameters(bytes: &[u8], backslash_separates: bool) -> Vec<u8> {
    let mut in_parameters = false;
    let kept = bytes.iter().copied().filter(|byte| {
        match byte {
            b'/' => in_parameters = false,
            b'\\' if backslash_separates => in_parameters = false,
            b';' => in_parameters = true,
            _ => {}
        }
        !in_parameters
    });
    kept.collect()
}

/// Whether a path has a `;`, or a triplet that stands for a separator, a `;` or another `%`.
fn has_structure(path: &str) -> bool {
    let triplets = ["%2F", "%5C", "%3B", "%25"];
    path.contains(';') || triplets.iter().any(|triplet| path.contains(triplet))
}

/// The normal form of what a parser sees. Of `decoded` bytes, `%` is a character like any other.
/// `None`: the path climbs above the root.
fn normal_form(bytes: &[u8], decoded: bool, backslash_separates: bool) -> Option<String> {
    let mut out = String::with_capacity(bytes.len() + 8);
    for byte in bytes {
        match byte {
            b'\\' if backslash_separates => out.push('/'),
            b'%' if !decoded => out.push('%'),
            byte if is_kept(*byte) => out.push(*byte as char),
            byte => push_encoded(&mut out, *byte),
        }
    }
    resolve(&out).ok()
}

impl Table {
    /// The cheap look that spares most requests the search.
    fn other_reading_is_possible(&self, view: &View) -> bool {
        self.policies_differ && is_possible(view.path)
    }

    /// Whether a request on `route` has to be refused for its path.
    pub(super) fn refuses_path(&self, route: RouteId, view: &View) -> bool {
        self.other_reading_is_possible(view)
            && self
                .rule(route)
                .is_some_and(|rule| !rule.allows_ambiguous_paths)
            && self.other_reading(route, view).is_some()
    }

    /// The first other reading of a request's path that meets a route with other policies than
    /// `route`: the path that was read, and the route that it meets. `None`, too, where the route
    /// answers by itself, so that no second parser sees the path.
    pub fn other_reading(&self, route: RouteId, view: &View) -> Option<(String, RouteId)> {
        let rule = self.rule(route)?;
        let upstream_sees_it = matches!(rule.action, Action::Service(_));
        if !upstream_sees_it || !self.other_reading_is_possible(view) {
            return None;
        }
        readings(view.path).into_iter().find_map(|path| {
            let read = View {
                path: &path,
                ..*view
            };
            let other = self.find(&read).ok()?;
            let policies = self.rule(other)?.policies;
            (other != route && policies != rule.policies).then_some((path, other))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::normalise_path;
    use super::{is_possible, readings};
    use proptest::prelude::*;

    #[test]
    fn each_reading_of_a_path_is_found() {
        for (path, expected) in [
            ("/admin%2Fx", &["/admin/x"][..]),
            ("/admin%5Cx", &["/admin/x"]),
            ("/%5Cadmin/x", &["/admin/x"]),
            ("/admin;x", &["/admin"]),
            ("/admin;/x", &["/admin/x"]),
            ("/admin%3Bx", &["/admin;x", "/admin"]),
            ("/admin%252Fx", &["/admin/x"]),
            ("/admin%25252Fx", &["/admin/x"]),
            ("/%2561dmin/x", &["/admin/x"]),
            ("/admin%255Cx", &["/admin/x"]),
            ("/;a=b/admin/x", &["/admin/x"]),
            ("/a;b%2Fc", &["/a", "/a;b/c", "/a/c"]),
            ("/admin%2F%2500", &["/admin/%2500", "/admin/%00"]),
            ("/exact%2Fx;y%2Fz", &["/exact/x"]),
            ("/exact%5Cx;y%2Fz", &["/exact/x"]),
            ("/exact%252Fx;y%252Fz", &["/exact/x"]),
            ("/exact%2F%2578;b%2Fc", &["/exact/x"]),
            ("/exact;a%2Fb%2Fx", &["/exact", "/exact;a/b/x"]),
            ("/exact%2F;a/x;b%2F", &["/exact/x"]),
            ("/a%3Bx;y", &["/a;x", "/a"]),
        ] {
            let found = readings(path);
            for reading in expected {
                assert!(
                    found.iter().any(|found| found == reading),
                    "{path} may be read as {reading}, found {found:?}"
                );
            }
        }
    }

    #[test]
    fn what_means_the_same_to_every_parser_has_no_other_reading() {
        for path in [
            "/",
            "/a/b",
            "/a%20b",
            "/caf%C3%A9",
            "/a%3Fb",
            "/100%25",
            "/a:b@c",
        ] {
            assert_eq!(readings(path), Vec::<String>::new(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn readings_are_normal_forms_of_odd_paths_alone(
            raw in prop::collection::vec(prop_oneof![
                Just(b'/'), Just(b'%'), Just(b'2'), Just(b'5'), Just(b'c'), Just(b'f'), Just(b';'),
                Just(b'a'), any::<u8>(),
            ], 0..24),
        ) {
            let raw = [b"/", &raw[..]].concat();
            if let Ok(path) = normalise_path(&raw) {
                let found = readings(&path);
                prop_assert!(found.is_empty() || is_possible(&path));
                for reading in &found {
                    prop_assert!(*reading != path);
                    prop_assert!(reading.starts_with('/') && !reading.contains("//"));
                }
            }
        }
    }
}
