//! Tokens and subjects that are no longer believed, from a file that is watched.

use super::provider::Verified;
use crate::policy::lines::{self, Line, Remarks, Unreadable};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// One `jti:ID`, `sub:ID` or `sub:ID before TIME` (RFC 3339) per line; `#` begins a comment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    tokens: HashSet<Box<str>>,
    /// Tokens issued before this moment (seconds since 1970) are not believed.
    subjects: HashMap<Box<str>, u64>,
}

/// What a line may be.
const LINE: &str = "`jti:ID`, `sub:ID` or `sub:ID before TIME`";
/// What is said of white space that no id has.
const SPACE: &str = "the white space after the colon is not taken for a part of the id";

impl Revoked {
    /// Reads a file. A line that is not understood is passed over, and told in the remarks.
    ///
    /// # Errors
    /// When it cannot be read, or is not such a list at all.
    pub fn from_file(path: &Path) -> Result<(Self, Remarks), Unreadable> {
        let mut revoked = Self::default();
        let remarks = lines::read(path, |line| revoked.add(line))?;
        Ok((revoked, remarks))
    }

    fn add(&mut self, line: &str) -> Line {
        let Some((kind, given)) = line.split_once(':') else {
            return Line::Odd(LINE);
        };
        let rest = given.trim();
        // No id has one, and no token would match it.
        if rest.contains(char::is_control) {
            return Line::Odd(LINE);
        }
        let understood = match kind.trim() {
            "jti" if !rest.is_empty() => {
                self.tokens.insert(rest.into());
                true
            }
            "sub" if !rest.is_empty() => self.add_subject(rest),
            _ => false,
        };
        match understood {
            false => Line::Odd(LINE),
            true if given.len() != rest.len() => Line::Doubtful(SPACE),
            true => Line::Taken,
        }
    }

    fn add_subject(&mut self, rest: &str) -> bool {
        let (subject, before) = match rest.rsplit_once(" before ") {
            Some((subject, time)) => {
                let Ok(time) = time.trim().parse::<jiff::Timestamp>() else {
                    return false;
                };
                (subject.trim(), u64::try_from(time.as_second()).unwrap_or(0))
            }
            None => (rest, u64::MAX),
        };
        // The widest of several lines counts, in whatever order they stand.
        let known = self.subjects.entry(subject.into()).or_insert(before);
        *known = before.max(*known);
        true
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }

    /// Whether a token is no longer believed.
    pub fn lists(&self, token: &Verified) -> bool {
        let text = |name| token.claims.get(name).and_then(serde_json::Value::as_str);
        if text("jti").is_some_and(|id| self.tokens.contains(id)) {
            return true;
        }
        let before = text("sub").and_then(|subject| self.subjects.get(subject));
        let issued = token.claims.get("iat").and_then(serde_json::Value::as_u64);
        before.is_some_and(|before| issued.unwrap_or(0) < *before)
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.subjects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE, Line, Revoked, SPACE, Verified, lines};

    fn parse(text: &str) -> Revoked {
        let mut revoked = Revoked::default();
        let remarks = lines::each(text.as_bytes(), |line| revoked.add(line));
        assert!(remarks.unwrap().told.is_empty(), "{text}");
        revoked
    }

    fn token(claims: &str) -> Verified {
        Verified {
            claims: serde_json::from_str(claims).unwrap(),
            forward: Vec::new(),
            logged: Vec::new(),
            expires: 0,
        }
    }

    #[test]
    fn lines_revoke_tokens_and_subjects() {
        let text = "# why\njti:a:b\n\nsub:bob\nsub:eve before 2026-01-01T00:00:00Z\n";
        let revoked = parse(text);
        for (claims, expected) in [
            (r#"{"jti":"a:b"}"#, true),
            (r#"{"jti":"other"}"#, false),
            (r#"{"sub":"bob","iat":4000000000}"#, true),
            (r#"{"sub":"eve","iat":1}"#, true),
            (r#"{"sub":"eve"}"#, true),
            (r#"{"sub":"eve","iat":1800000000}"#, false),
            (r#"{"sub":"alice"}"#, false),
        ] {
            assert_eq!(revoked.lists(&token(claims)), expected, "{claims}");
        }
    }

    #[test]
    fn a_second_line_about_a_subject_lets_nobody_back_in() {
        let (all, some) = ("sub:bob", "sub:bob before 2020-01-01T00:00:00Z");
        for text in [format!("{all}\n{some}"), format!("{some}\n{all}")] {
            let revoked = parse(&text);
            assert!(
                revoked.lists(&token(r#"{"sub":"bob","iat":4000000000}"#)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_line_that_says_nothing_is_passed_over() {
        let mut revoked = Revoked::default();
        for text in [
            "bob",
            "jti:",
            "jti: ",
            "iss:x",
            "JTI:x",
            "jti:a\t:b",
            "sub:eve\tbefore 2026-01-01T00:00:00Z",
            "sub:eve before noon",
        ] {
            assert_eq!(revoked.add(text), Line::Odd(LINE), "{text}");
        }
        assert!(revoked.is_empty());
    }

    #[test]
    fn white_space_after_the_colon_is_no_part_of_an_id() {
        let mut revoked = Revoked::default();
        for text in ["jti: x", "sub:  eve before 2026-01-01T00:00:00Z"] {
            assert_eq!(revoked.add(text), Line::Doubtful(SPACE), "{text}");
        }
        for claims in [r#"{"jti":"x"}"#, r#"{"sub":"eve","iat":1}"#] {
            assert!(revoked.lists(&token(claims)), "{claims}");
        }
    }
}
