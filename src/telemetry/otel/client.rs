//! Sends messages to a collector: OTLP over HTTP with protobuf, or over gRPC.

use super::Loss;
use super::target::Target;
use crate::config::traces::Protocol;
use crate::outbound;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::io::Write;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

/// Largest answer that is read.
const ANSWER_MAX: usize = 64 * 1024;
/// Longest pause that a collector may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A collector. Connects when there is something to send, and again when that broke.
#[derive(Debug)]
pub enum Client {
    Http {
        client: reqwest::Client,
        target: Target,
    },
    Grpc {
        channel: Channel,
        target: Target,
    },
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
        let target = target.clone();
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let identity = target.identity.as_ref();
        let identity = identity.map(|(chain, key)| Ok::<_, String>((read(chain)?, read(key)?)));
        let identity = identity.transpose()?;
        match target.protocol {
            Protocol::HttpProtobuf => {
                let client = outbound::client_as(target.timeout, target.ca.as_deref(), identity)?;
                Ok(Self::Http { client, target })
            }
            Protocol::Grpc => {
                let endpoint = Endpoint::from_shared(target.url.clone())
                    .map_err(|error| format!("{}: {error}", target.url))?;
                let mut endpoint = endpoint.connect_timeout(target.timeout);
                if target.url.starts_with("https:") {
                    let mut tls = ClientTlsConfig::new();
                    tls = match &target.ca {
                        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
                        None => tls.with_native_roots(),
                    };
                    if let Some((chain, key)) = identity {
                        tls = tls.identity(Identity::from_pem(chain, key));
                    }
                    endpoint = endpoint
                        .tls_config(tls)
                        .map_err(|error| format!("{}: {error}", target.url))?;
                }
                let channel = endpoint.connect_lazy();
                Ok(Self::Grpc { channel, target })
            }
        }
    }

    /// Sends spans; returns how many of them the collector did not want.
    ///
    /// # Errors
    /// When none were taken.
    pub async fn traces(&self, message: &ExportTraceServiceRequest) -> Result<u64, Failure> {
        let partial = match self {
            Self::Http { client, target } => {
                let answer: ExportTraceServiceResponse = post(client, target, message).await?;
                answer.partial_success
            }
            Self::Grpc { channel, target } => {
                let mut client = TraceServiceClient::new(channel.clone());
                let call = client.export(request(target, message.clone()));
                within(target, call).await?.partial_success
            }
        };
        Ok(partial.map_or(0, |partial| partial.rejected_spans.unsigned_abs()))
    }

    /// Sends metrics; returns how many points the collector did not want.
    ///
    /// # Errors
    /// When none were taken.
    pub async fn metrics(&self, message: &ExportMetricsServiceRequest) -> Result<u64, Failure> {
        let partial = match self {
            Self::Http { client, target } => {
                let answer: ExportMetricsServiceResponse = post(client, target, message).await?;
                answer.partial_success
            }
            Self::Grpc { channel, target } => {
                let mut client = MetricsServiceClient::new(channel.clone());
                let call = client.export(request(target, message.clone()));
                within(target, call).await?.partial_success
            }
        };
        Ok(partial.map_or(0, |partial| partial.rejected_data_points.unsigned_abs()))
    }
}

async fn post<A: Message + Default>(
    client: &reqwest::Client,
    target: &Target,
    message: &impl Message,
) -> Result<A, Failure> {
    let mut body = message.encode_to_vec();
    let mut request = client
        .post(&target.url)
        .timeout(target.timeout)
        .headers(target.headers.iter().cloned().collect())
        .header(header::CONTENT_TYPE, "application/x-protobuf");
    if target.gzip {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        if packed.write_all(&body).is_ok()
            && let Ok(packed) = packed.finish()
        {
            body = packed;
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
    }
    let answer = request.body(body).send().await.map_err(|error| {
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
        .and_then(|body| A::decode(body.as_slice()).ok())
        .unwrap_or_default())
}

fn request<M>(target: &Target, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let headers: HeaderMap = target.headers.iter().cloned().collect();
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

async fn within<A>(
    target: &Target,
    call: impl Future<Output = Result<tonic::Response<A>, Status>>,
) -> Result<A, Failure> {
    let answer = tokio::time::timeout(target.timeout, call).await;
    let answer = answer.map_err(|_| Failure::late())?;
    answer.map(tonic::Response::into_inner).map_err(|status| {
        // Those that the specification wants repeated.
        let loss = match status.code() {
            Code::DeadlineExceeded => Loss::Timeout,
            Code::Cancelled | Code::Aborted | Code::OutOfRange => Loss::Unreachable,
            Code::ResourceExhausted | Code::Unavailable | Code::DataLoss => Loss::Unreachable,
            _ => Loss::Rejected,
        };
        Failure::new(loss, format!("{:?}: {}", status.code(), status.message()))
    })
}
