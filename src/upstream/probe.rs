//! Brings endpoints back: one that refused a connection is probed until it accepts one.
//!
//! A refused or timed-out connection takes an endpoint out at once, so that its siblings, or the
//! default version, serve the very request that found out. The probe starts soon and slows down,
//! so that a restart costs a fraction of a second and a dead host costs little.

use super::Cause;
use super::endpoint::EndpointState;
use super::reach;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Pause before the first probe; each further one doubles it.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two probes.
const LONGEST: Duration = Duration::from_secs(2);
/// Longest wait for one connection.
const CONNECT: Duration = Duration::from_secs(1);

/// Takes `endpoint` out and probes it in the background until it is back or nobody uses it.
pub fn take_out(endpoint: &Arc<EndpointState>, cause: Cause) {
    if endpoint.mark_down(cause) {
        tokio::spawn(bring_back(Arc::downgrade(endpoint)));
    }
}

async fn bring_back(endpoint: Weak<EndpointState>) {
    let mut pause = FIRST;
    loop {
        // Jitter keeps many gateways from knocking at the same moment.
        sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        let Some(endpoint) = endpoint.upgrade() else {
            return;
        };
        if accepts(&endpoint).await {
            endpoint.mark_up();
            return;
        }
        pause = (pause * 2).min(LONGEST);
    }
}

async fn accepts(endpoint: &EndpointState) -> bool {
    matches!(timeout(CONNECT, reach::connect(endpoint)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::take_out;
    use crate::upstream::Endpoint;
    use crate::upstream::cause::Kind;
    use crate::upstream::endpoint_set::{Member, Rules};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_endpoint_comes_back_once_it_accepts_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let member = Member::at(address.to_string(), 1);
        let endpoint = Endpoint::build(&Rules::plain(), &member, None);
        take_out(&endpoint.state, Kind::ConnectRefused.into());
        assert!(!endpoint.state.available());
        let _listener = TcpListener::bind(address).await.unwrap();
        while !endpoint.state.available() {
            tokio::task::yield_now().await;
        }
    }
}
