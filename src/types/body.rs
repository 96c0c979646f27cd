//! What both layers answer with.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A response body that is either the inner service's, untouched, or ours.
    ///
    /// It is an [`http_body::Body`] wherever `B` is one with `Data = Bytes`; nothing else is asked of the inner body, and its
    /// errors pass through unchanged. A body of ours is whole, in memory, and never fails; it is made by `.into()` from a `String`,
    /// a `&'static str` or [`Bytes`]. Without a parameter there is no inner service: `Response<Body>` is an answer of ours.
    #[derive(Debug, Clone)]
    pub struct Body<B = Nothing> {
        #[pin]
        origin: Origin<B>,
    }
}

pin_project! {
    #[project = OriginProjection]
    #[derive(Debug, Clone)]
    enum Origin<B> {
        Inner { #[pin] body: B },
        Ours { bytes: Bytes },
    }
}

/// The inner body of an answer that never comes from an inner service: there is none.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "it has no value, and never will")]
pub enum Nothing {}

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {}
    }
}

impl<B> Body<B> {
    /// Wraps the inner service's body.
    pub(crate) fn inner(body: B) -> Self {
        Self {
            origin: Origin::Inner { body },
        }
    }

    /// A body of ours.
    pub(crate) fn ours(bytes: Bytes) -> Self {
        Self {
            origin: Origin::Ours { bytes },
        }
    }
}

impl Body {
    /// What it holds.
    #[cfg(feature = "server")]
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.origin {
            Origin::Inner { body } => match body {},
            Origin::Ours { bytes } => bytes,
        }
    }
}

impl<B> Default for Body<B> {
    /// An empty body.
    fn default() -> Self {
        Self::ours(Bytes::new())
    }
}

impl<B, T: Into<Bytes>> From<T> for Body<B> {
    fn from(bytes: T) -> Self {
        Self::ours(bytes.into())
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().origin.project() {
            OriginProjection::Inner { body } => body.poll_frame(cx),
            OriginProjection::Ours { bytes } if bytes.is_empty() => Poll::Ready(None),
            OriginProjection::Ours { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.origin {
            Origin::Inner { body } => body.is_end_stream(),
            Origin::Ours { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.origin {
            Origin::Inner { body } => body.size_hint(),
            Origin::Ours { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
