//! What a user would write around a layer that keeps no verdicts: a cache of them, for a minute.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_util::future::Either;
use http::Request;
use http::header::AUTHORIZATION;
use moka::sync::Cache;
use tower::Service;

use crate::Claims;

pub type Verdicts = Cache<String, Arc<Claims>>;

pub fn verdicts() -> Verdicts {
    Cache::builder()
        .max_capacity(10_000)
        .time_to_live(Duration::from_secs(60))
        .build()
}

fn token<B>(request: &Request<B>) -> Option<&str> {
    request
        .headers()
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// Asks the cache first, and the peer if the token is not in it.
#[derive(Clone)]
pub struct Cached<P, S> {
    pub verdicts: Verdicts,
    pub peer: P,
    pub inner: S,
}

impl<P, S, B> Service<Request<B>> for Cached<P, S>
where
    P: Service<Request<B>>,
    S: Service<Request<B>, Response = P::Response, Error = P::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, P::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let known = token(&request).and_then(|token| self.verdicts.get(token));
        match known.filter(|claims| now < claims.exp) {
            Some(claims) => {
                request.extensions_mut().insert(claims);
                Either::Left(self.inner.call(request))
            }
            None => Either::Right(self.peer.call(request)),
        }
    }
}

/// Inside of the peer: whatever comes here was let through.
#[derive(Clone)]
pub struct Remember<S> {
    pub verdicts: Verdicts,
    pub inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Remember<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let claims = request.extensions_mut().remove::<Claims>().map(Arc::new);
        if let (Some(token), Some(claims)) = (token(&request), claims) {
            self.verdicts.insert(token.to_owned(), Arc::clone(&claims));
            request.extensions_mut().insert(claims);
        }
        self.inner.call(request)
    }
}
