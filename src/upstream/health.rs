//! Active checks: each endpoint of a service with `health` is asked on schedule, with jitter, and
//! is believed after so many answers in a row.

use super::cause::{Cause, Kind};
use super::endpoint::{EndpointState, Health};
use super::reach;
use crate::config::upkeep::{Health as Config, HealthKind};
use crate::tls::UpstreamTls;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Weak};
use tokio::time::{sleep, timeout};

/// Most bytes of a check's answer that are looked at.
const ANSWER_MAX: usize = 4096;

/// Checks an endpoint until nobody uses it or the guard is dropped.
pub fn spawn(
    endpoint: &Arc<EndpointState>,
    config: &Arc<Config>,
    tls: Option<&Arc<UpstreamTls>>,
) -> Checking {
    let checks = keep_checking(Arc::downgrade(endpoint), config.clone(), tls.cloned());
    Checking(tokio::spawn(checks).abort_handle())
}

/// Checks in progress; they end when it is dropped.
#[derive(Debug)]
pub struct Checking(tokio::task::AbortHandle);

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers in a row, and what follows from them. Pure, so that it is tested without a clock.
#[derive(Debug, Default)]
struct Row {
    passed: u32,
    failed: u32,
}

impl Row {
    /// What the endpoint is after one more answer; `None`: what it was.
    fn after(&mut self, passed: bool, before: Health, config: &Config) -> Option<Health> {
        if passed {
            (self.passed, self.failed) = (self.passed + 1, 0);
        } else {
            (self.passed, self.failed) = (0, self.failed + 1);
        }
        // The first answer counts at once: there is no earlier one to be doubted.
        let first = matches!(before, Health::Assumed | Health::Awaited) && passed;
        if first || self.passed >= config.healthy_after.max(1) {
            Some(Health::Healthy)
        } else if self.failed >= config.unhealthy_after.max(1) {
            Some(Health::Unhealthy)
        } else {
            None
        }
    }
}

async fn keep_checking(
    endpoint: Weak<EndpointState>,
    config: Arc<Config>,
    tls: Option<Arc<UpstreamTls>>,
) {
    let mut row = Row::default();
    // Spread over the first tenth, so that a thousand endpoints are not asked at one moment.
    sleep(config.every.mul_f64(fastrand::f64() * 0.1)).await;
    loop {
        let Some(current) = endpoint.upgrade() else {
            return;
        };
        let result = timeout(config.timeout, check(&current, &config, tls.as_deref()))
            .await
            .unwrap_or(Err(Kind::Timeout.into()));
        current.series().checked(result);
        if let Some(health) = row.after(result.is_ok(), current.health(), &config) {
            current.checked(health, result.err().map(|cause| (cause, row.failed)));
        }
        drop(current);
        sleep(config.every.mul_f64(0.95 + fastrand::f64() * 0.1)).await;
    }
}

/// Asks once.
///
/// # Errors
/// Why the check has failed.
async fn check(
    endpoint: &EndpointState,
    config: &Config,
    tls: Option<&UpstreamTls>,
) -> Result<(), Cause> {
    let answered = match (config.kind, &config.path) {
        (HealthKind::Tcp, _) | (HealthKind::Auto, None) => {
            let connected = reach::connect(endpoint).await;
            return connected.map(drop).map_err(|error| Cause::of(&error));
        }
        (HealthKind::Http | HealthKind::Auto, path) => {
            http(endpoint, path.as_deref().unwrap_or("/"), config, tls).await
        }
        (HealthKind::Grpc, _) => grpc(endpoint, config, tls).await,
    };
    // What the answer says, or why there is none.
    answered.unwrap_or_else(|error| Err(Cause::of(error.as_ref())))
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn http(
    endpoint: &EndpointState,
    path: &str,
    config: &Config,
    tls: Option<&UpstreamTls>,
) -> Result<Result<(), Cause>, Failed> {
    let stream = reach::connect_as_traffic(endpoint, tls, b"http/1.1").await?;
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let _ended = Checking(tokio::spawn(connection).abort_handle());
    let host = config.host.as_deref().unwrap_or(endpoint.authority());
    let request = http::Request::get(path)
        .header("host", host)
        .header("user-agent", "tyrian-health")
        .header("connection", "close")
        .body(String::new())?;
    let status = client.send_request(request).await?.status().as_u16();
    let mut good = config.statuses.iter();
    let passes = good.any(|range| (range.0..=range.1).contains(&status));
    Ok(passes.then_some(()).ok_or(Cause::http(status)))
}

/// `grpc.health.v1.Health/Check` over HTTP/2: SERVING passes.
async fn grpc(
    endpoint: &EndpointState,
    config: &Config,
    tls: Option<&UpstreamTls>,
) -> Result<Result<(), Cause>, Failed> {
    let stream = reach::connect_as_traffic(endpoint, tls, b"h2").await?;
    let (mut client, connection) = h2::client::handshake(stream).await?;
    let _ended = Checking(tokio::spawn(connection).abort_handle());
    let service = config.host.as_deref().unwrap_or("");
    let (scheme, host) = (tls.map_or("http", |_| "https"), endpoint.host());
    let request = http::Request::post(format!("{scheme}://{host}/grpc.health.v1.Health/Check"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut body) = client.send_request(request, false)?;
    body.send_data(health_request(service).into(), true)?;
    let answer = answer.await?;
    if answer.status() != http::StatusCode::OK {
        return Ok(Err(Cause::http(answer.status().as_u16())));
    }
    // An answer of trailers alone has its status in the head.
    if let Some(status) = grpc_status(answer.headers()) {
        return Ok(Err(Cause::grpc(status)));
    }
    let mut answer = answer.into_body();
    let mut message = Vec::new();
    while let Some(chunk) = answer.data().await {
        let chunk = chunk?;
        answer.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
        if message.len() > ANSWER_MAX {
            return Ok(Err(Kind::NotServing.into()));
        }
    }
    // HealthCheckResponse { status = 1: SERVING (1) }, behind five bytes of gRPC framing.
    if message.get(5..) == Some(&[0x08, 0x01]) {
        return Ok(Ok(()));
    }
    let trailers = answer.trailers().await?;
    let status = trailers.and_then(|trailers| grpc_status(&trailers));
    Ok(Err(status.map_or(Kind::NotServing.into(), Cause::grpc)))
}

/// Returns a gRPC status that is not OK.
fn grpc_status(fields: &http::HeaderMap) -> Option<u8> {
    let status = fields.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    (status != 0).then_some(status)
}

/// `HealthCheckRequest { service = 1 }` in gRPC framing.
fn health_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.extend([0x0a, service.len().min(127) as u8]);
        message.extend(service.bytes().take(127));
    }
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

#[cfg(test)]
mod tests {
    use super::{Config, Health, HealthKind, Row};
    use std::time::Duration;

    fn config() -> Config {
        Config {
            kind: HealthKind::Tcp,
            path: None,
            host: None,
            statuses: Vec::new(),
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }

    #[test]
    fn so_many_answers_in_a_row_count() {
        let mut row = Row::default();
        let mut health = Health::Assumed;
        let mut seen = Vec::new();
        for passed in [true, false, false, true, false, false, false, true, true] {
            if let Some(found) = row.after(passed, health, &config()) {
                health = found;
            }
            seen.push(health == Health::Healthy);
        }
        assert_eq!(
            seen,
            [true, true, true, true, true, true, false, false, true]
        );
    }

    #[test]
    fn an_awaited_endpoint_needs_one_good_answer() {
        let mut row = Row::default();
        assert_eq!(row.after(false, Health::Awaited, &config()), None);
        assert_eq!(
            row.after(true, Health::Awaited, &config()),
            Some(Health::Healthy)
        );
    }
}
