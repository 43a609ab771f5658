//! Answers of our own: what we say instead of an endpoint.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::edits::Edits;
use super::exchange::Exchange;
use crate::head::{write_decimal, write_field, write_status_line};
use crate::policy::LimitId;
use crate::response::{Cause, Page};
use crate::snapshot::Snapshot;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What we answer instead of an endpoint.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) cause: Cause,
    /// Instead of the cause's own.
    pub(super) status: Option<StatusCode>,
    pub(super) location: Option<String>,
    pub(super) limited: Option<Limited>,
}

/// Which rate limit refuses, and for how many seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limited {
    pub(super) limit: LimitId,
    pub(super) seconds: u64,
}

/// A complete response, its header edited.
#[derive(Debug)]
pub(super) struct OwnResponse {
    pub(super) status: StatusCode,
    /// Content-Length included.
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A complete response in HTTP/1.1.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) status: StatusCode,
    pub(super) bytes: Vec<u8>,
    /// Of them, so many are body.
    pub(super) body: usize,
    /// The connection can take another request.
    pub(super) keep_alive: bool,
}

impl From<Cause> for Answer {
    fn from(cause: Cause) -> Self {
        Self { cause, status: None, location: None, limited: None }
    }
}

impl Answer {
    pub(super) fn redirect(status: StatusCode, location: String) -> Self {
        Self { status: Some(status), location: Some(location), ..Cause::Redirect.into() }
    }

    /// The response as values; the exchange takes the cause.
    pub(super) fn into_response(self, exchange: &mut Exchange) -> OwnResponse {
        exchange.cause = Some(self.cause);
        let page = self.page(exchange);
        let mut body = Vec::with_capacity(128);
        page.write_body(&mut body);
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        self.fields(&page, exchange, |name, value| {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name.clone(), value);
            }
        });
        Edits::of(exchange).apply(&mut headers);
        OwnResponse { status: page.status, headers, body }
    }

    /// The response as bytes of HTTP/1.1; the exchange takes the cause.
    pub(super) fn into_http1(
        self,
        exchange: &mut Exchange,
        head_only: bool,
        keep_alive: bool,
    ) -> Written {
        exchange.cause = Some(self.cause);
        let page = self.page(exchange);
        let status = page.status;
        let keep_alive = keep_alive && !ends_connection(status);
        let mut body = Vec::with_capacity(128);
        page.write_body(&mut body);
        let mut bytes = Vec::with_capacity(768);
        let reason = status.canonical_reason().unwrap_or("");
        write_status_line(status.as_u16(), reason.as_bytes(), &mut bytes);
        write_date(&mut bytes);
        let edits = Edits::of(exchange);
        self.fields(&page, exchange, |name, value| {
            if !edits.drop(name.as_str()) {
                write_field(name.as_str(), value, &mut bytes);
            }
        });
        edits.write(&mut bytes);
        bytes.extend_from_slice(b"Content-Length: ");
        write_decimal(body.len() as u64, &mut bytes);
        // Said both ways: HTTP/1.0 takes silence for "close" (RFC 9112 §9.3).
        bytes.extend_from_slice(match keep_alive {
            true => b"\r\nConnection: keep-alive\r\n\r\n".as_slice(),
            false => b"\r\nConnection: close\r\n\r\n",
        });
        let body = if head_only { &[][..] } else { &body };
        bytes.extend_from_slice(body);
        Written { status, body: body.len(), bytes, keep_alive }
    }

    fn page<'p>(&'p self, exchange: &'p Exchange) -> Page<'p> {
        let status = self
            .status
            .or_else(|| StatusCode::from_u16(self.cause.status()).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let location = self.location.as_deref();
        Page { cause: self.cause, status, location, request_id: &exchange.request_id }
    }

    fn fields(
        &self,
        page: &Page<'_>,
        exchange: &Exchange,
        mut visit: impl FnMut(&HeaderName, &[u8]),
    ) {
        page.fields(&mut visit);
        if let Some(wait) = exchange.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            visit(&header::RETRY_AFTER, seconds.to_string().as_bytes());
        }
        if let (Some(limited), Some(live)) = (&self.limited, &exchange.live) {
            limited.fields(&live.snapshot, visit);
        }
    }
}

impl Limited {
    /// Retry-After and the fields of draft-ietf-httpapi-ratelimit-headers-10.
    fn fields(&self, snapshot: &Snapshot, mut visit: impl FnMut(&HeaderName, &[u8])) {
        let limit = &snapshot.limits[self.limit.index()];
        let rate = limit.limiter.rate();
        let (name, seconds) = (&limit.name, self.seconds);
        let mut text = String::with_capacity(64);
        // Writing to memory does not fail.
        let _ = write!(text, "{seconds}");
        visit(&header::RETRY_AFTER, text.as_bytes());
        text.clear();
        let _ = write!(text, "\"{name}\";q={};w={}", rate.count(), rate.window().as_secs());
        visit(&RATE_LIMIT_POLICY, text.as_bytes());
        text.clear();
        let _ = write!(text, "\"{name}\";r=0;t={seconds}");
        visit(&RATE_LIMIT, text.as_bytes());
    }
}

/// Whether the connection must end after an answer of this status. Where one
/// request was malformed, the next cannot be trusted to begin where it seems
/// to (nginx closes, too); and a body that is too large is not read to its end.
pub(super) fn ends_connection(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
    )
}

/// The Date field (RFC 9110 §6.6.1).
pub(super) fn write_date(out: &mut Vec<u8>) {
    thread_local! {
        /// A second, and its Date: that of many answers.
        static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    LAST.with_borrow_mut(|(known, text)| {
        if *known != second {
            *known = second;
            *text = httpdate::fmt_http_date(now);
        }
        write_field("Date", text.as_bytes(), out);
    });
}
