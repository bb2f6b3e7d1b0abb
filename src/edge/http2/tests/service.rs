//! What stands in for the exchange: services by path, which tell what they see.

use super::pattern;
use crate::edge::http1::request_head::Refused;
use crate::edge::message::{ClientError, Downstream, Frame, Handler, Length, Request};
use crate::edge::transport::connection_info::ConnectionInfo;
use bytes::Bytes;
use http::{HeaderMap, Response, request, response};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

pub const LARGE: usize = 8 << 20;
pub const CHUNK: usize = 32 << 10;

#[derive(Debug)]
pub enum Event {
    Request(Box<request::Parts>, Length),
    Refused(u16),
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    Failed(ClientError),
    /// A part of a large answer has been queued.
    Queued,
    Sent(u64),
}

impl Event {
    pub fn data(self) -> Bytes {
        match self {
            Self::Data(data) => data,
            other => panic!("{other:?}"),
        }
    }

    pub fn failed(self) -> ClientError {
        match self {
            Self::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

pub struct Service {
    pub events: UnboundedSender<Event>,
    pub gate: Arc<Notify>,
}

impl Handler for Service {
    async fn serve<D: Downstream>(
        &self,
        request: &mut Request,
        downstream: &mut D,
        _: &Arc<ConnectionInfo>,
    ) {
        let path = request.head.uri.path().to_owned();
        if let Some(refused) = request.head.extensions.get::<Refused>() {
            self.tell(Event::Refused(refused.status));
            let answer = head(refused.status, &[]);
            let _ = downstream.send_head(answer, Length::None);
            return;
        }
        let offered = request.websocket;
        self.tell(Event::Request(Box::new(request.head.clone()), request.body));
        let served = match path.as_str() {
            "/ws" if offered => self.websocket(downstream).await,
            "/echo" => echo(downstream).await,
            "/parts" => self.parts(downstream).await,
            "/hold" => self.hold(downstream).await,
            "/large" => self.large(downstream).await,
            "/wait" => Err(poll_fn(|cx| downstream.poll_gone(cx)).await),
            "/early" => answer(downstream, head(413, &[]), b"too large").await,
            "/cut" => cut(downstream).await,
            "/abort" => cut(downstream).await.map(|()| downstream.abort()),
            "/panic" => panic!("as asked"),
            "/interim" => interim(downstream).await,
            "/late" => {
                self.gate.notified().await;
                interim(downstream).await
            }
            "/bodiless" => bodiless(downstream),
            "/fields" => fields(downstream),
            "/trailers" => trailers(downstream).await,
            _ => answer(downstream, head(200, &[]), path.as_bytes()).await,
        };
        match served {
            Ok(()) => self.tell(Event::Sent(downstream.taken())),
            Err(error) => self.tell(Event::Failed(error)),
        }
    }
}

impl Service {
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Tells each part of the body, and answers at its end.
    async fn parts<D: Downstream>(&self, downstream: &mut D) -> Result<(), ClientError> {
        loop {
            match poll_fn(|cx| downstream.poll_frame(cx)).await? {
                Some(Frame::Data(data)) => self.tell(Event::Data(data)),
                Some(Frame::Trailers(trailers)) => self.tell(Event::Trailers(trailers)),
                None => break,
            }
        }
        assert!(downstream.is_read());
        self.tell(Event::End);
        downstream.send_head(head(200, &[]), Length::None)
    }

    /// Keeps the first part of the body until the gate opens.
    async fn hold<D: Downstream>(&self, downstream: &mut D) -> Result<(), ClientError> {
        if let Some(Frame::Data(data)) = poll_fn(|cx| downstream.poll_frame(cx)).await? {
            self.tell(Event::Data(data));
            self.gate.notified().await;
        }
        self.parts(downstream).await
    }

    async fn large<D: Downstream>(&self, downstream: &mut D) -> Result<(), ClientError> {
        let body = pattern(LARGE);
        downstream.send_head(head(200, &[]), Length::Exact(body.len() as u64))?;
        for at in (0..body.len()).step_by(CHUNK) {
            poll_fn(|cx| downstream.poll_ready(cx)).await?;
            downstream.send_data(body.slice(at..at + CHUNK))?;
            self.tell(Event::Queued);
        }
        end(downstream, None).await
    }

    async fn websocket<D: Downstream>(&self, downstream: &mut D) -> Result<(), ClientError> {
        assert!(downstream.is_read());
        assert!(poll_fn(|cx| downstream.poll_frame(cx)).await?.is_none());
        let fields = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "x"),
            ("sec-websocket-protocol", "chat"),
        ];
        downstream.switch(head(101, &fields))?;
        flush(downstream).await?;
        while let Some(frame) = poll_fn(|cx| downstream.poll_frame(cx)).await? {
            let Frame::Data(data) = frame else { break };
            self.tell(Event::Data(data.clone()));
            send(downstream, data).await?;
            flush(downstream).await?;
        }
        self.tell(Event::End);
        end(downstream, None).await
    }
}

pub fn head(status: u16, fields: &[(&'static str, &'static str)]) -> response::Parts {
    let mut answer = Response::builder().status(status);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    answer.body(()).unwrap().into_parts().0
}

async fn send<D: Downstream>(downstream: &mut D, data: Bytes) -> Result<(), ClientError> {
    poll_fn(|cx| downstream.poll_ready(cx)).await?;
    downstream.send_data(data)
}

async fn flush<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    poll_fn(|cx| downstream.poll_flush(cx)).await
}

async fn end<D: Downstream>(
    downstream: &mut D,
    trailers: Option<HeaderMap>,
) -> Result<(), ClientError> {
    downstream.send_end(trailers)?;
    flush(downstream).await
}

async fn answer<D: Downstream>(
    downstream: &mut D,
    head: response::Parts,
    body: &[u8],
) -> Result<(), ClientError> {
    downstream.send_head(head, Length::Exact(body.len() as u64))?;
    downstream.send_data(Bytes::copy_from_slice(body))?;
    end(downstream, None).await
}

async fn echo<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    downstream.send_head(head(200, &[]), Length::Unknown)?;
    while let Some(frame) = poll_fn(|cx| downstream.poll_frame(cx)).await? {
        match frame {
            Frame::Data(data) => {
                send(downstream, data).await?;
                // Lets go only of what waits, as an exchange does.
                let flushed = poll_fn(|cx| Poll::Ready(downstream.poll_flush(cx))).await;
                if let Poll::Ready(flushed) = flushed {
                    flushed?;
                }
            }
            Frame::Trailers(trailers) => return end(downstream, Some(trailers)).await,
        }
    }
    end(downstream, None).await
}

async fn cut<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    downstream.send_head(head(200, &[]), Length::Unknown)?;
    send(downstream, Bytes::from_static(b"begun")).await?;
    flush(downstream).await
}

async fn interim<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    downstream.send_interim(head(100, &[]))?;
    downstream.send_interim(head(103, &[("link", "</a>"), ("connection", "close")]))?;
    downstream.send_interim(head(101, &[("upgrade", "x")]))?;
    answer(downstream, head(200, &[]), b"final").await
}

fn bodiless<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    downstream.send_head(head(200, &[("content-length", "5")]), Length::None)?;
    downstream.send_data(Bytes::from_static(b"stray"))?;
    downstream.send_end(None)
}

fn fields<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    let fields = [
        ("connection", "keep-alive, x"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
        ("content-length", "0"),
        ("x-own", "1"),
    ];
    downstream.send_head(head(204, &fields), Length::None)
}

async fn trailers<D: Downstream>(downstream: &mut D) -> Result<(), ClientError> {
    downstream.send_head(head(200, &[]), Length::Unknown)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("connection", "close".parse().unwrap());
    end(downstream, Some(trailers)).await
}
