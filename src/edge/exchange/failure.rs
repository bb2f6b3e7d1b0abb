//! Why a try has failed.

use super::deadline::Late;
use crate::edge::message::{ClientError, UpstreamError};
use crate::edge::rejection::Rejection;
use crate::edge::transport::ConnectError;

/// Why a try has failed.
#[derive(Debug)]
pub enum Failure {
    /// The request may go no further.
    Rejected(Rejection),
    /// There is no connection.
    Connect(ConnectError),
    /// A kept connection ended, maybe before the upstream saw the request (RFC 9112, section
    /// 9.3.1).
    Reused,
    Upstream(UpstreamError),
    /// The answer's status is one that another try may mend.
    Status,
    Client(ClientError),
    Late(Late),
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl Failure {
    /// An answer that the gateway does not pass on.
    pub const fn malformed(what: &'static str) -> Self {
        Self::Upstream(UpstreamError::Malformed(what))
    }
}
