//! Sends messages to a collector: OTLP over HTTP with protobuf, or over gRPC.

use super::Loss;
use super::target::Target;
use crate::config::traces::Protocol;
use crate::files;
use crate::outbound;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use std::io::Write;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};

/// Largest answer that is read.
const ANSWER_MAX: usize = 64 * 1024;
/// Longest pause that a collector may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Collectors answer all signals in one form: how many they did not want, and why.
type Answer = ExportTraceServiceResponse;

/// What messages are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Spans,
    Metrics,
}

impl Signal {
    /// As the log calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Metrics => "metrics",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::Spans => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

/// A message in the form it is sent in: written and packed once, however often it is tried.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Bytes,
    gzip: bool,
}

/// A collector. Connects when there is something to send, and again when that broke.
#[derive(Debug)]
pub struct Client {
    way: Way,
    timeout: Duration,
    headers: HeaderMap,
    gzip: bool,
}

#[derive(Debug)]
enum Way {
    Http(reqwest::Client, String),
    Grpc(Channel),
}

/// Why a message was not taken.
#[derive(Debug)]
pub struct Failure {
    pub loss: Loss,
    pub why: String,
    /// Whether another try may end otherwise; and when, if the collector says so.
    pub again: bool,
    pub after: Option<Duration>,
}

impl Failure {
    fn new(loss: Loss, why: String) -> Self {
        Self {
            loss,
            why,
            again: loss != Loss::Rejected,
            after: None,
        }
    }

    pub fn late() -> Self {
        Self::new(Loss::Timeout, "no answer in time".to_owned())
    }
}

impl Client {
    /// Must be called in a runtime.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn new(target: &Target) -> Result<Self, String> {
        let mut headers: HeaderMap = target.headers.iter().cloned().collect();
        let way = match target.protocol {
            Protocol::HttpProtobuf => {
                let protobuf = HeaderValue::from_static("application/x-protobuf");
                headers.insert(header::CONTENT_TYPE, protobuf);
                let (timeout, ca) = (target.timeout, target.ca.as_deref());
                let client = outbound::client_as(timeout, ca, identity(target)?)?;
                Way::Http(client, target.url.clone())
            }
            Protocol::Grpc => Way::Grpc(channel(target)?),
        };
        Ok(Self {
            way,
            timeout: target.timeout,
            headers,
            gzip: target.gzip,
        })
    }

    /// Makes a message of what is written in protobuf.
    pub fn message(&self, bytes: Vec<u8>) -> Message {
        let packed = self.gzip.then(|| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&bytes).ok()?;
            packed.finish().ok()
        });
        let packed = packed.flatten();
        Message {
            gzip: packed.is_some(),
            bytes: packed.unwrap_or(bytes).into(),
        }
    }

    /// Sends a message; returns how much of it the collector did not want.
    ///
    /// # Errors
    /// When nothing was taken.
    pub async fn send(&self, signal: Signal, message: &Message) -> Result<u64, Failure> {
        let answer = match &self.way {
            Way::Http(client, url) => self.post(client, url, message).await?,
            Way::Grpc(channel) => self.call(channel, signal, message).await?,
        };
        let partial = answer.partial_success;
        Ok(partial.map_or(0, |partial| partial.rejected_spans.unsigned_abs()))
    }

    async fn post(
        &self,
        client: &reqwest::Client,
        url: &str,
        message: &Message,
    ) -> Result<Answer, Failure> {
        let mut request = client
            .post(url)
            .timeout(self.timeout)
            .headers(self.headers.clone());
        if message.gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        let answer = request.body(message.bytes.clone()).send().await;
        let answer = answer.map_err(|error| {
            let loss = match error.is_timeout() {
                true => Loss::Timeout,
                false => Loss::Unreachable,
            };
            Failure::new(loss, outbound::words(error))
        })?;
        let status = answer.status();
        if !status.is_success() {
            // Those that the specification wants repeated.
            let loss = match status.as_u16() {
                429 | 502 | 503 | 504 => Loss::Unreachable,
                _ => Loss::Rejected,
            };
            let after = answer.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
            return Err(Failure {
                after: after.map(|after| Duration::from_secs(after).min(PAUSE_MAX)),
                ..Failure::new(loss, format!("it answered {status}"))
            });
        }
        let body = outbound::body(answer, ANSWER_MAX).await;
        // It has taken them; an answer that is not understood changes nothing.
        Ok(body
            .ok()
            .and_then(|body| Answer::decode(body.as_slice()).ok())
            .unwrap_or_default())
    }

    async fn call(
        &self,
        channel: &Channel,
        signal: Signal,
        message: &Message,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(message.bytes.clone());
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let method = PathAndQuery::from_static(signal.method());
        let mut grpc = Grpc::new(channel.clone());
        let call = async {
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(request, method, Written).await
        };
        let answer = tokio::time::timeout(self.timeout, call).await;
        let answer = answer.map_err(|_| Failure::late())?;
        answer.map(Response::into_inner).map_err(|status| {
            let broke = std::error::Error::source(&status).is_some();
            // Those that the specification wants repeated.
            let loss = match status.code() {
                // Not the collector's word: the library has no other for connections that broke.
                Code::Unknown if broke => Loss::Unreachable,
                Code::DeadlineExceeded => Loss::Timeout,
                Code::Cancelled | Code::Aborted | Code::OutOfRange => Loss::Unreachable,
                Code::ResourceExhausted | Code::Unavailable | Code::DataLoss => Loss::Unreachable,
                _ => Loss::Rejected,
            };
            Failure::new(loss, format!("{:?}: {}", status.code(), status.message()))
        })
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    files::read(path, files::PEM_MAX).map_err(|error| format!("{}: {error}", path.display()))
}

/// A certificate and its key.
type Pem = (Vec<u8>, Vec<u8>);

/// The gateway's own certificate and key, if the collector wants to see one.
fn identity(target: &Target) -> Result<Option<Pem>, String> {
    let paths = target.identity.as_ref();
    let read = paths.map(|(chain, key)| Ok((read(chain)?, read(key)?)));
    read.transpose()
}

fn channel(target: &Target) -> Result<Channel, String> {
    let wrong = |error: tonic::transport::Error| format!("{}: {error}", target.url);
    let endpoint = Endpoint::from_shared(target.url.clone()).map_err(wrong)?;
    let mut endpoint = endpoint.connect_timeout(target.timeout);
    if target.url.starts_with("https:") {
        let mut tls = ClientTlsConfig::new();
        tls = match &target.ca {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
            None => tls.with_native_roots(),
        };
        if let Some((chain, key)) = identity(target)? {
            tls = tls.identity(Identity::from_pem(chain, key));
        }
        endpoint = endpoint.tls_config(tls).map_err(wrong)?;
    }
    Ok(endpoint.connect_lazy())
}

/// gRPC's view of messages that are written already.
#[derive(Debug, Clone, Copy)]
struct Written;

impl Codec for Written {
    type Encode = Bytes;
    type Decode = Answer;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Written {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(out, message);
        Ok(())
    }
}

impl Decoder for Written {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, answer: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        // It has taken them; an answer that is not understood changes nothing.
        Ok(Some(Answer::decode(answer).unwrap_or_default()))
    }
}
