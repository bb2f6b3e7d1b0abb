//! What a route makes of a path: for its upstream, and in a redirect's `Location`.

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

/// The `Location` of a redirect. With `keep_path` the request's path and query follow the
/// configured location, never in a way that could change its host.
pub fn location(configured: &str, keep_path: bool, path: &str, query: &str) -> String {
    if !keep_path {
        return configured.to_owned();
    }
    // A normal path starts with exactly one slash, so it cannot begin another authority.
    let mut location = format!("{}{path}", configured.trim_end_matches('/'));
    if !query.is_empty() {
        location.push('?');
        location.push_str(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::{location, upstream_path};
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
        assert_eq!(location("https://b/", true, "/x", "q=1"), "https://b/x?q=1");
        assert_eq!(location("/fixed", false, "/x", "q"), "/fixed");
    }
}
