//! Endpoints for testing proxies and for putting load on them: they show what
//! arrived, how much of it, and send as much as is asked for. They reveal to a
//! client what it (and the proxies between) sent, and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::digest;
use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::Invalid;
use crate::error::{ApiError, FieldErrors};
use crate::http::extract::{QueryParameters, whole_number};

/// Longest `delay_ms`; longer ones are cut to it.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Largest `count`; larger ones are cut to it.
const MAX_COUNT: u64 = 1 << 30;

/// Parameters of [`echo`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EchoParameters {
    /// Milliseconds to wait before the answer; a minute at most.
    #[param(value_type = Option<u64>, nullable = false)]
    delay_ms: Option<String>,
    /// The status to answer with.
    #[param(value_type = Option<u16>, minimum = 200, maximum = 599, default = 200, nullable = false)]
    status: Option<String>,
}

/// A request as it came in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Echo {
    /// The method.
    method: String,
    /// As received, with the query.
    path: String,
    /// The version of HTTP.
    version: String,
    /// All values of every field, in the order received.
    headers: BTreeMap<String, Vec<String>>,
}

/// The request, as it came in, after `delay_ms` (up to 60 s) and with `status`
/// (200 to 599). It takes every method.
#[utoipa::path(
    method(get, put, post, delete, options, head, patch, trace),
    path = "/api/v1/diagnostics/echo",
    operation_id = "echo",
    tag = "diagnostics",
    params(EchoParameters),
    responses(
        (status = "default", description = "The request; nothing with 204, 205 and 304.", body = Echo),
        (status = 400, description = "The query is malformed."),
        (status = 422, description = "A parameter is not valid."),
    )
)]
pub async fn echo(
    QueryParameters(parameters): QueryParameters<EchoParameters>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    let delay = parameters.delay_ms.map_or(Ok(0), |text| parse_number(&text));
    let delay = errors.collect("delay_ms", delay);
    let status = parameters.status.map_or(Ok(StatusCode::OK), |text| parse_status(&text));
    let status = errors.collect("status", status);
    let (Some(delay), Some(status)) = (delay, status) else {
        return Err(errors.into());
    };

    tokio::time::sleep(Duration::from_millis(delay).min(MAX_DELAY)).await;

    // RFC 9110 §6.4.1: these have no content, whatever else they are.
    if matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        return Ok(status.into_response());
    }
    let echo = Echo {
        method: request.method().to_string(),
        path: request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        version: format!("{:?}", request.version()),
        headers: fields(request.headers()),
    };
    Ok((status, Json(echo)).into_response())
}

/// What came in.
#[derive(Debug, Serialize, ToSchema)]
pub struct BodyReport {
    /// Its length.
    bytes: u64,
    /// In hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

/// The length and the digest of the request's body, which is read to its end and
/// not kept. There is no limit. It takes every method.
#[utoipa::path(
    method(get, put, post, delete, options, head, patch, trace),
    path = "/api/v1/diagnostics/body",
    operation_id = "digest_body",
    tag = "diagnostics",
    responses(
        (status = 200, description = "Length and digest.", body = BodyReport),
        (status = 400, description = "The body ended early."),
    )
)]
pub async fn body(request: Request) -> Result<Json<BodyReport>, ApiError> {
    let mut body = request.into_body();
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::Malformed("the body ended early".into()))?;
        // The other frames are trailers.
        if let Ok(data) = frame.into_data() {
            digest.update(&data);
            bytes += data.len() as u64;
        }
    }
    let sha256 = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Json(BodyReport { bytes, sha256 }))
}

/// Parameters of [`bytes()`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BytesParameters {
    /// How many; a gibibyte at most.
    #[param(value_type = u64, required = true)]
    count: Option<String>,
    /// Whether to leave the length out of the head.
    #[param(pattern = "^[01]$", nullable = false)]
    chunked: Option<String>,
}

/// `count` bytes (up to 1 GiB), the n-th of them n modulo 251; with their length
/// in the head, or without it if `chunked` is 1.
#[utoipa::path(
    get,
    path = "/api/v1/diagnostics/bytes",
    operation_id = "get_bytes",
    tag = "diagnostics",
    params(BytesParameters),
    responses(
        (status = 200, description = "The bytes.", body = [u8], content_type = "application/octet-stream"),
        (status = 400, description = "The query is malformed."),
        (status = 422, description = "A parameter is not valid."),
    )
)]
pub async fn bytes(
    QueryParameters(parameters): QueryParameters<BytesParameters>,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    let count = errors.require("count", parameters.count, |text| parse_number(&text));
    let is_chunked = parameters.chunked.map_or(Ok(false), |text| parse_flag(&text));
    let is_chunked = errors.collect("chunked", is_chunked);
    let (Some(count), Some(is_chunked)) = (count, is_chunked) else {
        return Err(errors.into());
    };

    let body = PatternBody { remaining: count.min(MAX_COUNT), is_length_known: !is_chunked };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(body)).into_response())
}

/// A prime, so that the pattern does not repeat with the power-of-two buffers
/// of those it passes: a block that is lost or doubled shows.
const PERIOD: usize = 251;

/// A multiple of [`PERIOD`], so that every block is the same, of nearly 64 KiB.
static BLOCK: [u8; PERIOD * 256] = {
    let mut block = [0; PERIOD * 256];
    let mut index = 0;
    while index < block.len() {
        block[index] = (index % PERIOD) as u8;
        index += 1;
    }
    block
};

/// The pattern of [`bytes`]; nothing is copied or allocated.
struct PatternBody {
    remaining: u64,
    is_length_known: bool,
}

impl HttpBody for PatternBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let length = BLOCK.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        self.remaining -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&BLOCK[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_length_known && self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_length_known {
            SizeHint::with_exact(self.remaining)
        } else {
            SizeHint::default()
        }
    }
}

fn fields(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        fields.entry(name.as_str().to_owned()).or_default().push(value);
    }
    fields
}

fn parse_number(text: &str) -> Result<u64, Invalid> {
    whole_number(text).ok_or(Invalid("must be a whole number"))
}

fn parse_flag(text: &str) -> Result<bool, Invalid> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(Invalid("must be 0 or 1")),
    }
}

fn parse_status(text: &str) -> Result<StatusCode, Invalid> {
    match whole_number::<u16>(text) {
        // Those below 200 are not the last response to a request.
        Some(code @ 200..=599) => StatusCode::from_u16(code).map_err(|_| INVALID_STATUS),
        _ => Err(INVALID_STATUS),
    }
}

const INVALID_STATUS: Invalid = Invalid("must be a number from 200 to 599");

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(count: u64, is_length_known: bool) -> Bytes {
        PatternBody { remaining: count, is_length_known }.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn the_pattern_goes_on_across_blocks() {
        let count = 3 * BLOCK.len() + 100;
        let bytes = collect(count as u64, true).await;
        assert_eq!(bytes.len(), count);
        assert!(bytes.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index % PERIOD));
    }

    #[tokio::test]
    async fn an_empty_pattern_ends() {
        assert!(collect(0, true).await.is_empty());
        assert!(collect(0, false).await.is_empty());
    }

    #[test]
    fn a_status_is_final() {
        assert_eq!(parse_status("418"), Ok(StatusCode::IM_A_TEAPOT));
        for text in ["", "101", "199", "600", "ok"] {
            assert!(parse_status(text).is_err(), "{text}");
        }
    }
}
