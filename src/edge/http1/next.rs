//! Waits for the next request on a connection: until a head is complete, or time is up.

use super::downstream::Http1Client;
use crate::edge::http1::request_head::{Head, Limits, Refused, Scanner};
use crate::edge::transport::drain::LAST_WORD;
use crate::reason::Reason;
use crate::snapshot::ListenerSettings;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113, section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The part of it that no request of HTTP/1 begins with, since the method is reserved for it.
const H2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

/// What reading for the next request has come to.
pub enum Next {
    Request(Head),
    H2,
    /// What began as the preface of HTTP/2 is none.
    NotH2,
    Refused(Refused),
    Closed,
}

/// Reads until a head is complete, the client is gone, or time is up: the listener's, or that of
/// a connection that must end.
pub async fn next(
    client: &mut Http1Client,
    settings: &ListenerSettings,
    first: bool,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> Next {
    let limits = Limits {
        bytes: settings.max_head,
        fields: settings.max_headers,
    };
    let mut scanner = Scanner::default();
    let mut deadline = None;
    loop {
        if !client.ahead().is_empty() {
            deadline.get_or_insert_with(|| Instant::now() + settings.header_timeout);
            let preface = match first && settings.h2c {
                true => Preface::of(client.ahead()),
                false => Preface::None,
            };
            match preface {
                Preface::Whole => return Next::H2,
                Preface::Wrong => return Next::NotH2,
                Preface::Begun => {}
                Preface::None if !settings.h1 => return Next::Refused(H1_NOT_SERVED),
                Preface::None => match scanner.scan(client.ahead(), limits) {
                    Ok(Some(head)) => return Next::Request(head),
                    Ok(None) => {}
                    Err(refused) => return Next::Refused(refused),
                },
            }
        }
        let over = over.as_mut();
        if let Some(ended) = read_more(client, settings, deadline, first, over).await {
            let begun = first && settings.h2c && client.ahead().starts_with(H2_PREFACE_LINE);
            return match ended {
                Next::Refused(_) if begun => Next::NotH2,
                ended => ended,
            };
        }
    }
}

/// `None`: there is more to look at.
async fn read_more(
    client: &mut Http1Client,
    settings: &ListenerSettings,
    deadline: Option<Instant>,
    first: bool,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> Option<Next> {
    // A half-read head is waited for, whatever the listener's phase is.
    let read = match deadline {
        Some(deadline) => poll_fn(|cx| client.poll_ahead(cx, deadline)).await,
        None => {
            let wait = match first {
                true => settings.header_timeout,
                false => settings.idle_timeout,
            };
            quiet(client, wait, over.as_mut()).await
        }
    };
    match read {
        Ok(0) => Some(Next::Closed),
        Ok(_) => None,
        Err(error) if deadline.is_some() && error.kind() == ErrorKind::TimedOut => {
            Some(Next::Refused(TOO_SLOW))
        }
        Err(_) => Some(Next::Closed),
    }
}

/// Waits for the first bytes of a head, no longer than `wait`. Once the connection must end, it is
/// given up [`LAST_WORD`] after this wait began, and not before a last look: what has arrived is
/// served.
async fn quiet(
    client: &mut Http1Client,
    wait: Duration,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<usize> {
    let since = Instant::now();
    let (until, mut last, mut looked) = (since + wait, since + LAST_WORD, false);
    poll_fn(|cx| {
        if let Poll::Ready(read) = client.poll_ahead(cx, until) {
            return Poll::Ready(read);
        }
        ready!(over.as_mut().poll(cx));
        let read = ready!(client.poll_ahead(cx, last.min(until)));
        // The runtime may not have heard yet of what the kernel has.
        if read.is_ok() || looked || client.is_quiet() {
            return Poll::Ready(read);
        }
        looked = true;
        last = Instant::now() + LAST_WORD;
        client.poll_ahead(cx, last)
    })
    .await
}

/// What the first bytes of a connection have of the HTTP/2 preface.
enum Preface {
    None,
    Begun,
    Whole,
    /// They begin as it does, and go on otherwise.
    Wrong,
}

impl Preface {
    fn of(bytes: &[u8]) -> Self {
        let length = bytes.len().min(H2_PREFACE.len());
        match bytes.get(..length) == H2_PREFACE.get(..length) {
            true if length == H2_PREFACE.len() => Self::Whole,
            true => Self::Begun,
            false if bytes.starts_with(H2_PREFACE_LINE) => Self::Wrong,
            false => Self::None,
        }
    }
}

const TOO_SLOW: Refused = Refused {
    reason: Reason::RequestTimeout,
    status: 408,
    detail: "the request head took too long",
};
const H1_NOT_SERVED: Refused = Refused {
    reason: Reason::BadRequest,
    status: 505,
    detail: "only HTTP/2 is served here",
};
