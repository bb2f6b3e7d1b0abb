//! Brings messages to a collector and counts what became of them. Trouble is told when it begins and
//! when it ends.

use super::client::{Client, Failure, Message, Signal};
use super::target::Target;
use super::{Counters, Loss};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Pause after the first failure; after each further one it is twice as long, up to the second.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A collector, and how it has taken what it was sent so far.
#[derive(Debug)]
pub struct Delivery {
    client: Client,
    signal: Signal,
    url: String,
    /// Whether the last message was lost.
    troubled: bool,
    pause: Duration,
}

impl Delivery {
    /// Must be called in a runtime.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn to(target: &Target, signal: Signal) -> Result<Self, String> {
        Ok(Self {
            client: Client::new(target)?,
            signal,
            url: target.url.clone(),
            troubled: false,
            pause: PAUSE,
        })
    }

    /// Sends one message of `count` spans or points: tries until it is taken, refused for good, or
    /// too old. Returns how long to leave the collector alone; nothing, if it has taken them.
    pub async fn deliver(
        &mut self,
        (message, count): (Vec<u8>, u64),
        limit: Duration,
        counters: &Counters,
    ) -> Duration {
        let message = self.client.message(message);
        let end = Instant::now() + limit;
        let (tried, rest) = loop {
            let tried = self.once(&message, end).await;
            let Err(failure) = &tried else {
                break (tried, Duration::ZERO);
            };
            let wait = self.wait(failure);
            if !failure.again || Instant::now() + wait >= end {
                break (tried, wait);
            }
            sleep(wait).await;
        };
        self.settle(tried, count, counters);
        rest
    }

    /// Sends one message once: the next one says the same, and more.
    pub async fn attempt(
        &mut self,
        (message, count): (Vec<u8>, u64),
        limit: Duration,
        counters: &Counters,
    ) {
        let message = self.client.message(message);
        let tried = self.once(&message, Instant::now() + limit).await;
        self.settle(tried, count, counters);
    }

    async fn once(&self, message: &Message, end: Instant) -> Result<u64, Failure> {
        let tried = timeout_at(end, self.client.send(self.signal, message)).await;
        tried.unwrap_or_else(|_| Err(Failure::late()))
    }

    /// How long to wait after a failure.
    fn wait(&mut self, failure: &Failure) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        let own = || pause.mul_f64(0.5 + fastrand::f64());
        failure.after.unwrap_or_else(own)
    }

    fn settle(&mut self, tried: Result<u64, Failure>, count: u64, counters: &Counters) {
        let (collector, what) = (&self.url, self.signal.name());
        match tried {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                counters.sent(count - rejected);
                counters.lose(Loss::Rejected, rejected);
                self.pause = PAUSE;
                if std::mem::take(&mut self.troubled) {
                    tracing::info!(collector, "{what} are taken again");
                }
            }
            Err(Failure { loss, why, .. }) => {
                counters.lose(loss, count);
                if !std::mem::replace(&mut self.troubled, true) {
                    tracing::warn!(
                        collector,
                        why,
                        "{what} are lost until the collector takes them"
                    );
                }
            }
        }
    }
}
