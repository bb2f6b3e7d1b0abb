//! The life of fetched keys: at start from disk and from the issuer, then on schedule, and sooner
//! when a token names a key that is not known. An issuer that is down costs nobody anything until
//! the keys are too old.

use super::keys::KeySet;
use super::provider::{ASK_PAUSE, Provider};
use super::stash::Stash;
use crate::config::jwt::KeysByUrl;
use crate::outbound;
use crate::policy::held::now;
use crate::state::Folder;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Longest wait for a whole document.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after the first failure; each further one doubles it.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after failures.
const RETRY_LONGEST: Duration = Duration::from_mins(1);
/// Bounds of what `Cache-Control` may ask for.
const AGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// A document as it came, and for how long it is good.
struct Fetched {
    text: Vec<u8>,
    max_age: Option<Duration>,
}

/// Keeps a provider's keys fresh until nobody uses it.
pub fn spawn(provider: &Arc<Provider>, source: KeysByUrl, folder: Option<&Folder>) {
    let (name, config) = (&provider.name, &provider.config);
    let stash = folder.map(|folder| Stash::new(folder, name, config, &source));
    tokio::spawn(keep(Arc::downgrade(provider), source, stash));
}

async fn keep(provider: Weak<Provider>, source: KeysByUrl, stash: Option<Stash>) {
    if let Some(provider) = provider.upgrade()
        && provider.state.never_had()
    {
        recall(&provider, &source, stash.as_ref());
    }
    let mut failures: u32 = 0;
    let mut missed = None;
    loop {
        let Some(current) = provider.upgrade() else {
            return;
        };
        current.state.asked.store(now(), Relaxed);
        current.state.next.store(0, Relaxed);
        let pause = match attempt(&source).await {
            Ok((keys, fetched)) => {
                if failures > 0 {
                    tracing::info!(provider = %current.name, "keys can be fetched again");
                }
                failures = 0;
                current.state.failures.store(0, Relaxed);
                let uncovered = keys.uncovered(&current.config.algorithms);
                if let Some(algorithms) = uncovered.as_ref().filter(|_| uncovered != missed) {
                    tracing::warn!(provider = %current.name, url = %source.url, algorithms, "no key of the issuer is for these algorithms; their tokens are refused");
                }
                missed = uncovered;
                current.renew(keys);
                if let Some(stash) = &stash {
                    stash.write(&fetched.text);
                }
                // A little early, so that keys are never older than they may be.
                fetched.max_age.unwrap_or(source.refresh).mul_f64(0.8)
            }
            Err(error) => {
                failures += 1;
                current.state.failures.store(failures.into(), Relaxed);
                tracing::warn!(provider = %current.name, url = %source.url, %error, failures, "cannot fetch keys; going on with those at hand");
                (RETRY_FIRST * 2_u32.saturating_pow(failures.min(16) - 1)).min(RETRY_LONGEST)
            }
        };
        let pause = jittered(pause);
        let next = now().saturating_add(pause.as_secs_f64().ceil() as u64);
        current.state.next.store(next, Relaxed);
        current.state.ended.notify_waiters();
        wait(current, pause).await;
    }
}

/// Waits until it is time again, or a token names an unknown key; then as long as the pause
/// between two such fetches asks for, but never longer than planned.
async fn wait(provider: Arc<Provider>, pause: Duration) {
    let weak = Arc::downgrade(&provider);
    let asked = provider.state.asked.load(Relaxed);
    let planned = tokio::time::Instant::now() + pause;
    tokio::select! {
        () = tokio::time::sleep_until(planned) => {}
        () = provider.state.wanted.notified() => {
            let since = now().saturating_sub(asked);
            let left = Duration::from_secs(ASK_PAUSE.saturating_sub(since));
            tokio::time::sleep_until(planned.min(tokio::time::Instant::now() + left)).await;
        }
        () = unused(weak) => {}
    }
}

/// Ends once this task is the only one that holds the provider.
async fn unused(provider: Weak<Provider>) {
    while provider.strong_count() > 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + fastrand::f64() / 10.0)
}

async fn attempt(source: &KeysByUrl) -> Result<(KeySet, Fetched), String> {
    let fetched = fetch(source).await?;
    let keys = KeySet::from_jwks(&fetched.text).map_err(|error| error.to_string())?;
    Ok((keys, fetched))
}

/// A new client each time: fetches are rare, and so a changed authority file counts.
async fn fetch(source: &KeysByUrl) -> Result<Fetched, String> {
    let client = outbound::client(TIMEOUT, source.ca.as_deref())?;
    let request = client
        .get(&source.url)
        .header("accept", "application/jwk-set+json, application/json");
    let answer = request.send().await.map_err(outbound::words)?;
    if answer.status() != 200 {
        return Err(format!("status {}", answer.status()));
    }
    let max_age = answer
        .headers()
        .get("cache-control")
        .and_then(|value| value.to_str().ok())
        .and_then(max_age);
    let text = outbound::body(answer, KeySet::DOCUMENT_MAX).await?;
    Ok(Fetched { text, max_age })
}

/// `max-age`, within bounds.
fn max_age(cache_control: &str) -> Option<Duration> {
    let seconds = cache_control
        .split(',')
        .filter_map(|directive| directive.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.trim_matches('"').parse().ok())?;
    Some(Duration::from_secs(seconds).clamp(*AGE.start(), *AGE.end()))
}

/// Keys of an earlier life, for a start while the issuer is down. They are as old as their file.
fn recall(provider: &Provider, source: &KeysByUrl, stash: Option<&Stash>) {
    let recalled = stash.and_then(|stash| stash.read(source.max_stale));
    if let Some((keys, age)) = recalled {
        tracing::info!(provider = %provider.name, keys = keys.len(), ?age, "keys recalled from disk");
        provider.renew(keys);
        provider
            .state
            .fetched
            .store(now().saturating_sub(age.as_secs()), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::max_age;
    use std::time::Duration;

    #[test]
    fn max_age_stays_within_bounds() {
        for (text, expected) in [
            ("max-age=600", Some(600)),
            ("public, max-age=1", Some(60)),
            ("max-age=\"99999999\"", Some(86_400)),
            ("no-store", None),
            ("max-age=soon", None),
        ] {
            assert_eq!(max_age(text), expected.map(Duration::from_secs), "{text}");
        }
    }
}
