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
pub const MASK: &str = "***";

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

/// The same of a URL's query; who is named before its host is hidden too.
pub fn url<'u>(url: &'u str, more: &[String]) -> Cow<'u, str> {
    let (place, asked) = url
        .split_once('?')
        .map_or((url, None), |(place, asked)| (place, Some(asked)));
    let named = place.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{MASK}@{host}{path}"))
    });
    let asked = asked.map(|asked| query(asked, more));
    match (named, asked) {
        (None, None | Some(Cow::Borrowed(_))) => Cow::Borrowed(url),
        (named, asked) => {
            let mut masked = named.unwrap_or_else(|| place.to_owned());
            if let Some(asked) = asked {
                masked.push('?');
                masked.push_str(&asked);
            }
            Cow::Owned(masked)
        }
    }
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

    #[test]
    fn urls_lose_the_secrets_of_their_queries_and_who_is_named_in_them() {
        let url = |text| super::url(text, &[]);
        for (text, masked) in [
            ("https://a.example/b?c=1", "https://a.example/b?c=1"),
            (
                "https://a.example/b?c=1&token=x",
                "https://a.example/b?c=1&token=***",
            ),
            ("/b?code=x?y", "/b?code=***"),
            ("https://ada:hush@a.example", "https://***@a.example"),
            (
                "https://ada@a.example/@b?key=x",
                "https://***@a.example/@b?key=***",
            ),
            ("a@b/c", "a@b/c"),
            ("", ""),
        ] {
            assert_eq!(url(text), masked);
        }
    }
}
