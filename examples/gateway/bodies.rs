//! Bodies that stream, in both directions, and do not stand still forever. Trailers belong to one connection and stay here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use crate::Failure;

/// The body of an answer.
pub(crate) type Answer = UnsyncBoxBody<Bytes, Failure>;

/// How far the body of a request has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Told of each piece.
    pub(crate) moved: Notify,
    /// The client has not sent the next piece yet.
    pub(crate) awaits_client: AtomicBool,
    /// The client has broken off, or has sent what is no body.
    pub(crate) is_broken: AtomicBool,
}

/// The body of a request, on its way to the upstream.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) body: Incoming,
    pub(crate) progress: Arc<Progress>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let progress = &self.progress;
        progress
            .awaits_client
            .store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        progress.moved.notify_one();
        if let Some(Err(_)) = &frame {
            progress.is_broken.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame.filter(is_data))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, on its way to the client.
#[derive(Debug)]
pub(crate) struct Received {
    body: Incoming,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
    is_silent: bool,
}

impl Received {
    /// A body whose upstream may be silent for so long, while somebody waits for it.
    pub(crate) fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            patience,
            silence: Box::pin(sleep(patience)),
            is_silent: false,
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.is_silent = false;
            return Poll::Ready(frame.filter(is_data).map(|frame| frame.map_err(Into::into)));
        }
        if !self.is_silent {
            let until = Instant::now() + self.patience;
            self.silence.as_mut().reset(until);
            self.is_silent = true;
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Some(Err("the upstream fell silent".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn is_data(frame: &Result<Frame<Bytes>, hyper::Error>) -> bool {
    frame.as_ref().map_or(true, Frame::is_data)
}
