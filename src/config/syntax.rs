//! What is not TOML, and what can be said about it.

use super::diagnostic::{Diagnostic, Label, Spot};

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
    Diagnostic::error(
        "TY0001",
        format!("`{bare}` has no quotes, and is not TOML without"),
    )
    .at(&quoted, message)
    .help("texts are in quotes")
    .patch(&quoted, format!("{bare:?}"))
}
