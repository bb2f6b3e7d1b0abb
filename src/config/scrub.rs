//! Takes the values of variables out of messages. A message names the variable instead.

use super::diagnostic::{Diagnostic, Spot};
use super::reader::Value;
use super::root;
use super::shape::{Shape, TableShape};
use super::short;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Shorter values are replaced only where they stand alone between quotes.
pub(super) const VALUE_MIN: usize = 4;
/// The same for numbers, such as ports.
pub(super) const NUMBER_MIN: usize = 8;
/// Shorter values are replaced as whole words and in their own case: parts of words are like them
/// by chance, and a replacement would tell which variable has which common word.
const PART_MIN: usize = 12;

/// The keys, sections and fixed values of the format. They are public, and messages consist of
/// them, so they are never taken for the value of a variable.
static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let mut words = HashSet::new();
    of_table(&root::whole::shape(), &mut words);
    words
});

fn of_table(table: &TableShape, words: &mut HashSet<&'static str>) {
    for key in &table.keys {
        words.insert(key.name);
        of_shape(&key.shape, words);
    }
}

fn of_shape(shape: &Shape, words: &mut HashSet<&'static str>) {
    match shape {
        Shape::Words(some) => words.extend(some),
        Shape::List(one, _) | Shape::Map(_, one) => of_shape(one, words),
        Shape::Table(table) => of_table(table, words),
        Shape::Any(shapes) => shapes.iter().for_each(|shape| of_shape(shape, words)),
        Shape::Bool | Shape::Integer(..) | Shape::Text(..) | Shape::Anything => {}
    }
}

/// Where a text counts as the value of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Alone between quotes.
    Quoted,
    /// As a whole word.
    Word,
    /// Everywhere, in any case.
    Anywhere,
}

impl Place {
    fn of(value: &str) -> Self {
        let number = value.len() < NUMBER_MIN && value.bytes().all(|byte| byte.is_ascii_digit());
        if number || value.len() < VALUE_MIN {
            Self::Quoted
        } else if value.len() < PART_MIN {
            Self::Word
        } else {
            Self::Anywhere
        }
    }
}

/// A form in which a message may show a value, and what it shows instead.
#[derive(Debug)]
struct Form<'v> {
    text: Cow<'v, str>,
    named: Cow<'v, str>,
    place: Place,
}

impl Form<'_> {
    /// Returns the places of this form in a text; `folded` is the text in lower case.
    fn found(&self, text: &str, folded: &str) -> Vec<Range<usize>> {
        let ranges = |(at, part): (usize, &str)| at..at + part.len();
        if self.place == Place::Anywhere {
            let wanted = self.text.to_ascii_lowercase();
            return folded.match_indices(&wanted).map(ranges).collect();
        }
        let all = text.match_indices(&*self.text).map(ranges);
        all.filter(|span| self.stands(text, span)).collect()
    }

    /// Whether the text around a span lets it count as the value.
    fn stands(&self, text: &str, span: &Range<usize>) -> bool {
        let before = text.get(..span.start).and_then(|text| text.chars().last());
        let after = text.get(span.end..).and_then(|text| text.chars().next());
        match self.place {
            Place::Anywhere => true,
            Place::Quoted => before == after && matches!(before, Some('`' | '"')),
            Place::Word => {
                let joins = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
                let parted = !joins(before) && !joins(after);
                parted && !(self.is_plain() && is_prose(before) && is_prose(after))
            }
        }
    }

    /// Whether the value is like a word of a sentence.
    fn is_plain(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_lowercase())
    }
}

/// Whether a neighbour is one of a word in a sentence. Messages quote what they show of a
/// configuration, or show it as part of an address or a path.
fn is_prose(neighbour: Option<char>) -> bool {
    neighbour.is_none_or(|next| next.is_whitespace() || matches!(next, ',' | ';' | ':' | '.'))
}

/// Takes the values of variables out of a diagnostic. `values` are those that were set.
pub fn scrub(diagnostic: &mut Diagnostic, expanded: &[(String, String)], values: &[Value]) {
    if expanded.is_empty() {
        return;
    }
    let made = |spot: &Spot| {
        let mut values = values.iter().filter(|value| value.written.is_some());
        values.any(|value| value.file == spot.file && value.span == spot.span)
    };
    // What would replace a variable is made of its value, and would be wrong where it has another.
    let place = diagnostic.patch.as_ref().map(|patch| Spot {
        file: patch.file.clone(),
        span: patch.span.clone(),
    });
    if place.is_some_and(|place| made(&place)) {
        diagnostic.patch = None;
        diagnostic.help = None;
    }
    short::scrub(diagnostic, expanded, values);
    let forms = forms(expanded, values);
    let clean = |text: &mut String| {
        if let Some(cleaned) = without(text, &forms, expanded) {
            *text = cleaned;
        }
    };
    clean(&mut diagnostic.message);
    diagnostic
        .labels
        .iter_mut()
        .for_each(|label| clean(&mut label.text));
    diagnostic.help.iter_mut().for_each(clean);
    if let Some(patch) = &mut diagnostic.patch {
        clean(&mut patch.replacement);
    }
}

/// Returns all forms of all values, the longest first, since one may be part of another.
fn forms<'v>(expanded: &'v [(String, String)], values: &'v [Value]) -> Vec<Form<'v>> {
    let mut forms = Vec::new();
    for (name, value) in expanded {
        let named = format!("${{{name}}}");
        let quoted = format!("{value:?}");
        let escaped = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        for text in [
            Cow::Owned(escaped.to_owned()),
            Cow::Borrowed(value.as_str()),
        ] {
            let (named, place) = (Cow::Owned(named.clone()), Place::of(value));
            forms.push(Form { text, named, place });
        }
    }
    // A text with a variable in it: there, even a short value stands within a word.
    for value in values {
        let bare = |text: &'v str| text.strip_prefix('"')?.strip_suffix('"');
        let written = value.written.as_deref().and_then(bare);
        if let (Some(text), Some(written)) = (bare(&value.text), written) {
            let (text, named) = (Cow::Borrowed(text), Cow::Borrowed(written));
            let place = Place::of(&text);
            forms.push(Form { text, named, place });
        }
    }
    forms.retain(|form| !form.text.is_empty() && !WORDS.contains(&*form.text));
    forms.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
    forms
}

/// Returns a text with the names of variables for their values; `None`: there is none in it.
fn without(text: &str, forms: &[Form], expanded: &[(String, String)]) -> Option<String> {
    let folded = text.to_ascii_lowercase();
    // Variables that the text names already. Their names are no values, and stay.
    let mut taken: Vec<(Range<usize>, Option<&str>)> = Vec::new();
    for (name, _) in expanded {
        let named = text.match_indices(&**name);
        let named = named.map(|(at, name)| at..at + name.len());
        let whole = named.filter(|span| {
            let before = text.get(..span.start).unwrap_or_default();
            let after = text.get(span.end..).unwrap_or_default();
            before.ends_with("${") && after.starts_with('}')
        });
        taken.extend(whole.map(|span| (span, None)));
    }
    for form in forms {
        for span in form.found(text, &folded) {
            let free =
                |(other, _): &(Range<usize>, _)| span.end <= other.start || other.end <= span.start;
            if taken.iter().all(free) {
                taken.push((span, Some(&form.named)));
            }
        }
    }
    taken.retain(|(_, named)| named.is_some());
    if taken.is_empty() {
        return None;
    }
    taken.sort_by_key(|(span, _)| span.start);
    let mut cleaned = String::with_capacity(text.len());
    let mut from = 0;
    for (span, named) in taken {
        cleaned.push_str(text.get(from..span.start).unwrap_or_default());
        cleaned.push_str(named.unwrap_or_default());
        from = span.end;
    }
    cleaned.push_str(text.get(from..).unwrap_or_default());
    Some(cleaned)
}

#[cfg(test)]
mod tests {
    use super::scrub;
    use crate::config::diagnostic::Diagnostic;
    use crate::config::reader::Value;

    /// Returns a message as it is shown where these variables have these values.
    fn shown(message: &str, variables: &[(&str, &str)]) -> String {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let expanded: Vec<_> = variables.iter().map(owned).collect();
        let mut diagnostic = Diagnostic::error("TY0203", message);
        scrub(&mut diagnostic, &expanded, &[]);
        diagnostic.message
    }

    #[test]
    fn messages_name_variables_instead_of_values() {
        let expanded = [
            ("LONG".to_owned(), "Secret\"12345".to_owned()),
            ("SHORT".to_owned(), "ab".to_owned()),
        ];
        let mut diagnostic = Diagnostic::error("TY0203", "`Secret\"12345` and `ab`, absolutely")
            .help("did you mean \"secret\\\"12345\"?");
        scrub(&mut diagnostic, &expanded, &[]);
        assert_eq!(diagnostic.message, "`${LONG}` and `${SHORT}`, absolutely");
        assert_eq!(
            diagnostic.help.as_deref(),
            Some("did you mean \"${LONG}\"?")
        );
    }

    #[test]
    fn a_value_is_replaced_in_each_of_its_forms() {
        for value in [
            "Secret\"12345",
            "pass\"w0rd",
            "back\\slash-1",
            "ends-in-a\"",
            "a\"b",
        ] {
            let message = format!("`{value}` is not a rate: write {value:?}, or `{value}`");
            let expected = "`${V}` is not a rate: write \"${V}\", or `${V}`";
            assert_eq!(shown(&message, &[("V", value)]), expected, "{value}");
        }
    }

    #[test]
    fn short_values_are_replaced_as_words_only() {
        let env = [("ENV", "test")];
        for (message, expected) in [
            ("`test` is not a rate", "`${ENV}` is not a rate"),
            ("write \"test.example\"", "write \"${ENV}.example\""),
            (
                "both want unix:/run/test.sock",
                "both want unix:/run/${ENV}.sock",
            ),
            (
                "cannot read /srv/test/a: denied",
                "cannot read /srv/${ENV}/a: denied",
            ),
            ("`[[tests]]` is not a table", "`[[tests]]` is not a table"),
            ("`latest` and `Test` differ", "`latest` and `Test` differ"),
            ("test `one` failed", "test `one` failed"),
        ] {
            assert_eq!(shown(message, &env), expected);
        }
        let key = [("KEY", "Zx81-q0")];
        for (message, expected) in [
            ("no service Zx81-q0, here", "no service ${KEY}, here"),
            ("aZx81-q0", "aZx81-q0"),
        ] {
            assert_eq!(shown(message, &key), expected);
        }
        let long = [("LONG", "averylongword")];
        assert_eq!(shown("xAVeryLongWordx", &long), "x${LONG}x");
    }

    #[test]
    fn a_value_within_a_word_is_shown_as_the_file_writes_it() {
        let made = Value {
            key: "services.shop.url".to_owned(),
            text: "\"shoptest7.example\"".to_owned(),
            written: Some("\"shop${ENV}.example\"".to_owned()),
            path: None,
            file: "tyrian.toml".into(),
            span: 0..1,
            env: vec!["ENV".to_owned()],
        };
        let message = "`shoptest7.example` is not an endpoint, and `shoptest70` is none";
        let mut diagnostic = Diagnostic::error("TY0203", message);
        scrub(
            &mut diagnostic,
            &[("ENV".to_owned(), "test7".to_owned())],
            &[made],
        );
        assert_eq!(
            diagnostic.message,
            "`shop${ENV}.example` is not an endpoint, and `shoptest70` is none"
        );
    }

    #[test]
    fn words_of_the_format_stay() {
        let variables = [
            ("A", "tests"),
            ("B", "match"),
            ("C", "path"),
            ("D", "enforce"),
        ];
        for message in [
            "`[[tests]]` is not a table",
            "`routes.a.match` needs `host` or `path`",
            "`mode` is not `off`, `report` or `enforce`",
        ] {
            assert_eq!(shown(message, &variables), message);
        }
    }

    #[test]
    fn names_of_variables_stay() {
        let variables = [("alpha", "beta"), ("beta", "alpha-and-much-more")];
        assert_eq!(
            shown("`${beta}`, `beta` and alpha-and-much-more", &variables),
            "`${beta}`, `${alpha}` and ${beta}"
        );
    }
}
