//! Extractors that refuse with a problem document.

use std::str::FromStr;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use http::header;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::fields::Fields;
use crate::error::{ApiError, FieldError};

/// The longest body of JSON; the largest that is valid has less than 2 KiB.
const MAX_JSON_BODY: usize = 64 * 1024;

/// A JSON body, which is an object.
///
/// 415 if it does not claim to be JSON, 413 if it is longer than 64 KiB, 400 if
/// it is not JSON, 422 if it is but no object.
pub struct JsonBody(pub Fields);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !claims_json(&request) {
            return Err(ApiError::UnsupportedMediaType);
        }
        parse(&read(request.into_body()).await?).map(Self)
    }
}

/// The parameters of the query: 400 if they cannot be taken apart.
#[derive(Debug)]
pub struct QueryParameters<T>(pub T);

impl<S, T> FromRequestParts<S> for QueryParameters<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(_) => Err(ApiError::Malformed("the query is malformed".into())),
        }
    }
}

/// The number that `text` is in decimal digits: no sign, no blanks.
pub fn whole_number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Whether the content type is `application/json` or `application/…+json`.
fn claims_json(request: &Request) -> bool {
    let Some(Ok(content_type)) =
        request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str())
    else {
        return false;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    // Known beforehand, it is refused before a client that waits for
    // "100 Continue" begins to send.
    if body.size_hint().lower() > MAX_JSON_BODY as u64 {
        return Err(ApiError::BodyTooLarge);
    }
    match Limited::new(body, MAX_JSON_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge),
        Err(_) => Err(ApiError::Malformed("the body ended early".into())),
    }
}

fn parse(body: &[u8]) -> Result<Fields, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        if error.classify() == Category::Data {
            ApiError::Invalid(vec![FieldError::new("body", "must be an object")])
        } else {
            malformed(&error)
        }
    })
}

fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::Malformed(
        format!(
            "the body cannot be read as JSON (line {}, column {})",
            error.line(),
            error.column()
        )
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(content_type: Option<&str>) -> Request {
        let mut request = Request::new(Body::empty());
        if let Some(content_type) = content_type {
            request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        request
    }

    #[test]
    fn json_goes_by_several_names() {
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
        {
            assert!(claims_json(&request(Some(content_type))), "{content_type}");
        }
        for content_type in ["text/plain", "text/json", "application/jsonp", ""] {
            assert!(!claims_json(&request(Some(content_type))), "{content_type}");
        }
        assert!(!claims_json(&request(None)));
    }

    #[test]
    fn what_is_json_but_no_object_is_invalid() {
        for body in ["null", "1", "[]", "[{}]", "\"{}\""] {
            let Err(ApiError::Invalid(errors)) = parse(body.as_bytes()) else {
                panic!("not invalid: {body}");
            };
            assert_eq!(errors, [FieldError::new("body", "must be an object")]);
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in [
            &b""[..],
            b"{",
            b"{} {}",
            b"\xff",
            b"{\"name\": \"a\"}x",
            b"\xef\xbb\xbf{}",
            b"{\"name\": \"\xff\"}",
            b"{\"name\": \"\\ud800\"}",
            b"{\"name\": \"\0\"}",
            b"{\"name\": 1e999}",
            b"{'name': 'a'}",
            b"{\"name\": \"a\",}",
        ] {
            assert!(matches!(parse(body), Err(ApiError::Malformed(_))), "{body:?}");
        }
        assert!(parse(b" {\"name\": \"a\"} ").is_ok());
    }
}
