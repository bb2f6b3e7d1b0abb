//! Where in its files a configuration says something: bytes become lines and columns.

use super::source::Source;
use std::ops::Range;

/// Lines of a source shown around those that are spoken of.
const CONTEXT: usize = 2;

/// The sources of a configuration with the beginnings of their lines, found once for all questions.
pub struct Places<'a>(Vec<Lines<'a>>);

/// The lines of one source.
pub struct Lines<'a> {
    pub source: &'a Source,
    /// Where each begins, in bytes.
    starts: Vec<usize>,
}

/// Some lines of a source.
pub struct Excerpt<'a> {
    pub text: &'a str,
    /// The number of the first of them, from 1.
    pub line: usize,
    /// The byte of the source it begins with.
    pub from: usize,
}

impl Excerpt<'_> {
    /// A span of the source as one of the excerpt.
    pub fn own(&self, span: &Range<usize>) -> Range<usize> {
        let own = |at: usize| at.saturating_sub(self.from).min(self.text.len());
        own(span.start)..own(span.end)
    }
}

impl<'a> Places<'a> {
    pub fn new(sources: &'a [Source]) -> Self {
        Self(sources.iter().map(Lines::new).collect())
    }

    /// The lines of the source of this name.
    pub fn of(&self, name: &str) -> Option<&Lines<'a>> {
        self.0.iter().find(|lines| *lines.source.name == *name)
    }

    /// 1-based line and column (in characters) of a byte; the first of all where there is no source.
    pub fn position(&self, name: &str, at: usize) -> (usize, usize) {
        self.of(name).map_or((1, 1), |lines| lines.position(at))
    }
}

impl<'a> Lines<'a> {
    fn new(source: &'a Source) -> Self {
        let feeds = memchr::memchr_iter(b'\n', source.text.as_bytes());
        let starts = std::iter::once(0).chain(feeds.map(|feed| feed + 1));
        Self {
            source,
            starts: starts.collect(),
        }
    }

    /// The line that holds a byte, from 0.
    fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).max(1) - 1
    }

    fn start(&self, line: usize) -> usize {
        let end = self.source.text.len();
        self.starts.get(line).copied().unwrap_or(end)
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.source.text.len());
        let line = self.line(at);
        let before = self.source.text.get(self.start(line)..at);
        (line + 1, before.map_or(0, |text| text.chars().count()) + 1)
    }

    /// The lines of a span and a few around them: all that a message shows, however long the file.
    pub fn around(&self, span: &Range<usize>) -> Excerpt<'a> {
        let first = self.line(span.start).saturating_sub(CONTEXT);
        let from = self.start(first);
        let to = self.start(self.line(span.end) + CONTEXT + 1);
        let text: &'a str = &self.source.text;
        Excerpt {
            text: text.get(from..to).unwrap_or_default(),
            line: first + 1,
            from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;
    use crate::config::source::Source;

    #[test]
    fn bytes_become_lines_and_columns() {
        let sources = [Source::new("a", "one\nzwölf = 1\n\nlast")];
        let places = Places::new(&sources);
        let cases = [
            (0, (1, 1)),
            (3, (1, 4)),
            (4, (2, 1)),
            (8, (2, 4)),
            (15, (3, 1)),
            (16, (4, 1)),
            (99, (4, 5)),
        ];
        for (at, expected) in cases {
            assert_eq!(places.position("a", at), expected, "{at}");
        }
        assert_eq!(places.position("other", 7), (1, 1));
    }

    #[test]
    fn an_excerpt_is_whole_lines_around_its_span() {
        let lines: Vec<String> = (1..=20).map(|line| format!("line {line}\n")).collect();
        let text = lines.concat();
        let sources = [Source::new("a", &text)];
        let places = Places::new(&sources);
        let lines = places.of("a").unwrap();
        let at = text.find("line 10").unwrap();
        let excerpt = lines.around(&(at..at + 4));
        assert_eq!(excerpt.line, 8);
        assert_eq!(excerpt.text, "line 8\nline 9\nline 10\nline 11\nline 12\n");
        assert!(text[excerpt.from..].starts_with(excerpt.text));
        assert_eq!(lines.around(&(text.len()..text.len())).line, 19);
        assert_eq!(lines.around(&(0..0)).text, "line 1\nline 2\nline 3\n");
    }
}
