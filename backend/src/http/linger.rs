//! Answers that reach clients which are still sending.
//!
//! A handler may answer without having read the request's body: a 404, a 413.
//! hyper then closes an HTTP/1 connection right after the answer, and a close
//! over data that has not been read is a reset, which can overtake the answer.
//! So the rest of the body is read and thrown away, for a bounded time; the
//! connection can even be used again. (HTTP/2 resets the stream alone, and
//! after the answer.)

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{Version, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// How long the rest of a body is read. Whoever sends for longer than that
/// either reads while it sends or does not care for the answer.
const LINGER: Duration = Duration::from_secs(5);

/// Sees to what the handler leaves unread of the request's body.
pub async fn linger(request: Request, next: Next) -> Response {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    // A client that waits for "100 Continue" sends nothing before the first
    // read, and should not be made to afterwards.
    let is_coming = !request.headers().contains_key(header::EXPECT);
    next.run(request.map(|body| Body::new(LingeringBody { rest: Some(body), is_coming }))).await
}

/// A body that, when dropped, is read to its end in the background.
struct LingeringBody {
    /// `None` after the end, or an error.
    rest: Option<Body>,
    is_coming: bool,
}

impl HttpBody for LingeringBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_coming = true;
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(rest).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        let Some(mut rest) = self.rest.take() else { return };
        if !self.is_coming || rest.is_end_stream() {
            return;
        }
        // There is none when the process ends: then so does the connection.
        if let Ok(runtime) = Handle::try_current() {
            let drain = async move { while let Some(Ok(_)) = rest.frame().await {} };
            runtime.spawn(tokio::time::timeout(LINGER, drain));
        }
    }
}
