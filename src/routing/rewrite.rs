//! What a route makes of a path: for its upstream, and in a redirect's `Location`.

use crate::config::location::{Location, Piece};
use crate::config::route::{PathMatch, Rewrite, Segment};
use std::borrow::Cow;

/// The path the upstream sees; always starts with a slash.
pub fn upstream_path<'a>(rewrite: &Rewrite, matched: &PathMatch, path: &'a str) -> Cow<'a, str> {
    if let Some(rest) = rewrite
        .strip_prefix
        .as_deref()
        .and_then(|prefix| strip(path, prefix))
    {
        return if rest.is_empty() {
            Cow::Borrowed("/")
        } else {
            Cow::Borrowed(rest)
        };
    }
    if let Some(new) = &rewrite.replace_prefix {
        let prefix = literal_prefix(matched);
        let rest = strip(path, &prefix).unwrap_or(path);
        let new = new.trim_end_matches('/');
        let joined = format!("{new}{rest}");
        return Cow::Owned(if joined.is_empty() {
            "/".to_owned()
        } else {
            joined
        });
    }
    Cow::Borrowed(path)
}

/// `path` without a whole-segment prefix; the rest is empty or starts with a slash.
fn strip<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The literal segments that a route's path begins with.
fn literal_prefix(path: &PathMatch) -> String {
    let segments = match path {
        PathMatch::Exact(segments)
        | PathMatch::Template(segments)
        | PathMatch::Prefix(segments) => segments.as_slice(),
        PathMatch::Regex(_) => &[],
    };
    let literals = segments.iter().map_while(|segment| match segment {
        Segment::Literal(text) => Some(text.as_str()),
        Segment::Parameter(_) => None,
    });
    literals.fold(String::new(), |prefix, segment| prefix + "/" + segment)
}

/// What a location is made of: the host without a port, the normal path, the query.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub query: &'a str,
}

/// The `Location` of a redirect. With `keep_path` the request's path and query follow the
/// configured location, never in a way that could change its host. `None`: it needs a host, and the
/// request has none, as those of HTTP/1.0 may.
pub fn location(configured: &Location, keep_path: bool, asked: Asked<'_>) -> Option<String> {
    let mut location = String::new();
    for piece in &configured.0 {
        match piece {
            Piece::Text(text) => location.push_str(text),
            Piece::Host if asked.host.is_empty() => return None,
            Piece::Host => location.push_str(asked.host),
            Piece::Path => push_path(&mut location, asked.path),
            Piece::Query => location.push_str(asked.query),
        }
    }
    if configured.0.contains(&Piece::Query) && location.ends_with(['?', '&']) {
        location.pop();
    }
    if keep_path {
        push_path(&mut location, asked.path);
        if !asked.query.is_empty() {
            location.push('?');
            location.push_str(asked.query);
        }
    }
    Some(location)
}

/// A normal path starts with exactly one slash, so it cannot begin another authority.
fn push_path(location: &mut String, path: &str) {
    let end = location.trim_end_matches('/').len();
    location.truncate(end);
    location.push_str(path);
}

#[cfg(test)]
mod tests {
    use super::{Asked, Location, Piece, location, upstream_path};
    use crate::config::route::Route;
    use crate::routing::testing::route;

    fn upstream(route: &Route, path: &str) -> String {
        upstream_path(&route.rewrite, &route.matches.path, path).into_owned()
    }

    #[test]
    fn a_prefix_is_stripped_by_whole_segments() {
        let mut route = route("/cart/*");
        route.rewrite.strip_prefix = Some("/cart".to_owned());
        for (path, expected) in [
            ("/cart/7", "/7"),
            ("/cart", "/"),
            ("/cart/", "/"),
            ("/carts", "/carts"),
        ] {
            assert_eq!(upstream(&route, path), expected);
        }
    }

    #[test]
    fn a_prefix_is_replaced_by_another() {
        let mut route = route("/old/*");
        route.rewrite.replace_prefix = Some("/new/".to_owned());
        for (path, expected) in [("/old/7", "/new/7"), ("/old", "/new"), ("/old/", "/new/")] {
            assert_eq!(upstream(&route, path), expected);
        }
        route.rewrite.replace_prefix = Some("/".to_owned());
        assert_eq!(upstream(&route, "/old/7"), "/7");
        assert_eq!(upstream(&route, "/old"), "/");
    }

    #[test]
    fn a_redirect_keeps_to_its_host() {
        let text = |text: &str| Location(vec![Piece::Text(text.to_owned())]);
        let asked = Asked {
            host: "a.example",
            path: "/x",
            query: "q=1",
        };
        let to = |configured: &Location, keep| location(configured, keep, asked).unwrap();
        assert_eq!(to(&text("https://b/"), true), "https://b/x?q=1");
        assert_eq!(to(&text("/fixed"), false), "/fixed");
    }

    #[test]
    fn places_are_filled_in() {
        let whole = Location(vec![
            Piece::Text("https://".to_owned()),
            Piece::Host,
            Piece::Text("/".to_owned()),
            Piece::Path,
            Piece::Text("?".to_owned()),
            Piece::Query,
        ]);
        let to = |host, path, query| location(&whole, false, Asked { host, path, query });
        let filled = to("a.example", "/x/y", "q=1");
        assert_eq!(filled.as_deref(), Some("https://a.example/x/y?q=1"));
        let without = to("a.example", "/", "");
        assert_eq!(without.as_deref(), Some("https://a.example/"));
        assert_eq!(to("", "/", ""), None);
    }
}
