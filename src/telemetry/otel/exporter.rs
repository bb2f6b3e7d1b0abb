//! Spans on their way: a bounded queue of messages in the form they are sent in, and a task that
//! sends them. Nobody waits for a collector; what it cannot take is counted and forgotten, and is
//! not even written.

use super::Loss;
use super::client::Signal;
use super::delivery::Delivery;
use super::protobuf::{bytes, message};
use super::resource::{Resource, SCHEMA, scope};
use super::setup::{Batch, Export};
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use prost::Message as _;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// Most memory that a thread keeps for writing spans.
const DESK_MAX: usize = 64 << 10;

thread_local! {
    /// Where a thread writes the spans of a request.
    static DESK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The end of the queue where spans go in. The task ends when the last of these is gone and the
/// queue is empty.
#[derive(Debug, Clone)]
pub struct Exporter(Arc<Entrance>);

#[derive(Debug)]
struct Entrance(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    batch: Batch,
    /// Spans in the queue, and those on their way into it.
    spans: AtomicUsize,
    queue: Mutex<Queue>,
    /// Tells the task that there is a new first bundle, or a reason not to wait with it.
    wake: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Queue {
    bundles: VecDeque<Bundle>,
    closed: bool,
}

/// The spans of one message, one field after the other.
#[derive(Debug)]
struct Bundle {
    spans: usize,
    written: Vec<u8>,
    /// When it leaves, full or not.
    due: Instant,
    /// Whoever wants to know when it is sent. Nothing goes in any more then.
    told: Option<oneshot::Sender<()>>,
}

impl Bundle {
    fn new(delay: Duration) -> Self {
        Self {
            spans: 0,
            written: Vec::new(),
            due: Instant::now() + delay,
            told: None,
        }
    }
}

impl Exporter {
    /// Starts the task. Must be called in a runtime.
    ///
    /// # Errors
    /// When certificates for the collector cannot be read.
    pub fn start(export: &Export, metrics: Arc<Metrics>) -> Result<Self, String> {
        let delivery = Delivery::to(&export.target, Signal::Spans)?;
        let shared = Arc::new(Shared {
            batch: export.batch,
            spans: AtomicUsize::new(0),
            queue: Mutex::default(),
            wake: Notify::new(),
            metrics,
        });
        let envelope = Envelope::of(&export.resource);
        tokio::spawn(send(shared.clone(), delivery, envelope));
        Ok(Self(Arc::new(Entrance(shared))))
    }

    /// Has `write` append so many spans, as fields of [`SPANS`], if there is room for all of them.
    pub fn put(&self, count: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let Entrance(shared) = &*self.0;
        let most = shared.batch.queue;
        let room = |spans: usize| spans.checked_add(count).filter(|spans| *spans <= most);
        if shared.spans.fetch_update(Relaxed, Relaxed, room).is_err() {
            return shared.metrics.spans.lose(Loss::QueueFull, count as u64);
        }
        DESK.with_borrow_mut(|desk| {
            desk.clear();
            write(desk);
            shared.add(count, desk);
            desk.shrink_to(DESK_MAX);
        });
    }

    /// Waits until all spans so far are sent or lost, at most `limit`.
    pub async fn flush(&self, limit: Duration) {
        let Entrance(shared) = &*self.0;
        let (told, done) = oneshot::channel();
        {
            let bundles = &mut shared.queue.lock().bundles;
            match bundles.back_mut().filter(|last| last.told.is_none()) {
                Some(last) => last.told = Some(told),
                // Behind the one that may be on its way.
                None => bundles.push_back(Bundle {
                    told: Some(told),
                    ..Bundle::new(Duration::ZERO)
                }),
            }
        }
        shared.wake.notify_one();
        let _ = timeout(limit, done).await;
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.wake.notify_one();
    }
}

impl Shared {
    /// Puts the spans of a request into the last bundle. They stay together: the next one begins
    /// where they do not fit.
    fn add(&self, count: usize, spans: &[u8]) {
        let mut queue = self.queue.lock();
        let bundles = &mut queue.bundles;
        let fits = |last: &&mut Bundle| {
            last.told.is_none() && last.spans.saturating_add(count) <= self.batch.size
        };
        let mut news = bundles.is_empty();
        match bundles.back_mut().filter(fits) {
            Some(last) => {
                last.spans += count;
                last.written.extend_from_slice(spans);
                news |= last.spans == self.batch.size;
            }
            None => {
                // The one before it is as full as it gets.
                news |= bundles.len() == 1;
                bundles.push_back(Bundle {
                    spans: count,
                    written: spans.to_vec(),
                    ..Bundle::new(self.batch.delay)
                });
            }
        }
        drop(queue);
        if news {
            self.wake.notify_one();
        }
    }

    /// The first bundle, once it is full, due or waited for, and not before `rest` is over unless
    /// there is no time for that; `None`: there will be no more.
    async fn next(&self, rest: Instant) -> Option<Bundle> {
        loop {
            let due = {
                let mut queue = self.queue.lock();
                let hurry = queue.closed || queue.bundles.iter().any(|one| one.told.is_some());
                let several = queue.bundles.len() > 1;
                let due = queue.bundles.front().map(|first| {
                    let full = several || first.spans >= self.batch.size;
                    if full { rest } else { first.due.max(rest) }
                });
                match due {
                    None if queue.closed => return None,
                    Some(due) if hurry || due <= Instant::now() => {
                        let first = queue.bundles.pop_front()?;
                        self.spans.fetch_sub(first.spans, Relaxed);
                        return Some(first);
                    }
                    due => due,
                }
            };
            let news = self.wake.notified();
            match due {
                None => news.await,
                Some(due) => drop(timeout_at(due, news).await),
            }
        }
    }
}

/// Sends what comes. A collector that has refused is left alone for a while: the queue fills, and what
/// would only be lost is not written any more.
async fn send(shared: Arc<Shared>, mut delivery: Delivery, envelope: Envelope) {
    let mut rest = Instant::now();
    while let Some(bundle) = shared.next(rest).await {
        if bundle.spans > 0 {
            let message = (envelope.around(&bundle.written), bundle.spans as u64);
            let limit = shared.batch.timeout;
            let wait = delivery.deliver(message, limit, &shared.metrics.spans);
            rest = Instant::now() + wait.await;
        }
        if let Some(told) = bundle.told {
            let _ = told.send(());
        }
    }
}

/// The field of `ScopeSpans` that spans are written as.
pub const SPANS: u32 = 2;

/// What stands around the spans of every message, written once.
struct Envelope {
    /// Fields of `ResourceSpans`.
    resource: Vec<u8>,
    /// Fields of `ScopeSpans`.
    scope: Vec<u8>,
}

impl Envelope {
    fn of(sender: &Resource) -> Self {
        let part = |message: Vec<u8>| {
            let mut fields = Vec::new();
            bytes(&mut fields, 1, &message);
            bytes(&mut fields, 3, SCHEMA.as_bytes());
            fields
        };
        Self {
            resource: part(sender.message().encode_to_vec()),
            scope: part(scope().encode_to_vec()),
        }
    }

    /// An `ExportTraceServiceRequest`.
    fn around(&self, spans: &[u8]) -> Vec<u8> {
        let size = spans.len() + self.resource.len() + self.scope.len();
        let mut request = Vec::with_capacity(size + 32);
        message(&mut request, 1, |out| {
            out.extend_from_slice(&self.resource);
            message(out, 2, |out| {
                out.extend_from_slice(&self.scope);
                out.extend_from_slice(spans);
            });
        });
        request
    }
}
