//! What passes the serving layer without being its business: requests and bodies of any kind, as they were.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::types::Body;

use crate::support::Harness;

/// A body as tonic has it: it cannot be made of bytes, stays where it is, ends with trailers, and fails in its own way.
struct Stream {
    frames: Mutex<VecDeque<Result<Frame<Bytes>, Status>>>,
    hint: SizeHint,
    _stays: PhantomPinned,
}

#[derive(Debug, PartialEq)]
struct Status(u8);

impl Stream {
    fn new(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Status>>, hint: SizeHint) -> Self {
        Self {
            frames: Mutex::new(frames.into_iter().collect()),
            hint,
            _stays: PhantomPinned,
        }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.frames.lock().unwrap().pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.frames.lock().unwrap().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// What comes back for a foreign request that is answered with the body that this makes.
async fn passed<B: Send + 'static>(
    make: impl Fn() -> B + Clone + Send + Sync + 'static,
) -> Body<B> {
    let server = Harness::new().await;
    let inner = service_fn(move |_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(make())))
    });
    let service = server.oauth.layer().layer(inner);
    let request = Request::get("/foreign").body(Full::default()).unwrap();
    service.oneshot(request).await.unwrap().into_body()
}

fn hint(lower: u64, upper: Option<u64>) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(lower);
    if let Some(upper) = upper {
        hint.set_upper(upper);
    }
    hint
}

#[tokio::test]
async fn an_inner_body_passes_frame_by_frame_with_its_trailers_and_its_errors() {
    let make = || {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), 0.into())]);
        let frames = [
            Ok(Frame::data(Bytes::from("one"))),
            Ok(Frame::data(Bytes::new())),
            Ok(Frame::data(Bytes::from("two"))),
            Ok(Frame::trailers(trailers)),
            Err(Status(13)),
        ];
        Stream::new(frames, hint(3, Some(99)))
    };
    let mut body = Box::pin(passed(make).await);
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        assert_eq!(
            (body.size_hint().lower(), body.size_hint().upper()),
            (3, Some(99))
        );
        seen.push(match frame.map(Frame::into_data) {
            Ok(Ok(data)) => String::from_utf8(data.to_vec()).unwrap(),
            Ok(Err(trailers)) => format!("{:?}", trailers.trailers_ref().unwrap()),
            Err(status) => format!("{status:?}"),
        });
    }
    let whole = ["one", "", "two", r#"{"grpc-status": "0"}"#, "Status(13)"];
    assert_eq!(seen, whole);
}

#[tokio::test]
async fn an_inner_body_says_itself_how_long_it_is_and_whether_it_ends() {
    for (lower, upper) in [(0, None), (7, None), (7, Some(7)), (0, Some(0))] {
        let body = passed(move || Stream::new([], hint(lower, upper))).await;
        assert!(body.is_end_stream());
        assert_eq!(
            (body.size_hint().lower(), body.size_hint().upper()),
            (lower, upper)
        );
    }
    let body = passed(|| Stream::new([Err(Status(1))], SizeHint::new())).await;
    assert!(!body.is_end_stream());
}

#[tokio::test]
async fn a_body_of_ours_is_whole_and_in_one_piece() {
    let mut ours: Body = "four".into();
    assert_eq!(ours.size_hint().exact(), Some(4));
    assert!(!ours.is_end_stream());
    let frame = ours.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "four");
    assert_eq!(ours.size_hint().exact(), Some(0));
    assert!(ours.is_end_stream());
    assert!(ours.frame().await.is_none());
    let empty: Body<Stream> = Body::default();
    assert!(empty.is_end_stream());
    assert_eq!(empty.collect().await.unwrap().to_bytes(), "");
}

#[derive(Debug, Clone, PartialEq)]
struct Session(u8);

#[tokio::test]
async fn foreign_requests_and_answers_keep_all_they_have() {
    let server = Harness::new().await;
    // Neither body is one of HTTP, and nothing is asked of what comes back.
    let inner = service_fn(async |request: Request<Full<Bytes>>| {
        let (parts, body) = request.into_parts();
        assert_eq!(parts.version, Version::HTTP_2);
        assert_eq!(parts.uri, "https://auth.harbor.test/auth/tokens?a=b");
        assert_eq!(parts.headers["authorization"], "Bearer x");
        assert_eq!(parts.headers.len(), 1);
        assert_eq!(parts.extensions.get(), Some(&Session(7)));
        assert_eq!(parts.extensions.len(), 1);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "body");
        let mut response = Response::new(Cell::new(5));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        *response.version_mut() = Version::HTTP_2;
        response.headers_mut().insert("x-tea", 1.into());
        response.extensions_mut().insert(Session(8));
        Ok::<_, Infallible>(response)
    });
    let request = Request::post("https://auth.harbor.test/auth/tokens?a=b")
        .version(Version::HTTP_2)
        .header("authorization", "Bearer x")
        .extension(Session(7))
        .body(Full::from("body"))
        .unwrap();
    let answer = server.oauth.layer().layer(inner).oneshot(request).await;
    let (parts, _) = answer.unwrap().into_parts();
    assert_eq!(parts.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(parts.version, Version::HTTP_2);
    assert_eq!(
        parts.headers,
        HeaderMap::from_iter([("x-tea".parse().unwrap(), 1.into())])
    );
    assert_eq!(parts.extensions.get(), Some(&Session(8)));
}
