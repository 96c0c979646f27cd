//! How much is read of a body, and how it may come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tower::ServiceExt as _;

use crate::http::{ENDPOINTS, FORM, request};
use crate::support::{Answer, Harness, SECRET};

/// A body in parts that says what it likes about its length, and counts how often it is asked.
struct Parts {
    left: Vec<Result<Bytes, io::Error>>,
    says: SizeHint,
    asked: Arc<AtomicUsize>,
}

impl Parts {
    fn new(parts: impl IntoIterator<Item = Result<Bytes, io::Error>>, says: SizeHint) -> Self {
        let mut left: Vec<_> = parts.into_iter().collect();
        left.reverse();
        Self {
            left,
            says,
            asked: Arc::default(),
        }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(self.left.pop().map(|part| part.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.says
    }
}

async fn send_parts(server: &Harness, path: &str, length: Option<u64>, body: Parts) -> Answer {
    let mut request = request("POST", path).header("content-type", FORM);
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    let service = server.oauth.service();
    Answer::of(service.oneshot(request.body(body).unwrap()).await.unwrap()).await
}

fn exactly(length: u64) -> SizeHint {
    SizeHint::with_exact(length)
}

// req: http-form-8
#[tokio::test]
async fn s20_a_body_of_more_than_16_kib_is_refused_however_it_comes() {
    const MOST: usize = 16 * 1024;
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        let padded = |length: usize| form.to_owned() + "&x=" + &"a".repeat(length - form.len() - 3);
        let most = server.post_as(path, ("web", SECRET), &padded(MOST)).await;
        assert_eq!(most.status, 200, "{path}");
        let more = padded(MOST + 1);
        let answer = server.post_as(path, ("web", SECRET), &more).await;
        answer.error(413, "invalid_request");

        // In parts, and of unknown length: nothing is read behind the part that is too much.
        let part = || Ok(Bytes::from_static(&[b'a'; 1000]));
        let endless = Parts::new((0..1000).map(|_| part()), SizeHint::default());
        let asked = endless.asked.clone();
        send_parts(&server, path, None, endless)
            .await
            .error(413, "invalid_request");
        assert_eq!(asked.load(Ordering::SeqCst), 17, "{path}");

        // It says that it is longer: not a byte is read.
        let huge = Parts::new([Ok(form.into())], exactly(MOST as u64 + 1));
        let asked = huge.asked.clone();
        send_parts(&server, path, Some(1 << 40), huge)
            .await
            .error(413, "invalid_request");
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{path}");

        // It says that it is shorter than it is.
        let liar = Parts::new([Ok(more.into())], exactly(1));
        let answer = send_parts(&server, path, Some(1), liar).await;
        answer.error(413, "invalid_request");

        // It breaks off.
        let broken = Parts::new(
            [Ok(form.into()), Err(io::Error::other("reset"))],
            SizeHint::default(),
        );
        let answer = send_parts(&server, path, None, broken).await;
        answer.error(400, "invalid_request");

        // It comes in small parts, some of them empty.
        let parts = form.split_inclusive('e').flat_map(|part| ["", part]);
        let parts = Parts::new(parts.map(|part| Ok(part.into())), SizeHint::default());
        assert_eq!(
            send_parts(&server, path, None, parts).await.status,
            200,
            "{path}"
        );
    }
}

// req: http-form-8, 7009-5-1
#[tokio::test]
async fn s20_no_more_than_64_parameters_are_read() {
    let server = Harness::new().await;
    for (path, form) in ENDPOINTS {
        let ours = form.split('&').count();
        for (more, right) in [(64 - ours, true), (65 - ours, false)] {
            let form = format!("{form}{}", "&x=1".repeat(more));
            let answer = server.post_as(path, ("web", SECRET), &form).await;
            if right {
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
            } else {
                answer.error(400, "invalid_request");
            }
        }
    }
}
