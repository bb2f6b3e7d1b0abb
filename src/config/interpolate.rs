//! Fills variables of the environment into texts, as the shell and Compose do.
//!
//! | written | means |
//! | --- | --- |
//! | `${NAME}` | the value; an error where it is not set |
//! | `${NAME:-default}` | the default where it is not set or empty |
//! | `${NAME-default}` | the default where it is not set |
//! | `${NAME:?why}`, `${NAME?why}` | an error that says why, in the same cases |
//! | `${NAME:+text}`, `${NAME+text}` | the text in the opposite cases, else nothing |
//! | `$$` | a dollar sign |
//!
//! Any other `$` stands for itself. Defaults and texts may hold variables themselves.

use super::diagnostic::{Diagnostic, Spot};
use super::reader::{Cx, Node};

/// How deep variables may stand within each other.
const DEPTH_MAX: usize = 8;
/// Longest text with its variables filled in, in bytes.
const TEXT_MAX: usize = 1 << 20;

/// A piece of a text.
#[derive(Debug, PartialEq)]
enum Piece<'t> {
    Text(&'t str),
    Variable {
        name: &'t str,
        /// Whether an empty value counts as none.
        or_empty: bool,
        otherwise: Otherwise<'t>,
    },
}

/// What stands for a variable that has no value.
#[derive(Debug, PartialEq)]
enum Otherwise<'t> {
    /// Nothing does: it is an error.
    Error(&'t str),
    Default(Vec<Piece<'t>>),
    /// Not that: what stands for one that has a value.
    Instead(Vec<Piece<'t>>),
}

/// What is wrong with a text, and at which of its bytes.
#[derive(Debug, PartialEq)]
struct Wrong {
    at: usize,
    what: &'static str,
}

/// A text with its variables filled in.
#[derive(Debug, Default)]
pub struct Filled {
    pub text: String,
    /// Every variable that was asked for.
    pub asked: Vec<String>,
    /// Those whose values are part of the text.
    pub held: Vec<String>,
}

/// Fills in the variables of a value. Works on parsed text, so a value can neither break the file
/// nor add to it. `None`: what is wrong has been reported.
pub fn interpolate(raw: &str, node: &Node, cx: &Cx) -> Option<Filled> {
    let pieces = Parser::new(raw)
        .pieces(0)
        .inspect_err(|wrong| malformed(wrong, raw, node, cx))
        .ok()?;
    let mut filled = Filled::default();
    fill(&pieces, &mut filled, node, cx)?;
    Some(filled)
}

fn malformed(wrong: &Wrong, raw: &str, node: &Node, cx: &Cx) {
    let mut spot = node.spot();
    // Without escapes, what was parsed is what is written between the quotes.
    if spot.span.len() == raw.len() + 2 {
        let start = spot.span.start + 1 + wrong.at;
        spot = Spot {
            span: start..spot.span.end.saturating_sub(1).max(start),
            ..spot
        };
    }
    let message = format!("`{}` has a malformed variable", node.key());
    let diagnostic = Diagnostic::error("TY0203", message).at(&spot, wrong.what);
    cx.report(diagnostic.help("`${NAME}`, `${NAME:-default}`; `$$` is a dollar sign"));
}

fn fill(pieces: &[Piece], filled: &mut Filled, node: &Node, cx: &Cx) -> Option<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.text.push_str(text),
            Piece::Variable {
                name,
                or_empty,
                otherwise,
            } => {
                let asked = Asked {
                    name,
                    or_empty: *or_empty,
                };
                asked.fill(otherwise, filled, node, cx)?;
            }
        }
        if filled.text.len() > TEXT_MAX {
            let message = format!("`{}` is larger than 1 MiB with its variables", node.key());
            node.invalid(cx, message, "too much text");
            return None;
        }
    }
    Some(())
}

/// A variable that a text asks for.
struct Asked<'t> {
    name: &'t str,
    or_empty: bool,
}

impl Asked<'_> {
    fn fill(&self, otherwise: &Otherwise, filled: &mut Filled, node: &Node, cx: &Cx) -> Option<()> {
        let value = cx.variable(self.name, node)?;
        filled.asked.push(self.name.to_owned());
        let value = value.filter(|value| !(self.or_empty && value.is_empty()));
        match (otherwise, value) {
            (Otherwise::Instead(pieces), Some(_)) => fill(pieces, filled, node, cx),
            (Otherwise::Instead(_), None) => Some(()),
            (_, Some(value)) => {
                filled.held.push(self.name.to_owned());
                filled.text.push_str(&value);
                Some(())
            }
            (Otherwise::Default(pieces), None) => fill(pieces, filled, node, cx),
            (Otherwise::Error(why), None) => {
                self.missing(why, node, cx);
                None
            }
        }
    }

    fn missing(&self, why: &str, node: &Node, cx: &Cx) {
        let name = self.name;
        let state = match self.or_empty {
            true => "not set, or empty",
            false => "not set",
        };
        let mut message = format!("environment variable `{name}` is {state}");
        if !why.is_empty() {
            message = format!("{message}: {why}");
        }
        let diagnostic = Diagnostic::error("TY0501", message).at(&node.spot(), "needed here");
        cx.report(match why {
            "" => diagnostic.help(format!("give a default: ${{{name}:-value}}")),
            _ => diagnostic,
        });
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes on behind a word, if it is next.
    fn take(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// All pieces up to the end; below the top, up to the brace that closes the variable around
    /// them.
    fn pieces(&mut self, depth: usize) -> Result<Vec<Piece<'t>>, Wrong> {
        let mut pieces = Vec::new();
        loop {
            let rest = self.rest();
            let end = rest.find(|c| c == '$' || (depth > 0 && c == '}'));
            let end = end.unwrap_or(rest.len());
            if end > 0 {
                pieces.push(Piece::Text(rest.get(..end).unwrap_or_default()));
                self.at += end;
            }
            if self.rest().is_empty() || self.rest().starts_with('}') {
                return Ok(pieces);
            }
            pieces.push(self.dollar(depth)?);
        }
    }

    /// What begins with a dollar sign.
    fn dollar(&mut self, depth: usize) -> Result<Piece<'t>, Wrong> {
        let opened = self.at;
        if self.take("$$") {
            return Ok(Piece::Text("$"));
        }
        if !self.take("${") {
            self.at += 1;
            return Ok(Piece::Text("$"));
        }
        let wrong = |what| Wrong { at: opened, what };
        if depth >= DEPTH_MAX {
            return Err(wrong("variables stand too deep within each other"));
        }
        let name = self.name();
        let or_empty = self.take(":");
        let operator = self.rest().chars().next();
        self.at += match operator {
            Some('-' | '?' | '+') => 1,
            _ => 0,
        };
        let from = self.at;
        let otherwise = match operator {
            Some('-') => Otherwise::Default(self.pieces(depth + 1)?),
            Some('+') => Otherwise::Instead(self.pieces(depth + 1)?),
            Some('?') => {
                self.pieces(depth + 1)?;
                Otherwise::Error(self.text.get(from..self.at).unwrap_or_default())
            }
            _ if or_empty => return Err(wrong("expected `:-`, `:?` or `:+` behind the name")),
            _ => Otherwise::Error(""),
        };
        if name.is_empty() {
            return Err(wrong("expected a name of letters, digits and `_`"));
        }
        match self.take("}") {
            true => Ok(Piece::Variable {
                name,
                or_empty,
                otherwise,
            }),
            false if self.rest().is_empty() => Err(wrong("this brace is never closed")),
            false => Err(wrong("expected a name of letters, digits and `_`")),
        }
    }

    fn name(&mut self) -> &'t str {
        let rest = self.rest();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        self.at += end;
        match name.starts_with(|c: char| c.is_ascii_digit()) {
            true => "",
            false => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_text;

    fn environment(name: &str) -> Option<String> {
        let known = [("A", "a"), ("B", "b"), ("EMPTY", ""), ("DOLLARS", "$$${A}")];
        let found = known.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    /// The text that an answer has, or the messages.
    fn filled(text: &str) -> Result<String, String> {
        let file = format!(
            "[routes.r]\nmatch = {{ path = \"/\" }}\nrespond = {{ text = '''{text}''' }}\n"
        );
        let loaded = load_text("a.toml", &file, &environment);
        let value = loaded
            .values
            .iter()
            .find(|value| value.key.ends_with("text"));
        match value {
            Some(value) => Ok(value.text.trim_matches('"').to_owned()),
            None => Err(loaded.render_human(false)),
        }
    }

    #[test]
    fn variables_are_filled_in_as_the_shell_does() {
        for (text, expected) in [
            ("", ""),
            ("no variable", "no variable"),
            ("<${A}${B}>", "<ab>"),
            ("${EMPTY}", ""),
            ("${A:-x}", "a"),
            ("${A-x}", "a"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${UNSET:-x}", "x"),
            ("${UNSET-x}", "x"),
            ("${UNSET:-}", ""),
            ("${UNSET:-a-b:c?d}", "a-b:c?d"),
            ("${A:?why}${A?why}${EMPTY?why}", "aa"),
            ("${A:+x}${EMPTY:+x}${UNSET:+x}", "x"),
            ("${A+x}${EMPTY+y}${UNSET+z}", "xy"),
            ("${UNSET:-${B}}", "b"),
            ("${UNSET:-<${EMPTY:-${A}}>}", "<a>"),
            // A default that is not needed is not looked at.
            ("${A:-${UNSET}}", "a"),
            ("${UNSET:-$$}", "$"),
            // Values are not read again.
            ("${DOLLARS}", "$$${A}"),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$$$$", "$$"),
            ("^/a$", "^/a$"),
            ("$A $ {A}", "$A $ {A}"),
            ("}{", "}{"),
            ("${UNSET:-{x}}", "{x}"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_an_error() {
        for (text, expected) in [
            ("${A", "never closed"),
            ("${A:-x", "never closed"),
            ("${UNSET:-${B}", "never closed"),
            ("${", "expected a name"),
            ("${}", "expected a name"),
            ("${1A}", "expected a name"),
            ("${A B}", "expected a name"),
            ("${A.b}", "expected a name"),
            ("${A:}", "expected `:-`"),
            ("${A:=x}", "expected `:-`"),
            ("${UNSET}", "`UNSET` is not set"),
            ("${EMPTY:?it is needed}", "not set, or empty: it is needed"),
            ("${UNSET?}", "`UNSET` is not set"),
            ("${UNSET:-${OTHER}}", "`OTHER` is not set"),
        ] {
            let message = filled(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let deep = "${U:-".repeat(9) + &"}".repeat(9);
        assert!(filled(&deep).unwrap_err().contains("too deep"));
        let fine = "${U:-".repeat(8) + "x" + &"}".repeat(8);
        assert_eq!(filled(&fine).as_deref(), Ok("x"));
    }

    #[test]
    fn an_unclosed_brace_is_shown_where_it_opens() {
        let text = "[routes.r]\nmatch = { path = \"/\" }\nrespond = { text = \"abc${A:-x\" }\n";
        let loaded = load_text("a.toml", text, &environment);
        let label = &loaded.diagnostics[0].labels[0];
        assert_eq!(&text[label.span.clone()], "${A:-x");
    }

    #[test]
    fn a_text_with_its_variables_is_bounded() {
        let large = |_: &str| Some("x".repeat(100_000));
        let text = format!("[server]\nid = \"{}\"\n", "${A}".repeat(100));
        let text = text.replace("[server]\nid", "[routes.r]\nrespond.text");
        let loaded = load_text("a.toml", &text, &large);
        let report = loaded.render_human(false);
        assert!(report.contains("larger than 1 MiB"), "{report}");
    }
}
