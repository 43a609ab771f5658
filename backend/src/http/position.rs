//! How new a state a client wants to see: at least that of its last write.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;

use crate::error::ApiError;
use crate::store::Position;

/// The position that a write has reached, and that a read must have seen.
pub const X_DATABASE_POSITION: HeaderName = HeaderName::from_static("x-database-position");

/// The same for browsers, which send it back by themselves.
pub const COOKIE: &str = "database_position";

/// The state that the client has seen, and must not see undone.
///
/// The header wins over the cookie. What is wrong with the header is the
/// client's own fault, and told (400). A cookie is not: it may be left over from
/// something else on this host, so one that makes no sense is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLeast(pub Position);

impl<S: Send + Sync> FromRequestParts<S> for AtLeast {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match from_header(&parts.headers)? {
            Some(position) => Ok(Self(position)),
            None => Ok(Self(from_cookies(&parts.headers))),
        }
    }
}

fn from_header(headers: &HeaderMap) -> Result<Option<Position>, ApiError> {
    let malformed =
        || ApiError::Malformed("X-Database-Position must be one position such as 0/16B3748".into());
    let mut values = headers.get_all(X_DATABASE_POSITION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| malformed())?;
            Position::parse(text).map(Some).map_err(|_| malformed())
        }
        (Some(_), Some(_)) => Err(malformed()),
    }
}

/// Of several cookies of the name (set for other paths or domains) the newest
/// position: whoever sees that has seen the others.
fn from_cookies(headers: &HeaderMap) -> Position {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .filter_map(|text| Position::parse(text).ok())
        .max()
        .unwrap_or(Position::START)
}

/// Tells the client, in header and cookie, what its write has reached; nothing
/// if the store has no history to speak of.
#[derive(Debug, Clone, Copy)]
pub struct Reached(pub Position);

impl IntoResponseParts for Reached {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        let Self(position) = self;
        if position == Position::START {
            return Ok(response);
        }
        // A minute is longer than a replica that takes reads is ever behind.
        let cookie = format!("{COOKIE}={position}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60");
        // Both are digits and ASCII punctuation.
        if let (Ok(position), Ok(cookie)) =
            (HeaderValue::try_from(position.to_string()), HeaderValue::try_from(cookie))
        {
            response.headers_mut().insert(X_DATABASE_POSITION, position);
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

impl IntoResponse for Reached {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at_least(headers: &[(HeaderName, &'static [u8])]) -> Result<Position, ApiError> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        for (name, value) in headers {
            parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        AtLeast::from_request_parts(&mut parts, &()).await.map(|AtLeast(position)| position)
    }

    fn position(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    #[tokio::test]
    async fn the_header_wins_over_the_cookie() {
        let cookie = (header::COOKIE, &b"a=b; database_position=0/2; c=d"[..]);
        assert_eq!(at_least(&[]).await.unwrap(), Position::START);
        assert_eq!(at_least(std::slice::from_ref(&cookie)).await.unwrap(), position("0/2"));
        let header = (X_DATABASE_POSITION, &b"0/1"[..]);
        assert_eq!(at_least(&[header, cookie]).await.unwrap(), position("0/1"));
    }

    #[tokio::test]
    async fn a_header_that_makes_no_sense_is_refused() {
        for value in [&b""[..], b"0", b"0/x", b"0/1, 0/2", b"\xff"] {
            let result = at_least(&[(X_DATABASE_POSITION, value)]).await;
            assert!(matches!(result, Err(ApiError::Malformed(_))), "{value:?}");
        }
        let twice = [(X_DATABASE_POSITION, &b"0/1"[..]), (X_DATABASE_POSITION, &b"0/1"[..])];
        assert!(matches!(at_least(&twice).await, Err(ApiError::Malformed(_))));
    }

    #[tokio::test]
    async fn a_cookie_that_makes_no_sense_is_ignored() {
        for value in [
            &b""[..],
            b"database_position",
            b"database_position=",
            b"database_position=x",
            b"my_database_position=0/1",
            b"database_position\xff=0/1",
        ] {
            let result = at_least(&[(header::COOKIE, value)]).await;
            assert_eq!(result.unwrap(), Position::START, "{value:?}");
        }
    }

    #[tokio::test]
    async fn of_several_cookies_the_newest_counts() {
        let cookies = [
            (header::COOKIE, &b"database_position=0/2;database_position=A/0"[..]),
            (header::COOKIE, &b"database_position=x; database_position=1/0"[..]),
        ];
        assert_eq!(at_least(&cookies).await.unwrap(), position("A/0"));
    }

    #[test]
    fn a_write_answers_with_both() {
        let headers = Reached(position("0/16B3748")).into_response().headers().clone();
        assert_eq!(headers[X_DATABASE_POSITION], "0/16B3748");
        assert_eq!(
            headers[header::SET_COOKIE],
            "database_position=0/16B3748; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
        );
    }

    #[test]
    fn a_store_without_a_history_tells_nothing() {
        assert!(Reached(Position::START).into_response().headers().is_empty());
    }
}
