//! What is not TOML, and what can be said about it.

use super::diagnostic::{Diagnostic, Label, Spot};
use super::secrecy;
use super::source::Source;

/// What the reader found, without what it made of values that do not parse: nothing of that is true.
pub fn without_torn(found: Vec<Diagnostic>, torn: &[Diagnostic]) -> Vec<Diagnostic> {
    let mut torn: Vec<_> = torn.iter().filter_map(|torn| torn.labels.first()).collect();
    torn.sort_by_key(|torn| (&torn.file, torn.span.end));
    let kept = found.into_iter().filter(|found| {
        let Some(place) = found.labels.first() else {
            return true;
        };
        let before = |end: &Label| (&end.file, end.span.end) <= (&place.file, place.span.start);
        let next = torn.get(torn.partition_point(|torn| before(torn)));
        !next.is_some_and(|torn| torn.file == place.file && torn.span.start < place.span.end)
    });
    kept.collect()
}

/// Longest line that is looked at for a text without its quotes.
const LINE_MAX: usize = 4096;

/// The line around a place, and where it begins.
fn line(text: &str, place: usize) -> Option<(usize, &str)> {
    let bytes = text.as_bytes();
    let from = place.saturating_sub(LINE_MAX);
    let before = memchr::memrchr(b'\n', bytes.get(from..place)?);
    let start = match before {
        Some(at) => from + at + 1,
        None if from == 0 => 0,
        None => return None,
    };
    let rest = bytes.get(start..bytes.len().min(start + LINE_MAX))?;
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    Some((start, text.get(start..start + end)?))
}

/// Lines that are looked at to tell another format.
const LINES: usize = 20;

/// Says once that a file which does not parse is in another format.
pub fn other_format(source: &Source) -> Option<Diagnostic> {
    let told = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines: Vec<&str> = source.text.lines().filter(told).take(LINES).collect();
    let first = *lines.first()?;
    let format = match first.trim_start() {
        json if json.starts_with('{') => "JSON",
        _ if is_yaml(&lines) => "YAML",
        _ => return None,
    };
    let start = source.text.find(first)?;
    let spot = Spot {
        file: source.name.clone(),
        span: start..start + first.len(),
    };
    let message = format!("this looks like {format}; a configuration is TOML");
    let help = "sections are in brackets, and a value follows `=`:\n\n\
                [listeners.web]\nbind = \":8080\"\n\n\
                `tyrian config schema` has the whole format";
    let diagnostic = Diagnostic::error("TY0001", message).at(&spot, "this is not TOML");
    Some(diagnostic.help(help))
}

/// Whether lines begin with `key:` or `- `, and none with what TOML has.
fn is_yaml(lines: &[&str]) -> bool {
    let key = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
        let (name, rest) = line.split_at(end.unwrap_or(line.len()));
        let ends = rest == ":" || rest.starts_with(": ");
        !name.is_empty() && ends
    };
    let item = |line: &str| line.trim_start().starts_with("- ");
    let toml = |line: &str| line.starts_with('[') || line.contains(" = ");
    let whole = |line: &&str| **line == *"---" || key(line) || item(line);
    !lines.iter().any(|line| toml(line)) && lines.iter().all(whole)
}

/// A text without its quotes is what most often is not TOML.
pub fn not_toml(text: &str, spot: &Spot, message: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error("TY0001", message).at(spot, "this is not TOML");
    let Some((start, line)) = line(text, spot.span.start) else {
        return diagnostic;
    };
    let Some((key, value)) = line.split_once('=') else {
        return diagnostic;
    };
    let at = start + key.len() + 1 + (value.len() - value.trim_start().len());
    let inside = spot.span.start >= start + key.len();
    let value = value.split('#').next().unwrap_or(value);
    let bare = value.trim();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/%*".contains(&byte);
    if bare.is_empty() || !bare.bytes().all(word) || !inside {
        return diagnostic;
    }
    let quoted = Spot {
        file: spot.file.clone(),
        span: at..at + bare.len(),
    };
    if secrecy::looks_secret(key, bare) {
        let message = "a text has no quotes, and is not TOML without";
        return Diagnostic::error("TY0001", message)
            .at(&quoted, "texts are in quotes")
            .help("a secret does not belong in the file: { file = \"…\" }, { env = \"…\" }");
    }
    Diagnostic::error(
        "TY0001",
        format!("`{bare}` has no quotes, and is not TOML without"),
    )
    .at(&quoted, message)
    .help("texts are in quotes")
    .patch(&quoted, format!("{bare:?}"))
}
