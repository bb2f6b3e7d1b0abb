//! Spans on their way: a bounded queue, and a task that sends batches of it. Nobody waits for a
//! collector; what it cannot take is counted and forgotten.

use super::client::{Client, Failure};
use super::resource::{SCHEMA, scope};
use super::setup::Export;
use super::{Counters, Loss};
use crate::telemetry::Metrics;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Pause before the second try; each further one is twice as long, up to the second.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

enum Message {
    Span(Box<Span>),
    /// Whoever wants to know when all before it is sent.
    Flush(oneshot::Sender<()>),
}

/// The end of the queue where spans go in. The task ends when the last of these is gone and the
/// queue is empty.
#[derive(Debug, Clone)]
pub struct Exporter {
    queue: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
}

impl Exporter {
    /// Starts the task. Must be called in a runtime.
    ///
    /// # Errors
    /// When certificates for the collector cannot be read.
    pub fn start(export: Export, metrics: Arc<Metrics>) -> Result<Self, String> {
        let client = Client::new(&export.target)?;
        let (queue, waiting) = mpsc::channel(export.batch.queue);
        let task = Task {
            client,
            export,
            metrics: metrics.clone(),
            troubled: false,
        };
        tokio::spawn(task.run(waiting));
        Ok(Self { queue, metrics })
    }

    /// Puts so many spans in, if there is room for all of them; they are not even made else.
    pub fn put(&self, count: usize, spans: impl Iterator<Item = Span>) {
        match self.queue.try_reserve_many(count) {
            Ok(places) => {
                for (place, span) in places.zip(spans) {
                    place.send(Message::Span(Box::new(span)));
                }
            }
            Err(_) => self.metrics.spans.lose(Loss::QueueFull, count as u64),
        }
    }

    /// Waits until all spans so far are sent or lost, at most `limit`.
    pub async fn flush(&self, limit: Duration) {
        let (told, done) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Flush(told)).await.is_ok() {
                let _ = done.await;
            }
        };
        let _ = timeout(limit, flushed).await;
    }
}

struct Task {
    client: Client,
    export: Export,
    metrics: Arc<Metrics>,
    /// Whether the last batch was lost: trouble is told when it begins and when it ends.
    troubled: bool,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let batch = self.export.batch;
        while let Some(first) = queue.recv().await {
            let due = Instant::now() + batch.delay;
            let (mut spans, mut waiting) = (Vec::new(), None);
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Span(span) => spans.push(*span),
                    Message::Flush(told) => {
                        waiting = Some(told);
                        break;
                    }
                }
                if spans.len() >= batch.size {
                    break;
                }
                next = timeout_at(due, queue.recv()).await.unwrap_or(None);
            }
            if !spans.is_empty() {
                self.send(spans).await;
            }
            if let Some(told) = waiting {
                let _ = told.send(());
            }
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let message = self.message(spans);
        let counters: &Counters = &self.metrics.spans;
        match self.deliver(&message).await {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                counters.sent(count - rejected);
                counters.lose(Loss::Rejected, rejected);
                if std::mem::take(&mut self.troubled) {
                    tracing::info!(collector = self.export.target.url, "spans are taken again");
                }
            }
            Err(failure) => {
                counters.lose(failure.loss, count);
                if !std::mem::replace(&mut self.troubled, true) {
                    let collector = &self.export.target.url;
                    let why = failure.why;
                    tracing::warn!(
                        collector,
                        why,
                        "spans are lost until the collector takes them"
                    );
                }
            }
        }
    }

    /// Tries until the batch is taken, refused for good, or too old.
    async fn deliver(&self, message: &ExportTraceServiceRequest) -> Result<u64, Failure> {
        let end = Instant::now() + self.export.batch.timeout;
        let mut pause = PAUSE;
        loop {
            let tried = timeout_at(end, self.client.traces(message)).await;
            let failure = match tried.unwrap_or_else(|_| Err(Failure::late())) {
                Ok(rejected) => return Ok(rejected),
                Err(failure) => failure,
            };
            let wait = failure
                .after
                .unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64()));
            if !failure.again || Instant::now() + wait >= end {
                return Err(failure);
            }
            sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn message(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope_spans = ScopeSpans {
            scope: Some(scope()),
            spans,
            schema_url: SCHEMA.to_owned(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.export.resource.message()),
                scope_spans: vec![scope_spans],
                schema_url: SCHEMA.to_owned(),
            }],
        }
    }
}
