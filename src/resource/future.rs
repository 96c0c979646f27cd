//! The future of the layers: written by hand, because a request whose token is known must not wait, box or clone.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Refusal;
use super::check::Verdict;
use super::layer::BearerLayer;
use super::validator::BoxFuture;
use crate::types::Body;

pin_project! {
    /// The answer of [`Bearer`](super::Bearer) and [`Require`](super::Require).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, ReqBody>,
    }
}

pin_project! {
    #[project = Stage]
    enum State<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Forward { #[pin] inner: S::Future },
        // Boxed: rare beside the first, which is moved about as often as the stack is deep, and should be no larger than it must.
        Wait { verdict: BoxFuture<Verdict>, parked: Option<Box<Parked<S, ReqBody>>> },
        Ours { response: Option<Box<Response<Bytes>>> },
    }
}

/// A request that waits for its verdict, and the very service that was polled ready for it.
pub(crate) struct Parked<S, ReqBody> {
    pub(crate) service: S,
    pub(crate) request: Request<ReqBody>,
    pub(crate) layer: BearerLayer,
}

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(crate) fn forward(inner: S::Future) -> Self {
        Self {
            state: State::Forward { inner },
        }
    }

    pub(crate) fn wait(verdict: BoxFuture<Verdict>, parked: Parked<S, ReqBody>) -> Self {
        Self {
            state: State::Wait {
                verdict,
                parked: Some(Box::new(parked)),
            },
        }
    }

    pub(crate) fn ours(response: Response<Bytes>) -> Self {
        Self {
            state: State::Ours {
                response: Some(Box::new(response)),
            },
        }
    }
}

/// RFC 9110 §9.3.2: HEAD is answered without a body, and not every server takes one away.
pub(crate) fn for_method(method: &Method, mut response: Response<Bytes>) -> Response<Bytes> {
    if method == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Output = Result<Response<Body<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Stage::Forward { inner } => {
                    return inner.poll(cx).map_ok(|response| response.map(Body::inner));
                }
                // Taken once; a future that is polled after its end never ends again.
                Stage::Ours { response } => {
                    return response.take().map_or(Poll::Pending, |response| {
                        Poll::Ready(Ok(response.map(Body::ours)))
                    });
                }
                Stage::Wait { verdict, parked } => {
                    let verdict = ready!(verdict.as_mut().poll(cx));
                    let Some(parked) = parked.take() else {
                        return Poll::Pending;
                    };
                    parked.decide(verdict)
                }
            };
            state.set(next);
        }
    }
}

impl<S, ReqBody> Parked<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn decide(mut self, verdict: Verdict) -> State<S, ReqBody> {
        match verdict {
            Ok(token) => {
                self.layer.admit(&mut self.request, Some(token));
                State::Forward {
                    inner: self.service.call(self.request),
                }
            }
            Err(refusal) => State::Ours {
                response: Some(Box::new(self.refuse(refusal))),
            },
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        self.layer.refuse(&self.request, refusal)
    }
}

impl<S, ReqBody> std::fmt::Debug for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
