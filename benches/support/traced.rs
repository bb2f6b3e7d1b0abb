//! A gateway that traces next to nothing, and what it does about the trace of one request on the
//! road: take it up, tell the upstream, and find at the end that nobody wants it.

use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::time::Duration;
use tyrian::config::load_text;
use tyrian::telemetry::Metrics;
use tyrian::telemetry::trace::context::{TRACEPARENT, traceparent};
use tyrian::telemetry::trace::{End, Tracer};

pub struct Traced {
    tracer: Tracer,
    /// What the request brings.
    headers: HeaderMap,
    /// What the upstream gets.
    upstream: HeaderMap,
    /// The exporter waits in here for spans that never come.
    _runtime: tokio::runtime::Runtime,
}

impl Traced {
    /// `headers` come with the request.
    ///
    /// # Panics
    /// When the machine has no threads left.
    pub fn new(headers: HeaderMap) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        tyrian::tls::install_provider();
        let text = "[telemetry]\ntraces = { sample = \"0%\" }\n";
        let config = load_text("bench", text, &|_| None).config.unwrap();
        let metrics = Arc::new(Metrics::default());
        let tracer = Tracer::build(&config, None, &metrics).unwrap().unwrap();
        Self {
            tracer,
            headers,
            // Room for one more field, as heads on the road have.
            upstream: HeaderMap::with_capacity(8),
            _runtime: runtime,
        }
    }

    /// One request that was not drawn and ended well. Returns whether anybody wants its trace.
    pub fn request(&mut self) -> bool {
        let context = self.tracer.begin(&self.headers, false);
        let sampled = context.sampled(self.tracer.share(None));
        let value = traceparent(context.trace, context.span, sampled);
        self.upstream.insert(TRACEPARENT.clone(), value);
        let end = End {
            failed: false,
            took: Some(Duration::from_millis(3)),
            fell_back: false,
        };
        sampled || self.tracer.keeps(end)
    }
}

/// The context of a caller that traces this request, or does not.
pub fn arriving(flags: &str) -> HeaderMap {
    let value = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(TRACEPARENT.clone(), value);
    }
    headers
}
