//! Pushes what a scrape would show to a collector, at the pace that the live configuration says.

use crate::snapshot::Current;
use crate::telemetry::Metrics;
use crate::telemetry::otel::client::Signal;
use crate::telemetry::otel::delivery::Delivery;
use crate::telemetry::otel::metrics::OtlpEncoder;
use crate::telemetry::otel::setup::PushSetup;
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// How soon a changed configuration is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// A collector and the setup that it was made by.
struct Collector {
    setup: PushSetup,
    delivery: Delivery,
    pushed: Instant,
}

/// Pushes for as long as the process lives, whenever the live configuration asks for it.
pub fn drive(current: Current, metrics: Arc<Metrics>) {
    let start = now();
    tokio::spawn(async move {
        let mut collector: Option<Collector> = None;
        loop {
            let setup = current.load().push.clone();
            if setup.as_ref() != collector.as_ref().map(|collector| &collector.setup) {
                collector = setup.and_then(Collector::new);
            }
            let pause = match &mut collector {
                None => LOOK,
                Some(collector) => {
                    let left = collector
                        .setup
                        .every
                        .saturating_sub(collector.pushed.elapsed());
                    if left.is_zero() {
                        collector.pushed = Instant::now();
                        collector.push(&current, &metrics, start).await;
                    }
                    left.clamp(Duration::from_millis(10), LOOK)
                }
            };
            sleep(pause).await;
        }
    });
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

impl Collector {
    fn new(setup: PushSetup) -> Option<Self> {
        let delivery = Delivery::to(&setup.target, Signal::Metrics);
        let delivery = delivery.inspect_err(|why| tracing::error!(why, "cannot push metrics"));
        setup.announce();
        Some(Self {
            delivery: delivery.ok()?,
            setup,
            pushed: Instant::now(),
        })
    }

    async fn push(&mut self, current: &Current, metrics: &Metrics, start: u64) {
        let mut encoder = OtlpEncoder::new(start, now());
        current.load_full().scrape(metrics, &mut encoder);
        let points = encoder.points() as u64;
        let message = encoder.message(&self.setup.resource).encode_to_vec();
        let message = (message, points);
        let limit = self.setup.timeout;
        self.delivery.attempt(message, limit, &metrics.pushes).await;
    }
}
