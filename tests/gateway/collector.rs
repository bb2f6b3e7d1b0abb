//! A collector that keeps what it is sent: OTLP over HTTP with protobuf, and over gRPC. It can be told
//! to refuse, to be silent, and to take only a part.

use crate::gateway::PATIENCE;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::transport::{Identity, ServerTlsConfig};
use tyrian::tls::dev::Pair;

/// What it does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// Answers with this status.
    Refuses(u16),
    /// Never answers.
    Silent,
    /// Takes all but one span of each message.
    Picky,
}

/// One request over HTTP.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
struct Kept {
    mood: Arc<Mutex<Mood>>,
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

pub struct Collector {
    pub address: SocketAddr,
    kept: Kept,
}

impl Collector {
    fn kept() -> Kept {
        Kept {
            mood: Arc::new(Mutex::new(Mood::Takes)),
            traces: Arc::default(),
            metrics: Arc::default(),
            received: Arc::default(),
        }
    }

    pub fn http() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Self::kept();
        let own = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = own.clone();
                std::thread::spawn(move || serve(&stream, &kept));
            }
        });
        Self { address, kept }
    }

    pub fn grpc() -> Self {
        Self::grpc_as(None)
    }

    /// With a certificate, if one is given.
    pub fn grpc_as(pair: Option<&Pair>) -> Self {
        let identity = pair.map(|pair| Identity::from_pem(&pair.certificate, &pair.key));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let kept = Self::kept();
        let own = kept.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let mut server = tonic::transport::Server::builder();
            if let Some(identity) = identity {
                let tls = ServerTlsConfig::new().identity(identity);
                server = server.tls_config(tls).unwrap();
            }
            let server = server
                .add_service(MetricsServiceServer::new(own.clone()))
                .add_service(TraceServiceServer::new(own))
                .serve(address);
            let _ = runtime.unwrap().block_on(server);
        });
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { address, kept }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn becomes(&self, mood: Mood) {
        *self.kept.mood.lock().unwrap() = mood;
    }

    pub fn received(&self) -> Vec<Received> {
        self.kept.received.lock().unwrap().clone()
    }

    pub fn messages(&self) -> Vec<ExportTraceServiceRequest> {
        self.kept.traces.lock().unwrap().clone()
    }

    /// The metrics of the last push.
    pub fn metrics(&self) -> Vec<Metric> {
        let last = self.kept.metrics.lock().unwrap().last().cloned();
        let resources = last
            .into_iter()
            .flat_map(|message| message.resource_metrics);
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let messages = self.messages();
        let resources = messages
            .into_iter()
            .flat_map(|message| message.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits for spans that are as wanted.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spans = self.spans();
            if wanted(&spans) {
                return spans;
            }
            assert!(Instant::now() < deadline, "waited for {what}: {spans:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An attribute, as text.
pub fn attribute(all: &[KeyValue], key: &str) -> Option<String> {
    let found = all.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap();
    digits.map(digit).collect()
}

fn rejected(mood: Mood) -> ExportTraceServiceResponse {
    let partial = (mood == Mood::Picky).then(|| ExportTracePartialSuccess {
        rejected_spans: 1,
        error_message: "one too many".to_owned(),
    });
    ExportTraceServiceResponse {
        partial_success: partial,
    }
}

fn serve(stream: &TcpStream, kept: &Kept) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let path = lines[0].split(' ').nth(1).unwrap_or("").to_owned();
        let headers: Vec<(String, String)> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let received = Received {
            path,
            headers,
            body: Vec::new(),
        };
        let length = received.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if received.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            let mut packed = flate2::read::GzDecoder::new(body.as_slice());
            packed.read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let mood = *kept.mood.lock().unwrap();
        let received = Received { body, ..received };
        kept.received.lock().unwrap().push(received.clone());
        let (status, answer) = match mood {
            Mood::Silent => {
                std::thread::sleep(PATIENCE);
                return;
            }
            Mood::Refuses(status) => (status, Vec::new()),
            Mood::Takes | Mood::Picky => {
                let body = received.body.as_slice();
                if received.path == "/v1/traces" {
                    let message = ExportTraceServiceRequest::decode(body);
                    kept.traces.lock().unwrap().push(message.unwrap());
                } else {
                    let message = ExportMetricsServiceRequest::decode(body);
                    kept.metrics.lock().unwrap().push(message.unwrap());
                }
                (200, rejected(mood).encode_to_vec())
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if writer
            .write_all(&[head.as_bytes(), &answer].concat())
            .is_err()
        {
            return;
        }
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Silent => {
                tokio::time::sleep(PATIENCE).await;
                Err(tonic::Status::cancelled("late"))
            }
            Mood::Refuses(_) => Err(tonic::Status::permission_denied("not you")),
            Mood::Takes | Mood::Picky => {
                let headers = request.metadata().clone().into_headers();
                let headers = headers.iter().map(|(name, value)| {
                    (name.to_string(), value.to_str().unwrap_or("").to_owned())
                });
                self.received.lock().unwrap().push(Received {
                    path: "grpc".to_owned(),
                    headers: headers.collect(),
                    body: Vec::new(),
                });
                self.traces.lock().unwrap().push(request.into_inner());
                Ok(tonic::Response::new(rejected(mood)))
            }
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.metrics.lock().unwrap().push(request.into_inner());
        let answer = ExportMetricsServiceResponse::default();
        Ok(tonic::Response::new(answer))
    }
}
