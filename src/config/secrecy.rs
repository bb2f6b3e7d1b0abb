//! Keeps secrets that are written in a file, where they do not belong, out of what is shown.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Shortest word that is taken for a key or a token where a file does not parse.
const TOKEN_MIN: usize = 16;
/// Digits that such a word has at least.
const DIGITS_MIN: usize = 3;

/// The password of a URL.
static PASSWORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(://|^|["'`])([^/@\s"'`]*)(@)"#).ok());

/// What is set for a key whose name says that it is a secret.
static ASSIGNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r"(?:secret|passw|token|hmac|authorization|credential|api[-_]?key|private)";
    let value = r#""(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[^\s"'{}\[\]#,][^\s#,}]*"#;
    Regex::new(&format!(
        r#"(?i)([\w-]*{name}[\w-]*["']?[ \t]*=[ \t]*\[?[ \t]*)({value})"#
    ))
    .ok()
});

/// A word that looks like a key or a token.
static TOKEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("()([A-Za-z0-9+/_=-]{{{TOKEN_MIN},}})")).ok());

/// The same, where it is all of a text.
static TOKEN_TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let word = format!("[A-Za-z0-9+/_=-]{{{TOKEN_MIN},}}");
    Regex::new(&format!(r#"(["'])({word})(["'])"#)).ok()
});

/// Places of secrets, which are no secrets themselves.
const PLACES: [&str; 5] = ["header:", "cookie:", "query:", "jwt:", "${"];

/// A text without the password of a URL in it.
pub fn without_password(text: &str) -> Cow<'_, str> {
    hidden(&PASSWORD, text, is_user)
}

/// Whether a part before an `@` is more than a name.
fn is_user(text: &str) -> bool {
    text.contains(':')
}

/// Replaces the second group by stars, byte by byte, where `secret` says so: spans stay valid.
fn hidden<'t>(
    pattern: &LazyLock<Option<Regex>>,
    text: &'t str,
    secret: impl Fn(&str) -> bool,
) -> Cow<'t, str> {
    let Some(pattern) = pattern.as_ref() else {
        return Cow::Borrowed(text);
    };
    pattern.replace_all(text, |found: &Captures| {
        let group = |index| found.get(index).map_or("", |group| group.as_str());
        let stars = match secret(group(2)) {
            true => "*".repeat(group(2).len()),
            false => group(2).to_owned(),
        };
        format!("{}{stars}{}", group(1), group(3))
    })
}

/// Whether the value of a key is a secret, by the name of the key or by its own look.
pub fn looks_secret(key: &str, value: &str) -> bool {
    let line = format!("{} = {value}", key.trim());
    is_token(value) || hidden(&ASSIGNED, &line, is_no_place) != line
}

fn is_no_place(value: &str) -> bool {
    let value = value.trim_start_matches(['"', '\'']);
    !PLACES.iter().any(|place| value.starts_with(place))
}

/// Whether a word has letters and more digits than names of hosts, versions and files have.
fn is_token(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    word.len() >= TOKEN_MIN && digits >= DIGITS_MIN && letters > 0 && !word.starts_with('/')
}

/// Lines of a file as they may be shown. `secrets` are spans of them that are known to be secret;
/// texts that look like a key or a token are hidden too, since a secret may stand where it does not
/// belong. In a file that does not parse (`broken`), any such word is.
pub fn excerpt<'t>(text: &'t str, secrets: &[Range<usize>], broken: bool) -> Cow<'t, str> {
    let mut shown = Cow::Borrowed(text);
    for span in secrets {
        let span = span.start.min(text.len())..span.end.min(text.len());
        if let Some(part) = shown.get(span.clone()).filter(|part| !part.is_empty()) {
            let stars = nothing_of(part);
            shown.to_mut().replace_range(span, &stars);
        }
    }
    let passwords = hidden(&PASSWORD, &shown, is_user).into_owned();
    let assigned = hidden(&ASSIGNED, &passwords, is_no_place).into_owned();
    let tokens = if broken { &TOKEN } else { &TOKEN_TEXT };
    let all = hidden(tokens, &assigned, is_token).into_owned();
    if all == text {
        return Cow::Borrowed(text);
    }
    Cow::Owned(all)
}

/// Stars for a text, byte by byte. Line ends stay, so that all other lines keep their numbers.
pub fn nothing_of(text: &str) -> String {
    let star = |byte: u8| if byte == b'\n' { '\n' } else { '*' };
    text.bytes().map(star).collect()
}

#[cfg(test)]
mod tests {
    use super::{excerpt, without_password};

    #[test]
    fn secrets_in_excerpts_are_stars_of_the_same_length() {
        let plain = [
            "key = { file = \"admin.key\" }",
            "token = [\"header:authorization\", \"query:token\"]",
            "token = { env = \"ADMIN_TOKEN\" }",
            "bind = \"127.0.0.1:8080\"",
            "key = \"ip\"",
            "password = \"${PASSWORD}\"",
        ];
        for text in plain {
            assert_eq!(excerpt(text, &[], true), text);
        }
        for (text, shown) in [
            ("token = \"abc\" # x", "token = ***** # x"),
            ("token = abc", "token = ***"),
            ("x-api-key='a b'", "x-api-key=*****"),
            ("hmac = \"open", "hmac = *****"),
            (
                "url = \"http://me:pw@host/\"",
                "url = \"http://*****@host/\"",
            ),
        ] {
            assert_eq!(excerpt(text, &[], false), shown);
        }
        for (text, broken, shown) in [
            (
                "k1 = \"0123456789abcdef\"",
                false,
                "k1 = \"****************\"",
            ),
            ("k1 = \"0123456789abcdef", true, "k1 = \"****************"),
            ("k1 = \"0123456789abcdef", false, "k1 = \"0123456789abcdef"),
            (
                "a = \"shop-v1.backend-2.internal:80\"",
                true,
                "a = \"shop-v1.backend-2.internal:80\"",
            ),
        ] {
            assert_eq!(excerpt(text, &[], broken), shown);
        }
        let known = std::slice::from_ref(&(5..12));
        assert_eq!(excerpt("k1 = \"short\"", known, false), "k1 = *******");
        assert_eq!(
            excerpt("a\nb", std::slice::from_ref(&(0..3)), false),
            "*\n*"
        );
    }

    #[test]
    fn urls_are_shown_without_passwords() {
        let shown = without_password("https://u:p@host/a@b");
        assert_eq!(shown, "https://***@host/a@b");
        assert_eq!(without_password("u:p@host:80"), "***@host:80");
        for plain in ["https://host/a@b", "me@host", "https://me@host/"] {
            assert_eq!(without_password(plain), plain);
        }
    }
}
