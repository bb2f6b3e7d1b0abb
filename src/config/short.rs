//! Short values of variables in messages: a search for them everywhere would hit words by chance.
//!
//! A short value is replaced where a message quotes the configuration: between quotes, and in words
//! with a slash, which are paths and URLs. There it must stand apart from other letters and digits;
//! texts that have it in the middle of a word are known from the configuration as a whole.

use super::diagnostic::Diagnostic;
use super::reader::Value;
use super::scrub::{NUMBER_MIN, VALUE_MIN};
use std::ops::Range;

/// Takes short values out of a message: it says what is written instead.
pub fn scrub(diagnostic: &mut Diagnostic, expanded: &[(String, String)], values: &[Value]) {
    let short: Vec<&(String, String)> = expanded
        .iter()
        .filter(|(_, value)| is_short(value))
        .collect();
    if short.is_empty() {
        return;
    }
    let made = values.iter().filter(|value| {
        let mut short = short.iter();
        value.written.is_some() && short.any(|(name, _)| value.env.contains(name))
    });
    for value in made {
        let inside = |text: &str| text.trim_matches('"').to_owned();
        replace(diagnostic, &inside(&value.text), &inside(value.shown()));
    }
    for (name, value) in short {
        replace(diagnostic, value, &format!("${{{name}}}"));
    }
}

/// Whether a value may be a part of words and numbers that have nothing to do with it.
fn is_short(value: &str) -> bool {
    let number = value.bytes().all(|byte| byte.is_ascii_digit());
    value.len() < if number { NUMBER_MIN } else { VALUE_MIN }
}

fn replace(diagnostic: &mut Diagnostic, value: &str, written: &str) {
    // A value of signs alone, such as a slash, would be found in every path.
    if !value.contains(char::is_alphanumeric) {
        return;
    }
    let clean = |text: &mut String| {
        if let Some(cleaned) = without(text, value, written) {
            *text = cleaned;
        }
    };
    clean(&mut diagnostic.message);
    let labels = diagnostic.labels.iter_mut();
    labels.for_each(|label| clean(&mut label.text));
    diagnostic.help.iter_mut().for_each(clean);
    if let Some(patch) = &mut diagnostic.patch {
        clean(&mut patch.replacement);
    }
}

/// A text with what is written for a value; `None` where there is nothing to replace.
fn without(text: &str, value: &str, written: &str) -> Option<String> {
    let (lower, wanted) = (text.to_ascii_lowercase(), value.to_ascii_lowercase());
    let mut quoted = None;
    let mut cleaned = String::new();
    let mut from = 0;
    for (at, _) in lower.match_indices(&wanted) {
        let end = at + wanted.len();
        let quoted = quoted.get_or_insert_with(|| quotes(text));
        let quotes = quoted
            .iter()
            .any(|span| span.start <= at && end <= span.end);
        if quotes && is_apart(text, &(at..end)) {
            cleaned.push_str(text.get(from..at).unwrap_or_default());
            cleaned.push_str(written);
            from = end;
        }
    }
    cleaned.push_str(text.get(from..).unwrap_or_default());
    (from > 0).then_some(cleaned)
}

/// Whether neither a letter nor a digit goes on before or behind a span.
fn is_apart(text: &str, span: &Range<usize>) -> bool {
    let before = text.get(..span.start).and_then(|text| text.chars().last());
    let behind = text.get(span.end..).and_then(|text| text.chars().next());
    // `${A}` is a variable that has been named already.
    let named = text
        .get(..span.start)
        .is_some_and(|text| text.ends_with("${"));
    let goes_on = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
    !named && !goes_on(before) && !goes_on(behind)
}

/// Where a text quotes something. A quote that is never closed reaches to the end.
fn quotes(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let (mut open, mut before, mut word) = (None, ' ', 0);
    for (at, character) in text.char_indices() {
        let is_quote = matches!(character, '`' | '"' | '\'');
        match open {
            Some((quote, from)) if character == quote => {
                spans.push(from..at);
                open = None;
            }
            // Within a word it is an apostrophe.
            None if is_quote && !before.is_alphanumeric() => open = Some((character, at + 1)),
            _ => {}
        }
        if character.is_whitespace() {
            spans.extend(path(text, word..at));
            word = at + character.len_utf8();
        }
        before = character;
    }
    spans.extend(path(text, word..text.len()));
    spans.extend(open.map(|(_, from)| from..text.len()));
    spans
}

/// A word that is a path or a URL.
fn path(text: &str, word: Range<usize>) -> Option<Range<usize>> {
    let is_path = text.get(word.clone())?.contains('/');
    is_path.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::{is_short, without};

    #[test]
    fn short_values_are_taken_out_of_what_is_quoted() {
        for (text, expected) in [
            (
                "`(zq9` is not a regular expression",
                "`(${S}` is not a regular expression",
            ),
            ("expected /n, found /zq9/y", "expected /n, found /${S}/y"),
            (
                "explain 'GET http://ZQ9/dead'",
                "explain 'GET http://${S}/dead'",
            ),
            ("the gateway's -H 'a: zq9'", "the gateway's -H 'a: ${S}'"),
            ("`a-zq9.zq9`", "`a-${S}.${S}`"),
            ("never closed: `zq9", "never closed: `${S}"),
            ("é `é zq9 é`", "é `é ${S} é`"),
        ] {
            assert_eq!(without(text, "zq9", "${S}").as_deref(), Some(expected));
        }
        for text in [
            "zq9 is a word",
            "`azq9`",
            "`zq90`",
            "`${zq9}`",
            "`ézq9`",
            "",
            "`",
        ] {
            assert_eq!(without(text, "zq9", "${S}"), None, "{text}");
        }
    }

    #[test]
    fn values_are_short_by_length_and_kind() {
        for short in ["a", "zq9", "7391", "1234567"] {
            assert!(is_short(short), "{short}");
        }
        for long in ["zq9x", "12345678"] {
            assert!(!is_short(long), "{long}");
        }
    }
}
