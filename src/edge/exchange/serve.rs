//! The exchange: one request from its head to its log line, in the order of `docs/how/policies.md`.

use super::context::RequestContext;
use super::deadline::Deadlines;
use super::direct_response::{self, OwnAnswer, to_options};
use super::request_body::Upload;
use super::shared::Shared;
use super::{
    admission, attempt, error_response, log, plugin_heads, policies, request_body, request_headers,
    retry,
};
use crate::config::service::UpstreamHttp;
use crate::edge::filters::grpc::{self, Call};
use crate::edge::message::{Downstream, Handler, Request};
use crate::edge::rejection::Rejection;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::reason::Reason;
use crate::routing::{Outcome, ServiceId, VersionId};
use futures::FutureExt;
use http::{Method, request::Parts};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Where a request goes after all policies have let it pass.
enum Goal {
    Own(OwnAnswer),
    Upstream(ServiceId, VersionId),
}

impl Handler for Shared {
    /// Serves one request by the snapshot that is live when it arrives. A panic costs this request
    /// alone.
    async fn serve<D: Downstream>(
        &self,
        request: &mut Request,
        downstream: &mut D,
        connection: &Arc<ConnectionInfo>,
    ) {
        let snapshot = self.current.load_full();
        let mut context = RequestContext::begin(snapshot, &self.metrics, connection);
        let answering = answer(self, request, downstream, connection, &mut context);
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        let answered = answered.unwrap_or_else(|_| {
            self.metrics.panics.fetch_add(1, Relaxed);
            Err(Reason::InternalError.into())
        });
        if let Err(rejection) = answered {
            reject(request, downstream, &mut context, rejection).await;
        }
        log::finish(&request.head, connection, &mut context);
    }
}

/// Answers a request.
async fn answer<D: Downstream>(
    shared: &Shared,
    request: &mut Request,
    downstream: &mut D,
    connection: &ConnectionInfo,
    context: &mut RequestContext,
) -> Result<(), Rejection> {
    let head = &mut request.head;
    let found = admission::admit(head, connection, context)?;
    plugin_heads::early(head, context, &found).await?;
    let outcome = policies::enforce(head, context, found).await?;
    let outcome = plugin_heads::request_head(head, context, outcome).await?;
    let target = match goal(head, context, outcome)? {
        Goal::Upstream(service, version) => (service, version),
        Goal::Own(answer) => {
            let limits = &request.limits;
            let sent = direct_response::send(downstream, head, context, answer, limits).await;
            return sent.map_err(|_| Reason::ClientClosed.into());
        }
    };
    context.attempt.target = Some(target);
    context.call = call(&request.head, context);
    context.deadlines = Deadlines::of(&request.head.headers, context);
    request_body::check_length(&request.head.headers, context)?;
    request.body = request_body::whole(request, downstream).await?;
    let mut upload = Upload::new(request.body);
    loop {
        let tried = attempt::run(request, downstream, context, &mut upload, shared).await;
        let Err(failure) = tried else {
            return Ok(());
        };
        if let Some(pause) = retry::after(failure, request, &upload, context)? {
            retry::pause(downstream, pause).await?;
        }
    }
}

/// Says where a request goes, by what was decided.
fn goal(head: &Parts, context: &RequestContext, outcome: Outcome) -> Result<Goal, Rejection> {
    let whole_server = head.uri.path() == "*";
    if whole_server || request_headers::ends_here(head) {
        if head.method == Method::TRACE {
            let what = "the request may go no further, and nothing is echoed here";
            return Err(Rejection::new(Reason::MethodNotAllowed, what));
        }
        return Ok(Goal::Own(to_options()));
    }
    match outcome {
        Outcome::Refuse(Reason::BadRequest) => Err(admission::ambiguous_path(head, context)),
        // The try refuses in its place: it knows when to come again, and may have an answer at hand.
        Outcome::Refuse(Reason::BreakerOpen) => match left_alone(context) {
            Some((service, version)) => Ok(Goal::Upstream(service, version)),
            None => Err(Reason::BreakerOpen.into()),
        },
        Outcome::Refuse(reason) => Err(reason.into()),
        Outcome::Respond | Outcome::Redirect => {
            direct_response::of_route(head, context).map(Goal::Own)
        }
        Outcome::Upstream { service, version } => Ok(Goal::Upstream(service, version)),
    }
}

/// Returns the version of the request's color, whose breaker is open.
fn left_alone(context: &RequestContext) -> Option<(ServiceId, VersionId)> {
    let service = context.route()?.service()?;
    let color = context.requested_color()?;
    let version = context.snapshot.table.version_of_color(color, service)?;
    Some((service, version))
}

/// Returns the kind of call that a request is for the version it goes to. A content type alone
/// makes none, since any client may send it: the version must speak HTTP/2, without which there is
/// no gRPC.
fn call(head: &Parts, context: &RequestContext) -> Option<Call> {
    let call = grpc::call(&head.headers)?;
    let speaks = |of: &crate::upstream::Version| of.http != UpstreamHttp::H1;
    let service = context.service()?;
    let served = service.grpc && context.version().is_some_and(speaks);
    served.then_some(call)
}

/// Answers with a rejection, where an answer can still be sent, and breaks the answer off
/// otherwise.
async fn reject<D: Downstream>(
    request: &Request,
    downstream: &mut D,
    context: &mut RequestContext,
    rejection: Rejection,
) {
    tracing::debug!(reason = rejection.reason.name(), "request rejected");
    if context.answer.is_some() || rejection.reason == Reason::ClientClosed {
        downstream.abort();
    } else {
        // A client whose body stopped may take its rest for sent: what follows would be read as
        // that rest.
        if matches!(
            rejection.reason,
            Reason::InternalError | Reason::RequestTimeout
        ) {
            downstream.close_after();
        }
        let answer = error_response::answer(&request.head, context, &rejection);
        let limits = &request.limits;
        let sent = direct_response::send(downstream, &request.head, context, answer, limits);
        if sent.await.is_err() {
            downstream.abort();
        }
    }
    context.rejection.get_or_insert(rejection);
}

#[cfg(test)]
mod tests {
    use super::{ConnectionInfo, Handler, Request, RequestContext, Shared};
    use crate::edge::http1::downstream::Http1Client;
    use std::sync::Arc;

    /// Stands for a value in code that is never run.
    fn some<T>() -> T {
        unreachable!("only its type is asked for")
    }

    fn size_of_result<F>(_: impl FnOnce() -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_exchange_is_small() {
        let exchange = size_of_result(|| {
            let (shared, client) = (some::<&Shared>(), some::<&mut Http1Client>());
            shared.serve(
                some::<&mut Request>(),
                client,
                some::<&Arc<ConnectionInfo>>(),
            )
        });
        let context = size_of::<RequestContext>();
        println!("exchange {exchange}, context {context}");
        assert!(exchange < 3 * 1024, "{exchange} bytes");
        assert!(context < 1536, "{context} bytes");
    }
}
