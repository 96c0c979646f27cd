//! Tokens that their issuer is asked about (RFC 7662): one request, and what its answer means.
//!
//! What is known is kept, and one question asked once, by what is around this.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use super::admission::Admission;
use super::advice::Advice;
use super::breaker::Breaker;
use super::client_auth::Credentials;
use super::endpoint::Endpoint;
use super::issuer::Surroundings;
use super::validator::{Facts, NotActive, TokenFacts, Unavailable, Validator};
use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::protocol::introspected::{self, Active, Introspected, Tolerance};
use crate::types::{Audience, EndpointUrl, IssuerUrl, Timestamp};

/// The longest answer that is read.
const LONGEST: usize = 64 * 1024;

/// No longer is it left alone because of a 429, whatever it asks for: a stranger's questions may have brought it about.
const LONGEST_FOR_TOO_MANY: Duration = Duration::from_secs(30);

/// The least and the most that is waited before the second attempt, in milliseconds: those whose first failed together should not try
/// again together.
const JITTER: (u64, u64) = (50, 250);

/// The one reason that a setting takes away, and names.
const NO_AUDIENCE: &str =
    "the issuer does not say whom it is meant for (dangerous_assume_audience takes it)";

/// How much an issuer is asked.
pub(crate) struct Limits {
    /// For all that it takes to learn of one token.
    pub(crate) timeout: Duration,
    pub(crate) calls: usize,
}

/// Asks an issuer about its tokens.
pub(crate) struct Introspection {
    issuer: IssuerUrl,
    endpoint: Endpoint,
    credentials: Credentials,
    surroundings: Surroundings,
    timeout: Duration,
    tolerance: Tolerance,
    assumed_audience: Option<Audience>,
    admission: Admission,
    breaker: Mutex<Breaker>,
    /// Whether the last answer said that our credentials are wrong.
    unwelcome: AtomicBool,
    advice: Advice,
}

impl Introspection {
    pub(crate) fn new(
        issuer: IssuerUrl,
        (endpoint, credentials): (Endpoint, Credentials),
        (limits, surroundings): (Limits, Surroundings),
    ) -> Self {
        Self {
            issuer,
            endpoint,
            credentials,
            surroundings,
            timeout: limits.timeout,
            tolerance: Tolerance::default(),
            assumed_audience: None,
            admission: Admission::new(limits.calls),
            breaker: Mutex::default(),
            unwelcome: AtomicBool::new(false),
            advice: Advice::default(),
        }
    }

    /// What is taken from an issuer that says too little, or says it in another form.
    pub(crate) fn reading(mut self, tolerance: Tolerance, audience: Option<Audience>) -> Self {
        self.tolerance = tolerance;
        self.assumed_audience = audience;
        self
    }

    fn now(&self) -> Timestamp {
        self.surroundings.clock.now()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One question, within the limits.
    async fn introspect(&self, token: &OwnedToken) -> Result<Introspected, Unavailable> {
        let left_alone =
            || Unavailable::new("the issuer has failed, and is left alone for a while");
        if self.breaker().blocks(self.now()) {
            return Err(left_alone());
        }
        let Some(place) = self.admission.place(token) else {
            return Err(Unavailable::new("too many wait for the issuer already"));
        };
        let mut end = self.surroundings.clock.sleep(self.timeout);
        let _call = tokio::select! {
            call = place.turn() => call.map_err(Unavailable::new)?,
            // The other half is for the answer: an issuer is not down because its turn came late.
            () = self.surroundings.clock.sleep(self.timeout / 2) => {
                return Err(Unavailable::new("others waited for the issuer all the time"));
            }
        };
        if !self.breaker().lets_through(self.now()) {
            return Err(left_alone());
        }
        let answer = tokio::select! {
            answer = self.ask(token) => answer,
            () = &mut end => Err(Failure::down(Unavailable::new("no answer in time"))),
        };
        self.learn(&answer);
        answer.map_err(|failure| failure.cause)
    }

    /// The request, and once more if that may help.
    async fn ask(&self, token: &OwnedToken) -> Result<Introspected, Failure> {
        let (issuer, surroundings) = (&self.issuer, &self.surroundings);
        let endpoint = self.endpoint.url(issuer, surroundings, self.timeout).await;
        let endpoint = endpoint.map_err(Failure::down)?;
        match self.call(&endpoint, token).await {
            Err(failure) if failure.may_pass => {
                self.surroundings.clock.sleep(jitter()).await;
                self.call(&endpoint, token).await
            }
            answer => answer,
        }
    }

    async fn call(
        &self,
        endpoint: &EndpointUrl,
        token: &OwnedToken,
    ) -> Result<Introspected, Failure> {
        let context = (&self.issuer, self.now());
        let request = self.credentials.request(endpoint, token, context);
        let request = request.map_err(Failure::ours)?;
        let Surroundings { clock, http, .. } = &self.surroundings;
        let limit = (&**clock, self.timeout);
        let answer = http.send(request, LONGEST, limit).await;
        let answer = answer.map_err(|cause| Failure::down(cause).that_may_pass())?;
        if answer.status() == StatusCode::BAD_REQUEST
            && is_json(answer.headers())
            && introspected::is_unsupported_token_type(answer.body())
        {
            return Ok(Introspected::NotActive(
                "of a kind that its issuer says nothing about",
            ));
        }
        checked(&answer)?;
        introspected::read(answer.body(), &self.issuer, self.tolerance, self.now())
            .map_err(|malformed| Failure::ours(Unavailable::new(malformed)))
    }

    /// Tells the breaker, and the log if something has changed.
    fn learn(&self, answer: &Result<Introspected, Failure>) {
        let issuer = &self.issuer;
        let failure = answer.as_ref().err();
        if failure.is_some_and(|failure| failure.is_down || failure.is_elsewhere) {
            self.endpoint.doubt();
        }
        match failure.filter(|failure| failure.is_down) {
            Some(failure) => {
                if self.breaker().failed(self.now(), failure.retry_after) {
                    tracing::warn!(%issuer, cause = %failure.cause, "issuer is left alone for a while");
                }
            }
            None => {
                if self.breaker().answered() {
                    tracing::info!(%issuer, "issuer answers again");
                }
            }
        }
        let unwelcome = match failure {
            Some(failure) if !failure.is_unwelcome => return,
            failure => failure.is_some(),
        };
        if self.unwelcome.swap(unwelcome, Ordering::Relaxed) != unwelcome {
            if unwelcome {
                tracing::error!(%issuer, "issuer refuses the credentials of this resource server: none of its tokens can be checked");
            } else {
                tracing::info!(%issuer, "issuer takes the credentials of this resource server again");
            }
        }
    }

    /// Who says nothing about the audience says nothing that would keep other services' tokens out.
    fn facts(&self, active: Active) -> Facts {
        let audience = active
            .audience
            .or_else(|| self.assumed_audience.clone().map(|assumed| vec![assumed]));
        let Some(audience) = audience else {
            self.advice.give(&self.issuer, NO_AUDIENCE, self.now());
            return Err(NotActive::because(NO_AUDIENCE));
        };
        let mut facts = TokenFacts::builder(self.issuer.clone(), active.subject, active.expires_at)
            .scope(active.scope)
            .audience(audience)
            .claims(active.claims);
        if let Some(client_id) = active.client_id {
            facts = facts.client_id(client_id);
        }
        if let Some(issued_at) = active.issued_at {
            facts = facts.issued_at(issued_at);
        }
        if let Some(jti) = active.jti {
            facts = facts.jti(jti);
        }
        Ok(Arc::new(facts.build()))
    }
}

impl Validator for Introspection {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None // what is known without waiting is in the cache around this
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        let facts = match self.introspect(&token).await? {
            Introspected::Active(active) => self.facts(*active),
            Introspected::NotActive(reason) => Err(NotActive::because(reason)),
        };
        self.admission.learn(&token, facts.is_ok());
        Ok(facts)
    }
}

/// Nothing was learned of the token.
struct Failure {
    cause: Unavailable,
    /// It is the issuer's, whatever the token, so the breaker counts it.
    is_down: bool,
    /// It is of the kind that is often gone a moment later.
    may_pass: bool,
    is_unwelcome: bool,
    /// It may be somewhere else by now than where it was asked.
    is_elsewhere: bool,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that says nothing about other tokens.
    const fn ours(cause: Unavailable) -> Self {
        Self {
            cause,
            is_down: false,
            may_pass: false,
            is_unwelcome: false,
            is_elsewhere: false,
            retry_after: None,
        }
    }

    fn down(cause: Unavailable) -> Self {
        Self {
            is_down: true,
            ..Self::ours(cause)
        }
    }

    fn that_may_pass(self) -> Self {
        Self {
            may_pass: true,
            ..self
        }
    }
}

/// Whether an answer is one about a token at all, by its status and its type.
fn checked(answer: &Response<Bytes>) -> Result<(), Failure> {
    let status = answer.status();
    let said = || Unavailable::new(format!("the issuer answered {}", status.as_u16()));
    match status {
        StatusCode::OK if is_json(answer.headers()) => Ok(()),
        StatusCode::OK => Err(Failure::ours(Unavailable::new(
            "the issuer's answer is not application/json",
        ))),
        // RFC 7662 §2.3: our credentials, or what we may ask. The caller's token is none the worse for it.
        StatusCode::UNAUTHORIZED => Err(Failure {
            is_unwelcome: true,
            ..Failure::down(said())
        }),
        StatusCode::FORBIDDEN => Err(Failure {
            is_unwelcome: true,
            ..Failure::ours(said())
        }),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Err(Failure {
            is_elsewhere: true,
            ..Failure::ours(said())
        }),
        StatusCode::TOO_MANY_REQUESTS => Err(Failure {
            retry_after: retry_after(answer.headers()).map(|time| time.min(LONGEST_FOR_TOO_MANY)),
            ..Failure::down(said())
        }),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            let retry_after = retry_after(answer.headers());
            Err(Failure {
                may_pass: retry_after.is_none(),
                retry_after,
                ..Failure::down(said())
            })
        }
        // It may be the token that it stumbles over: too long a one, for instance. Nobody can shut others out with it.
        _ if status.is_server_error() => Err(Failure {
            is_elsewhere: true,
            ..Failure::ours(said())
        }),
        _ => Err(Failure::ours(said())),
    }
}

/// RFC 9110 §8.3.1: a media type is the same in any case, with parameters or without.
fn is_json(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let field = fields.next().and_then(|field| field.to_str().ok());
    let essence = field.and_then(|field| field.split(';').next());
    fields.next().is_none()
        && essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// RFC 9110 §10.2.3, in seconds. A date is not read: clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let secs = text.trim().parse().ok().filter(|secs| *secs > 0)?;
    Some(Duration::from_secs(secs))
}

/// Some time between the bounds. It need not be secret, only differ between those who wait.
fn jitter() -> Duration {
    let (least, most) = JITTER;
    Duration::from_millis(least + RandomState::new().hash_one(()) % (most - least))
}

#[cfg(test)]
mod tests {
    use super::{checked, jitter, retry_after};
    use http::{HeaderMap, HeaderValue, Response};
    use std::time::Duration;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn taken(status: u16, headers: HeaderMap) -> bool {
        let mut answer = Response::new(bytes::Bytes::new());
        *answer.status_mut() = status.try_into().unwrap();
        *answer.headers_mut() = headers;
        checked(&answer).is_ok()
    }

    #[test]
    fn rfc7662_2_2_an_answer_is_a_200_of_json_and_nothing_else() {
        let json = || headers("content-type", &["application/json"]);
        assert!(taken(200, json()));
        assert!(taken(
            200,
            headers("content-type", &["Application/JSON ; charset=utf-8"])
        ));
        for status in [
            100, 201, 202, 203, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 413, 429, 500,
            502, 503, 599,
        ] {
            assert!(!taken(status, json()), "{status}");
        }
        for types in [
            &[][..],
            &["text/html"],
            &["application/jsonp"],
            &["application/json, text/html"],
            &["application/json", "application/json"],
            &["application/token-introspection+jwt"],
            &["text/json"],
            &[""],
        ] {
            assert!(!taken(200, headers("content-type", types)), "{types:?}");
        }
    }

    #[test]
    fn rfc9110_10_2_3_seconds_are_read_and_nothing_is_guessed() {
        let read = |text: &'static str| retry_after(&headers("retry-after", &[text]));
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            read("18446744073709551615"),
            Some(Duration::from_secs(u64::MAX))
        );
        for other in [
            "0",
            "-1",
            "1.5",
            "",
            "soon",
            "Fri, 31 Dec 1999 23:59:59 GMT",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn second_attempts_are_spread() {
        let all: Vec<_> = (0..50).map(|_| jitter()).collect();
        assert!(all.iter().all(|wait| (50..250).contains(&wait.as_millis())));
        assert!(all.iter().any(|wait| *wait != all[0]));
    }
}
