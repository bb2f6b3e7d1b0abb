//! How the connections of a listener learn that they must end: their answers say so first, and
//! quiet ones are closed later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a connection that must end is still listened to after it was accepted, or after its
/// last answer: a request may be on its way.
pub const LAST_WORD: Duration = Duration::from_secs(1);

/// How far a listener is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Answers say that their connection closes; HTTP/2 clients get a GOAWAY.
    Announced,
    /// In addition, nothing is accepted any more.
    Closed,
    /// In addition, quiet connections are closed.
    Over,
}

/// Tells the connections of one listener how far it is.
#[derive(Debug)]
pub struct Drainer {
    phase: watch::Sender<Phase>,
    announced: Arc<AtomicBool>,
}

/// What a connection knows of its listener's phase.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: watch::Receiver<Phase>,
    /// The same as the phase, for one relaxed load per answer.
    announced: Arc<AtomicBool>,
}

impl Drainer {
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        let announced = Arc::<AtomicBool>::default();
        let drain = Drain {
            phase: receiver,
            announced: announced.clone(),
        };
        let drainer = Self {
            phase: sender,
            announced,
        };
        (drainer, drain)
    }

    /// Moves on to a later phase; an earlier one changes nothing.
    pub fn tell(&self, phase: Phase) {
        self.announced.fetch_or(phase >= Phase::Announced, Relaxed);
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }
}

impl Drain {
    /// Returns once the listener has come to this phase. Never, where its [`Drainer`] has gone.
    pub fn reaches(&self, phase: Phase) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut watched = self.phase.clone();
        async move {
            if watched.wait_for(|now| *now >= phase).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when a connection that has said nothing since `since` is given up.
    pub async fn gives_up(&self, since: Instant) {
        self.reaches(Phase::Over).await;
        tokio::time::sleep_until((since + LAST_WORD).into()).await;
    }

    /// Whether answers say that their connection closes.
    pub fn is_announced(&self) -> bool {
        self.announced.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Drainer, Phase};
    use futures::FutureExt;

    #[test]
    fn phases_only_move_on() {
        let (drainer, drain) = Drainer::new();
        let come = |phase| drain.reaches(phase).now_or_never().is_some();
        assert!(!drain.is_announced() && !come(Phase::Announced));
        drainer.tell(Phase::Closed);
        assert!(drain.is_announced() && come(Phase::Announced) && come(Phase::Closed));
        drainer.tell(Phase::Announced);
        assert!(come(Phase::Closed) && !come(Phase::Over));
        drainer.tell(Phase::Over);
        assert!(come(Phase::Over));
    }
}
