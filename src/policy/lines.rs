//! Lists in files, one entry per line.
//!
//! A line ends with LF, CR LF, or CR alone. White space around an entry is ignored, and so are a
//! byte order mark and blank lines. `#` begins a comment, at the beginning of a line or after white
//! space. A line that is not understood, or has a control character within its entry, is passed
//! over and told with its place: the other entries count.

use crate::files;
use std::path::Path;

/// Largest file, in bytes.
const FILE_MAX: usize = 64 << 20;
/// Most lines of one file, blank ones counted: more would hold a reload up for long.
const LINES_MAX: usize = 4_000_000;
/// Most lines of one file that are told by their number; further ones are counted.
const TOLD_MAX: usize = 8;
/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("cannot read {path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}:{line}: expected {expected}, and no other line is one either")]
    NoEntry {
        path: String,
        line: usize,
        expected: &'static str,
    },
    #[error("{path} has more than {LINES_MAX} lines")]
    TooManyLines { path: String },
}

/// Why the content of a file is not such a list.
#[derive(Debug, PartialEq, Eq)]
pub enum NoList {
    /// The first line that is not understood, where none is, and what was expected there.
    NoEntry(usize, &'static str),
    TooManyLines,
}

/// What became of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Taken,
    /// Taken, and probably not meant as it stands there.
    Doubtful(&'static str),
    /// Passed over, for this reason.
    Odd(&'static str),
}

/// What there is to say about the lines of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The number of a line, from 1, and what is wrong with it; at most [`TOLD_MAX`].
    pub told: Vec<(usize, String)>,
    /// Lines beyond those.
    pub more: usize,
    /// Lines that were taken.
    taken: usize,
}

impl Remarks {
    fn note(&mut self, line: usize, what: impl FnOnce() -> String) {
        match self.told.len() < TOLD_MAX {
            true => self.told.push((line, what())),
            false => self.more += 1,
        }
    }
}

/// Gives each entry of a file to `take`. Lines are never quoted in what is returned: they may hold
/// what only the gateway should know.
///
/// # Errors
/// When the file cannot be read, has too many lines, or has lines of which none is an entry: it is
/// another file, or half of one.
pub fn read(path: &Path, take: impl FnMut(&str) -> Line) -> Result<Remarks, Unreadable> {
    let name = || path.display().to_string();
    let bytes = files::read(path, FILE_MAX).map_err(|source| Unreadable::File {
        path: name(),
        source,
    })?;
    each(&bytes, take).map_err(|why| match why {
        NoList::NoEntry(line, expected) => Unreadable::NoEntry {
            path: name(),
            line,
            expected,
        },
        NoList::TooManyLines => Unreadable::TooManyLines { path: name() },
    })
}

/// The same for the content of a file.
///
/// # Errors
/// When it has too many lines, or lines of which none is understood.
pub fn each(bytes: &[u8], mut take: impl FnMut(&str) -> Line) -> Result<Remarks, NoList> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let (mut remarks, mut first_odd) = (Remarks::default(), None);
    for (index, line) in split(bytes).enumerate() {
        if index == LINES_MAX {
            return Err(NoList::TooManyLines);
        }
        let number = index + 1;
        let result = match std::str::from_utf8(line).map(entry) {
            Ok("") => continue,
            Ok(entry) if has_control(entry) => Line::Odd("an entry without control characters"),
            Ok(entry) => take(entry),
            Err(_) => Line::Odd("text in UTF-8"),
        };
        match result {
            Line::Taken => remarks.taken += 1,
            Line::Doubtful(what) => {
                remarks.taken += 1;
                remarks.note(number, || what.to_owned());
            }
            Line::Odd(expected) => {
                first_odd = first_odd.or(Some((number, expected)));
                remarks.note(number, || format!("passed over: expected {expected}"));
            }
        }
    }
    match first_odd.filter(|_| remarks.taken == 0) {
        Some((line, expected)) => Err(NoList::NoEntry(line, expected)),
        None => Ok(remarks),
    }
}

/// Lines without their ends. What follows the last end is no line if it is empty.
fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let at = rest.iter().position(is_end).unwrap_or(rest.len());
        let (line, after) = rest.split_at(at);
        let after_end = after.strip_prefix(b"\r\n").or(after.get(1..));
        rest = after_end.unwrap_or_default();
        Some(line)
    })
}

/// Whether an entry has a control character within. A tab beside a colon is white space.
fn has_control(entry: &str) -> bool {
    let is_within = |part: &str| part.trim().contains(char::is_control);
    entry.contains(char::is_control) && entry.split(':').any(is_within)
}

/// A line without its comment and the white space around it.
fn entry(line: &str) -> &str {
    let mut hashes = line.match_indices('#').map(|(at, _)| at);
    let comment = hashes.find(|at| {
        let before = line
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        before.is_none_or(char::is_whitespace)
    });
    let entry = comment.and_then(|at| line.get(..at)).unwrap_or(line);
    entry.trim()
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, Line, NoList, TOLD_MAX, each, read};

    fn entries(bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let taken = each(bytes, |entry| {
            found.push(entry.to_owned());
            Line::Taken
        });
        assert!(taken.unwrap().told.is_empty());
        found
    }

    #[test]
    fn comments_blank_lines_a_byte_order_mark_and_line_ends_are_no_entries() {
        let text = b"\xef\xbb\xbf# all\r\n\r\n a \r\n\tb # why\nc#d\n  #e\n\x20\n\x0c\nf\t#";
        assert_eq!(entries(text), ["a", "b", "c#d", "f"]);
        assert_eq!(entries(b"\xef\xbb\xbfa"), ["a"]);
        assert!(entries(b"").is_empty() && entries(b"\xef\xbb\xbf").is_empty());
    }

    #[test]
    fn an_odd_line_is_told_by_its_number_and_the_others_count() {
        let take = |entry: &str| match entry {
            "odd" => Line::Odd("something"),
            "doubtful" => Line::Doubtful("hm"),
            _ => Line::Taken,
        };
        let told = each(b"a\nodd\n\xff\xfe\ndoubtful\n", take).unwrap().told;
        let lines: Vec<usize> = told.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4]);
        assert_eq!(told[0].1, "passed over: expected something");
        let none = each(b"#\nodd\nodd\n", take);
        assert_eq!(none, Err(NoList::NoEntry(2, "something")));
        let many = [b"a\n".as_slice(), &b"odd\n".repeat(TOLD_MAX + 3)].concat();
        let remarks = each(&many, take).unwrap();
        assert_eq!((remarks.told.len(), remarks.more), (TOLD_MAX, 3));
    }

    #[test]
    fn a_carriage_return_alone_ends_a_line() {
        assert_eq!(entries(b"a\rb\r"), ["a", "b"]);
        assert_eq!(entries(b"a\r\r\nb\n\rc # d\re"), ["a", "b", "c", "e"]);
        let odd = |entry: &str| match entry {
            "odd" => Line::Odd("something"),
            _ => Line::Taken,
        };
        for (text, line) in [("a\rodd\rb", 2), ("a\r\nodd\r\n", 2), ("a\n\rodd", 3)] {
            let told = each(text.as_bytes(), odd).unwrap().told;
            assert_eq!(told[0].0, line, "{text:?}");
        }
    }

    #[test]
    fn a_control_character_within_an_entry_makes_it_odd() {
        for text in [
            "a\0",
            "a\0b",
            "\u{1}a",
            "jti:a\tb",
            "jti:a\u{85}b",
            "jti:\u{7f}a",
            "jti:a\u{8}",
        ] {
            let mut taken = Vec::new();
            let remarks = each(format!("{text}\ngood").as_bytes(), |entry| {
                taken.push(entry.to_owned());
                Line::Taken
            });
            assert_eq!(remarks.unwrap().told[0].0, 1, "{text:?}");
            assert_eq!(taken, ["good"], "{text:?}");
        }
        assert_eq!(entries(b"\tjti:\ta\t\nb:\tc"), ["jti:\ta", "b:\tc"]);
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let odd = |_: &str| Line::Odd("something");
        let most = b"x\n".repeat(LINES_MAX);
        assert_eq!(each(&most, |_| Line::Taken).unwrap().taken, LINES_MAX);
        for more in [&b"x"[..], b"\n", b"\r"] {
            let more = [most.as_slice(), more].concat();
            assert_eq!(each(&more, odd), Err(NoList::TooManyLines));
        }
    }

    #[test]
    fn a_file_that_is_larger_than_allowed_is_not_taken_in_part() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(super::FILE_MAX as u64 + 1).unwrap();
        let error = read(file.path(), |_| Line::Taken).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
