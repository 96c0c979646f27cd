//! What both layers answer with.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// A response body that is either the inner service's, untouched, or ours.
    ///
    /// It is an [`http_body::Body`] wherever `B` is one with `Data = Bytes`; nothing else is asked of the inner body, and its
    /// errors pass through unchanged. A body of ours is whole, in memory, and never fails.
    #[derive(Debug, Clone)]
    pub struct Body<B> {
        #[pin]
        origin: Origin<B>,
    }
}

pin_project! {
    #[project = OriginProjection]
    #[derive(Debug, Clone)]
    enum Origin<B> {
        Inner { #[pin] body: B },
        Ours { #[pin] body: Full<Bytes> },
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
            origin: Origin::Ours {
                body: Full::new(bytes),
            },
        }
    }
}

impl<B> Default for Body<B> {
    /// An empty body.
    fn default() -> Self {
        Self::ours(Bytes::new())
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
            OriginProjection::Ours { body } => body.poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.origin {
            Origin::Inner { body } => body.is_end_stream(),
            Origin::Ours { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.origin {
            Origin::Inner { body } => body.size_hint(),
            Origin::Ours { body } => body.size_hint(),
        }
    }
}
