//! The same service behind this crate's layer and behind those of others, each as its own documentation has it.
//!
//! All check signature, issuer, audience and expiry; ours and `jwt-authorizer` ask for a scope too, ours alone asks for revocations. Keys
//! are given as they are, so that nobody fetches any. Peers read four claims.

#[path = "../../support/tokens.rs"]
pub mod tokens;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::middleware::from_extractor_with_state;
use axum_jwt_auth::{Claims as Extracted, Decoder, LocalDecoder};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use jsonwebtoken::crypto::{CryptoProvider, aws_lc};
use jsonwebtoken::{Algorithm, DecodingKey};
use jwt_authorizer::{AuthError, IntoLayer as _, JwtAuthorizer};
use serde::Deserialize;
use serde_json::json;
use tower::{Layer as _, Service};
use tower_oauth::ResourceServer;
use tower_oauth::types::Body;
use tower_oauth2_resource_server::server::OAuth2ResourceServer;
use tower_oauth2_resource_server::tenant::TenantConfiguration;
use tower_oauth2_resource_server::validation::ClaimsValidationSpec;

use crate::tokens::{API, AS, Key, SCOPE, finished};

pub mod verdicts;

/// What a handler wants to know.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    pub sub: String,
    pub client_id: String,
    pub scope: String,
    pub exp: u64,
}

/// The service that is protected: it says hello, in whatever type the layer around it asks for.
pub struct Hello<A = Response<Full<Bytes>>>(PhantomData<fn() -> A>);

impl<A> Hello<A> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A> Default for Hello<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> Clone for Hello<A> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<A: From<Response<Full<Bytes>>>, B> Service<Request<B>> for Hello<A> {
    type Response = A;
    type Error = Infallible;
    type Future = Ready<Result<A, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::from("{\"hello\":true}")).into()))
    }
}

/// What any of them can be asked.
pub trait Serves<B, R>:
    Service<Request<B>, Response = R, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S, B, R> Serves<B, R> for S where
    S: Service<Request<B>, Response = R, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// The layer of this crate with its defaults, and one scope.
pub fn ours<B: Send + 'static>(
    api: &ResourceServer,
) -> impl Serves<B, Response<Body<Body<Full<Bytes>>>>> + use<B> {
    api.layer().layer(
        api.require(SCOPE)
            .layer(Hello::<Response<Full<Bytes>>>::new()),
    )
}

/// `jwt-authorizer` over `jsonwebtoken` 9, whose only cryptography is `ring`.
pub fn jwt_authorizer<B: Send + 'static>(key: &Key) -> impl Serves<B, Answer> + use<B> {
    let validation = jwt_authorizer::Validation::new().iss(&[AS]).aud(&[API]);
    let authorizer = JwtAuthorizer::<Claims>::from_jwks_text(&key_set(key))
        .validation(validation)
        .check(|claims| claims.scope.split(' ').any(|scope| scope == SCOPE));
    let layer = finished(authorizer.build()).unwrap().into_layer();
    layer.layer(Hello::<Answer>::new())
}

/// An answer that can be made of the errors of `jwt-authorizer`, which knows axum's before 0.8 alone.
pub struct Answer(pub Response<Full<Bytes>>);

impl From<Response<Full<Bytes>>> for Answer {
    fn from(answer: Response<Full<Bytes>>) -> Self {
        Self(answer)
    }
}

impl From<AuthError> for Answer {
    fn from(_: AuthError) -> Self {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        Self(answer)
    }
}

/// `tower-oauth2-resource-server` over `jsonwebtoken` 11 with `aws-lc-rs`, around this service.
pub fn tower_oauth2<S, B>(key: &Key, inner: S) -> impl Serves<B, S::Response> + use<S, B>
where
    S: Serves<B, Response<Full<Bytes>>>,
    B: Send + 'static,
{
    let checks = ClaimsValidationSpec::recommended(AS, &vec![API.to_owned()]);
    let tenant = TenantConfiguration::static_builder(key_set(key))
        .claims_validation(checks)
        .build()
        .unwrap();
    let server = OAuth2ResourceServer::<Claims>::builder().add_tenant(tenant);
    finished(server.build()).unwrap().into_layer().layer(inner)
}

/// `axum-jwt-auth` over `jsonwebtoken` 10. It is an extractor, and axum makes a layer of it.
///
/// It turns `rust_crypto` on, and this package `aws_lc_rs`, which is several times as fast. With both, `jsonwebtoken` panics unless it is told
/// which to take.
pub fn axum_jwt_auth<B: Send + 'static>(
    key: &Key,
) -> impl Serves<B, Response<axum::body::Body>> + use<B> {
    // It can be told once; after that it is as it should be.
    let _ = CryptoProvider::install_default(&aws_lc::DEFAULT_PROVIDER);
    let jwk = serde_json::from_value(key.jwk.clone()).unwrap();
    let keys = vec![DecodingKey::from_jwk(&jwk).unwrap()];
    let algorithm: Algorithm = key.alg.parse().unwrap();
    let mut validation = jsonwebtoken::Validation::new(algorithm);
    validation.set_audience(&[API]);
    validation.set_issuer(&[AS]);
    let decoder: Decoder<Claims> = Arc::new(LocalDecoder::new(keys, validation).unwrap());
    from_extractor_with_state::<Extracted<Claims>, _>(decoder)
        .layer(Hello::<Response<Full<Bytes>>>::new())
}

fn key_set(key: &Key) -> String {
    json!({"keys": [key.jwk]}).to_string()
}

/// The middle one; of an even number, the upper of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
