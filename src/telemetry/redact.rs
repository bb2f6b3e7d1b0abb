//! Masks what sounds secret before anything is written or shown.

use std::borrow::Cow;

/// A query parameter whose name holds one of these is masked, whatever it is.
const SECRET: &[&str] = &[
    "token",
    "secret",
    "passw",
    "pwd",
    "auth",
    "key",
    "sig",
    "session",
    "jwt",
    "code",
    "credential",
];
/// What stands for a masked value.
const MASK: &str = "***";

/// The query with the values of secret-sounding parameters masked, and of those whose names hold
/// one of `more`.
pub fn query<'q>(query: &'q str, more: &[String]) -> Cow<'q, str> {
    let is_secret = |pair: &str| is_secret(pair, more);
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut masked = String::with_capacity(query.len());
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            masked.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if is_secret(pair) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(MASK);
            }
            _ => masked.push_str(pair),
        }
    }
    Cow::Owned(masked)
}

/// Whether a pair has a value to hide. An encoded name is hidden too: it may spell anything.
fn is_secret(pair: &str, more: &[String]) -> bool {
    let Some((name, _)) = pair.split_once('=') else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    name.contains('%')
        || SECRET.iter().any(|word| name.contains(word))
        || more.iter().any(|word| name.contains(word.as_str()))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    fn query(text: &str) -> Cow<'_, str> {
        super::query(text, &["email".to_owned()])
    }

    #[test]
    fn values_of_secret_names_are_masked_and_nothing_else() {
        assert_eq!(query("a=1&b=2"), "a=1&b=2");
        assert_eq!(
            query("a=1&access_token=x&b&API_KEY=y=z"),
            "a=1&access_token=***&b&API_KEY=***"
        );
        assert_eq!(query("user_Email=a@b"), "user_Email=***");
        assert_eq!(query("%74oken=x"), "%74oken=***");
        assert_eq!(query(""), "");
    }
}
