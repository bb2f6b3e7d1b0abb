//! Where a redirect leads: a text with places for parts of the request.

use super::diagnostic::Diagnostic;
use super::foreign;
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use std::fmt;

/// The names of the places.
const NAMES: &str = "`{host}`, `{path}`, `{query}`";

/// What may stand in a `Location`.
#[derive(Debug, Clone, PartialEq)]
pub struct Location(pub Vec<Piece>);

/// A piece of a location.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Text(String),
    /// The host that was asked for, without a port.
    Host,
    /// The path that was asked for, in normal form.
    Path,
    /// The query, without its question mark.
    Query,
}

/// As the file says it.
impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => out.write_str(text),
            Piece::Host => out.write_str("{host}"),
            Piece::Path => out.write_str("{path}"),
            Piece::Query => out.write_str("{query}"),
        })
    }
}

impl Read for Location {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        parse(&text)
            .inspect_err(|wrong| {
                let quoted = node.quoted(&text);
                let message = format!("`{quoted}` is not a URL or an absolute path");
                let diagnostic = Diagnostic::error("TY0203", message).at(&node.spot(), wrong.what);
                cx.report(diagnostic.help(wrong.help.as_str()));
            })
            .ok()
    }

    fn shape() -> Shape {
        Shape::Text("URL or absolute path", "")
    }
}

/// Why a text is no location, and what helps.
struct Wrong {
    what: &'static str,
    help: String,
}

fn wrong(what: &'static str, help: impl Into<String>) -> Wrong {
    Wrong {
        what,
        help: help.into(),
    }
}

fn parse(text: &str) -> Result<Location, Wrong> {
    let clean = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let absolute = text.starts_with(['/']) || text.starts_with("{path}") || text.contains("://");
    if !clean || !absolute {
        let help = "such as \"https://shop.example/\", \"/new\" or \"https://{host}{path}\"";
        return Err(wrong("expected a URL or an absolute path", help));
    }
    if let Some((theirs, ours)) = foreign::nginx_variable(text) {
        let help = format!("write `{ours}` for `{theirs}`");
        return Err(wrong("this would be sent as it is", help));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (before, hole) = rest.split_at(open);
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let end = hole.find('}').filter(|_| hole.starts_with('{'));
        let name = end.and_then(|end| hole.get(1..end));
        pieces.push(match name {
            Some("host") => Piece::Host,
            Some("path") => Piece::Path,
            Some("query") => Piece::Query,
            _ => {
                let help = format!("places are {NAMES}; braces as such are `%7B` and `%7D`");
                return Err(wrong("no place of a request", help));
            }
        });
        rest = end.and_then(|end| hole.get(end + 1..)).unwrap_or_default();
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    safe(&pieces)?;
    Ok(Location(pieces))
}

/// Clients must not be able to choose the host by a path or a query.
fn safe(pieces: &[Piece]) -> Result<(), Wrong> {
    let (mut asked, mut before) = (false, "");
    for piece in pieces {
        match piece {
            Piece::Query if !asked => {
                let help = "write `?{query}`; without a query the `?` is left out";
                return Err(wrong("`{query}` does not follow a `?`", help));
            }
            Piece::Path if before.ends_with("//") => {
                let help = "name the host: \"https://{host}{path}\"";
                return Err(wrong("`{path}` stands where the host belongs", help));
            }
            Piece::Text(text) => asked |= text.contains('?'),
            _ => {}
        }
        before = match piece {
            Piece::Text(text) => text,
            _ => "",
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn places_are_known_and_safe() {
        for text in [
            "/new",
            "https://b.example/",
            "https://{host}{path}?{query}",
            "https://{host}/fixed",
            "//{host}{path}",
            "{path}?a=1&{query}",
            "/old{path}",
        ] {
            let parsed = parse(text).map(|location| location.to_string());
            assert_eq!(parsed.ok().as_deref(), Some(text));
        }
        for text in [
            "",
            "new",
            "{host}/x",
            "/a b",
            "/{id}",
            "/{",
            "/}",
            "/{}",
            "https://b{query}",
            "https://{path}",
            "https://$host$request_uri",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
