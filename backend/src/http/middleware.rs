//! What is done to every request, whichever handler it has.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use tracing::Instrument;

use crate::error::ApiError;
use crate::request_metrics::{InFlight, RequestMetrics};

/// Ties a request to its log lines, here and at the balancer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Which instance has answered.
pub const X_SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// The route of what matched none, as a label of metrics.
const UNMATCHED: &str = "unmatched";

/// Gives the request an id and a span, measures it, and turns a panic into a
/// 500 instead of a connection that just closes.
pub async fn observe(
    State(metrics): State<RequestMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let in_flight = metrics.enter();
    let route = request.extensions().get::<MatchedPath>();
    let measurement = metrics.begin(route.map_or(UNMATCHED, MatchedPath::as_str));

    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        // The value is visible ASCII.
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
    );

    let handling = async {
        // A panic unwinds through the handler's own values only: what is
        // shared is behind locks that do not poison, or is atomic.
        let result = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        // The panic itself is logged by the hook that `main` installs.
        result.unwrap_or_else(|_| ApiError::Internal("handler panicked".into()).into_response())
    };
    let mut response = handling.instrument(span).await;

    measurement.answered(response.status());
    response.headers_mut().insert(X_REQUEST_ID, id);
    response.map(|body| Body::new(CountedBody { body, _in_flight: in_flight }))
}

/// Says in the response which instance has made it.
pub async fn sign(State(instance): State<HeaderValue>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_SERVED_BY, instance);
    response
}

/// Holds the request back.
pub async fn delay(State(delay): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::sleep(delay).await;
    next.run(request).await
}

/// The id that the client sent, if it is one and only one, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    // What ends up in logs is bounded, and cannot forge their lines.
    const MAX_LENGTH: usize = 128;

    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    match (ids.next(), ids.next()) {
        (Some(id), None)
            if (1..=MAX_LENGTH).contains(&id.len())
                && id.as_bytes().iter().all(u8::is_ascii_graphic) =>
        {
            id.clone()
        }
        _ => {
            // Unique is enough: an id grants nothing.
            let id = format!("{:032x}", fastrand::u128(..));
            HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
        }
    }
}

/// A body that counts its request as in flight until it has been sent.
struct CountedBody {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http::StatusCode;
    use hyper_util::service::TowerToHyperService;
    use prometheus::Registry;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_500_and_nothing_more() {
        let metrics = RequestMetrics::register(&Registry::new(), "one").unwrap();
        let broken = async || -> StatusCode { panic!("of a handler") };
        let router =
            Router::new().route("/broken", get(broken)).layer(from_fn_with_state(metrics, observe));

        let request = http::Request::get("/broken").body(Body::empty()).unwrap();
        let service = TowerToHyperService::new(router);
        let response = hyper::service::Service::call(&service, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[X_REQUEST_ID].len(), 32);
    }

    fn headers(ids: &[&'static str]) -> HeaderMap {
        ids.iter().map(|id| (X_REQUEST_ID, HeaderValue::from_static(id))).collect()
    }

    #[test]
    fn an_id_that_is_one_is_kept() {
        assert_eq!(request_id(&headers(&["abc-123"])), "abc-123");
    }

    #[test]
    fn another_is_replaced() {
        let long = &*"x".repeat(129).leak();
        for ids in [&[][..], &[""], &["two words"], &[long], &["one", "two"]] {
            let id = request_id(&headers(ids));
            assert_eq!(id.len(), 32, "{ids:?}");
            assert!(id.as_bytes().iter().all(u8::is_ascii_hexdigit));
        }
    }
}
