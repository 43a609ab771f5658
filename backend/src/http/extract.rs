//! Extractors that refuse with a problem document.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use http::header;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::{ApiError, FieldError};

/// The longest body of JSON; the largest that is valid has less than 2 KiB.
const MAX_JSON_BODY: usize = 64 * 1024;

/// A JSON body.
///
/// 415 if it does not claim to be JSON, 413 if it is longer than 64 KiB, 400 if
/// it is not JSON, 422 if it is but of another shape.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
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

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let cause = error.inner();
        if cause.classify() == Category::Data {
            // The message of the cause repeats the value, which may be a
            // password.
            ApiError::Invalid(vec![FieldError::new(
                error.path().to_string(),
                "is not of the right type",
            )])
        } else {
            malformed(cause)
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::Malformed(
        format!("the body is not JSON (line {}, column {})", error.line(), error.column()).into(),
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Named {
        name: Option<String>,
    }

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
    fn a_value_of_the_wrong_type_is_named_but_not_repeated() {
        let Err(ApiError::Invalid(errors)) = parse::<Named>(br#"{"name": 12345}"#) else {
            panic!("not invalid");
        };
        assert_eq!(errors, [FieldError::new("name", "is not of the right type")]);
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in [&b""[..], b"{", b"{} {}", b"\xff", b"{\"name\": \"a\"}x"] {
            assert!(matches!(parse::<Named>(body), Err(ApiError::Malformed(_))), "{body:?}");
        }
        assert_eq!(parse::<Named>(br#"{"name": "a", "more": 1} "#).unwrap().name.unwrap(), "a");
    }
}
