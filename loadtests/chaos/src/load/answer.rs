//! What is asked of a backend, and what has to come back.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::Body;
use super::outcome::{Failure, cause_of};
use super::schedule::Ask;
use super::wire::innermost;
use crate::certificates::SERVER_NAME;
use crate::setup::LIMITED_PATH;

/// One request, and what is known of its answer beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    ask: Ask,
    /// Of the body that is asked for, or sent.
    length: usize,
}

impl Check {
    /// Lengths from 500 bytes to some 8 KiB, by the number.
    pub(crate) fn new(ask: Ask, number: u64) -> Self {
        Self { ask, length: 500 + (number % 31) as usize * 250 }
    }

    pub(crate) fn is_idempotent(self) -> bool {
        self.ask.is_idempotent()
    }

    /// Of a given length.
    pub(crate) fn of_length(ask: Ask, length: usize) -> Self {
        Self { ask, length }
    }

    /// With the whole URL on HTTP/2, where there is no Host.
    pub(crate) fn request(self, is_http2: bool) -> Result<Request<Body>, Failure> {
        let (method, path, body) = match self.ask {
            Ask::Get => {
                let path = format!("/api/v1/diagnostics/bytes?count={}", self.length);
                (Method::GET, path, Bytes::new())
            }
            Ask::Post => {
                let path = "/api/v1/diagnostics/body".to_owned();
                (Method::POST, path, Bytes::from(vec![b'x'; self.length]))
            }
            Ask::Limited => (Method::GET, LIMITED_PATH.to_owned(), Bytes::new()),
        };
        let request = Request::builder().method(method);
        let request = if is_http2 {
            request.uri(format!("https://{SERVER_NAME}{path}"))
        } else {
            request.uri(path).header(header::HOST, SERVER_NAME)
        };
        request.body(Full::new(body)).map_err(|error| Failure::Wrong(error.to_string()))
    }

    /// Reads `response` to its end.
    pub(crate) async fn read(self, response: Response<Incoming>) -> Result<(), Failure> {
        let status = response.status();
        let cause =
            response.headers().get("proxy-status").and_then(|value| cause_of(value.to_str().ok()?));
        let body = response.into_body().collect().await;
        let body = match (body, cause) {
            (Ok(_), Some(cause)) if self.ask == Ask::Limited && cause == "rate_limited" => {
                return Ok(());
            }
            (_, Some(cause)) => return Err(Failure::Refused { status, cause }),
            (_, None) if status != StatusCode::OK => return Err(Failure::PassedThrough(status)),
            (Err(error), None) => return Err(Failure::BrokeOff(innermost(&error))),
            (Ok(body), None) => body.to_bytes(),
        };
        let is_right = match self.ask {
            Ask::Get => is_pattern(&body, self.length),
            Ask::Post => says_length(&body, self.length),
            Ask::Limited => true,
        };
        if is_right { Ok(()) } else { Err(Failure::Wrong(format!("{} bytes", body.len()))) }
    }
}

/// The backend's: the n-th byte is n modulo 251.
fn is_pattern(body: &[u8], length: usize) -> bool {
    body.len() == length
        && body.iter().zip((0..251).cycle()).all(|(byte, expected)| *byte == expected)
}

fn says_length(body: &[u8], length: usize) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|report| report["bytes"].as_u64() == Some(length as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compared_to_its_last_byte() {
        let mut body: Vec<u8> = (0..600).map(|index| (index % 251) as u8).collect();
        assert!(is_pattern(&body, 600));
        assert!(!is_pattern(&body, 601));
        body[599] ^= 1;
        assert!(!is_pattern(&body, 600));
        assert!(says_length(br#"{"bytes":17,"sha256":""}"#, 17));
        assert!(!says_length(br#"{"bytes":16,"sha256":""}"#, 17));
    }
}
