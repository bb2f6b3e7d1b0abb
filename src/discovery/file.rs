//! Endpoints in a JSON file, read again when it changes: a list of our own, or the form of
//! Prometheus's `file_sd`.

use super::source::{Answer, Entry, Failure, Source, WEIGHT_MAX};
use crate::config::Name;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Largest file.
const SIZE_MAX: u64 = 16 << 20;

/// A file of endpoints.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
}

impl File {
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

/// One element of the list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Element {
    Own {
        address: String,
        weight: Option<u16>,
        zone: Option<String>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    Prometheus {
        targets: Vec<String>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
}

impl Source for File {
    fn ask(&mut self) -> BoxFuture<'_, Result<Answer, Failure>> {
        async {
            let found = tokio::fs::metadata(&self.path).await;
            if found.map_err(|_| Failure::Unreachable)?.len() > SIZE_MAX {
                return Err(Failure::Malformed);
            }
            let text = tokio::fs::read(&self.path).await;
            let (entries, malformed) = read(&text.map_err(|_| Failure::Unreachable)?)?;
            Ok(Answer {
                entries,
                malformed,
                again: EVERY,
            })
        }
        .boxed()
    }
}

/// Reads the list. A half-written one is malformed as a whole; an element that cannot be read is
/// left out and counted.
fn read(text: &[u8]) -> Result<(Vec<Entry>, usize), Failure> {
    let list: Vec<serde_json::Value> =
        serde_json::from_slice(text).map_err(|_| Failure::Malformed)?;
    let (mut entries, mut malformed) = (Vec::new(), 0);
    for element in list {
        match serde_json::from_value(element) {
            Ok(element) => malformed += add(element, &mut entries),
            Err(_) => malformed += 1,
        }
    }
    Ok((entries, malformed))
}

/// Adds the endpoints of an element. Returns how many cannot be used.
fn add(element: Element, entries: &mut Vec<Entry>) -> usize {
    let (addresses, weight, mut labels) = match element {
        Element::Own {
            address,
            weight,
            zone,
            mut labels,
        } => {
            labels.extend(zone.map(|zone| ("zone".to_owned(), zone)));
            (vec![address], weight, labels)
        }
        Element::Prometheus { targets, labels } => {
            let weight = labels.get("weight").and_then(|weight| weight.parse().ok());
            (targets, weight, labels)
        }
    };
    labels.remove("weight");
    let labels = labels
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    let labels: BTreeMap<Name, Name> = labels.collect();
    let weight = weight.unwrap_or(1);
    let before = entries.len();
    let total = addresses.len();
    let sound = addresses.into_iter().filter(|address| is_address(address));
    entries.extend(sound.filter(|_| weight <= WEIGHT_MAX).map(|address| Entry {
        address: address.into(),
        authority: None,
        weight,
        labels: labels.clone(),
    }));
    total - (entries.len() - before)
}

/// Whether a text is `host:port` or `unix:/path`.
pub fn is_address(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/');
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let named = !host.is_empty() && host.bytes().all(plain);
    let port = port.parse::<u16>().is_ok_and(|port| port > 0);
    port && (named || text.parse::<std::net::SocketAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{Failure, read};

    #[test]
    fn both_forms_are_read_and_bad_elements_left_out() {
        let text = r#"[
            {"address": "10.0.0.1:80", "weight": 3, "zone": "a"},
            {"address": "no port"},
            {"address": "10.0.0.1:80", "weight": 1001},
            7,
            {"targets": ["b:81", "[::1]:82", "c"], "labels": {"zone": "b", "weight": "2"}},
            {"address": "unix:/run/a.sock"}
        ]"#;
        let (entries, malformed) = read(text.as_bytes()).unwrap();
        let seen: Vec<String> = entries
            .iter()
            .map(|entry| {
                format!(
                    "{} {} {:?}",
                    entry.address,
                    entry.weight,
                    entry.labels.get("zone")
                )
            })
            .collect();
        let expected = [
            "10.0.0.1:80 3 Some(\"a\")",
            "b:81 2 Some(\"b\")",
            "[::1]:82 2 Some(\"b\")",
            "unix:/run/a.sock 1 None",
        ];
        assert_eq!((seen, malformed), (expected.map(String::from).into(), 4));
    }

    #[test]
    fn half_a_file_says_nothing() {
        for text in ["", "[", "[{\"address\": \"a:1\"}", "{}", "null"] {
            assert_eq!(
                read(text.as_bytes()).unwrap_err(),
                Failure::Malformed,
                "{text}"
            );
        }
        assert!(read(b"[]").unwrap().0.is_empty());
    }
}
