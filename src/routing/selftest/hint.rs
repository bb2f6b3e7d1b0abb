//! The command that explains the request of a failed test, as a shell takes it.

use crate::config::Loaded;
use crate::config::test::{Member, Test};

/// Tells how to see why a test has failed. Without a file, the text came by the API.
pub fn hint(test: &Test, loaded: &Loaded) -> String {
    let mut words = vec!["tyrian".to_owned(), "explain".to_owned(), "-c".to_owned()];
    let file = loaded.root.as_ref();
    let path = file.map(|file| file.display().to_string());
    words.push(shell_quoted(path.as_deref().unwrap_or("FILE")));
    let shell_quoted = |word: &str| shell_quoted(&unexpanded(word, &loaded.expanded));
    let request = format!(
        "{} {}://{}{}",
        test.method, test.scheme, test.host, test.target
    );
    words.push(shell_quoted(&request));
    let mut add = |option: &str, value: &str| {
        words.push(option.to_owned());
        words.push(shell_quoted(value));
    };
    for (name, value) in &test.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        add("-H", &format!("{name}: {value}"));
    }
    for (name, values) in test.claims.iter().flatten() {
        for value in values {
            add("--claim", &format!("{name}={value}"));
        }
    }
    if test.claims.as_ref().is_some_and(Vec::is_empty) {
        add("--claim", "");
    }
    add("--from", &test.from.to_string());
    for (key, members) in [("down", &test.down), ("open", &test.open)] {
        for Member { service, version } in members {
            add("--given", &format!("{key}={service}/{version}"));
        }
    }
    if let Some(color) = &test.signed {
        add("--given", &format!("signed={color}"));
    }
    if let Some(bucket) = test.bucket {
        add("--given", &format!("bucket={bucket}"));
    }
    let see = match file {
        Some(_) => "see why",
        None => "see why, with the text in FILE",
    };
    format!("{see}: {}", words.join(" "))
}

/// Puts the names of variables in the place of values with a quote, which cannot be found any more once
/// they are quoted. Other values are taken out of every message when it is added.
fn unexpanded(word: &str, expanded: &[(String, String)]) -> String {
    let quoted = expanded.iter().filter(|(_, value)| value.contains('\''));
    quoted.fold(word.to_owned(), |word, (name, value)| {
        word.replace(value, &format!("${{{name}}}"))
    })
}

/// A word as a POSIX shell reads it: plain, or in single quotes.
fn shell_quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::{shell_quoted, unexpanded};

    #[test]
    fn a_value_with_a_quote_stays_a_variable() {
        let known = [("NAME".to_owned(), "it's".to_owned())];
        assert_eq!(unexpanded("x: it's me", &known), "x: ${NAME} me");
    }

    #[test]
    fn a_shell_reads_words_as_they_were() {
        for word in [
            "",
            "a b",
            "it's",
            "$HOME `x` \"y\" \\",
            "a\nb",
            "*?[~#&;|<>(){}!",
            "ä",
        ] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", shell_quoted(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
        assert_eq!(shell_quoted("/etc/tyrian.toml"), "/etc/tyrian.toml");
    }
}
