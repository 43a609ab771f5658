//! The one table from what went wrong to what the client is told.
//!
//! Every error is a problem document (RFC 9457). Its text is stable and bland;
//! what only operators should know is logged, here and once, in the span of
//! the request, which holds its id.

use std::borrow::Cow;
use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{StatusCode, Version};
use serde::Serialize;

use crate::causes::chain;
use crate::domain::Invalid;
use crate::passwords::PasswordError;
use crate::rooms::TooManyRooms;
use crate::store::StoreError;
use crate::tokens::IssueError;

/// Why a request is not answered as its client hoped.
#[derive(Debug)]
pub enum ApiError {
    /// 400: the request cannot be understood.
    Malformed(Cow<'static, str>),
    /// 400: what is in `Authorization` is no token.
    MalformedAuthorization,
    /// 401: these are not the credentials of a user.
    WrongCredentials,
    /// 401: this is for those who are signed in, and the request has no token.
    NoToken,
    /// 401: the token is forged, over, or refused.
    InvalidToken,
    /// 403: whoever asks may not do that.
    Forbidden(&'static str),
    /// 404: there is nothing here.
    NotFound,
    /// 405: something is here, but it does not do that. The router adds which
    /// methods it does (`Allow`).
    MethodNotAllowed,
    /// 409: somebody else has it.
    Conflict(FieldError),
    /// 413: the body is longer than this endpoint reads.
    BodyTooLarge,
    /// 415: the body is not JSON, or does not say so.
    UnsupportedMediaType,
    /// 422: the request is understood, but its values are wrong.
    Invalid(Vec<FieldError>),
    /// 426: this endpoint speaks WebSocket only.
    WebSocketOnly(Version),
    /// 503: nothing can be stored now; logged.
    ReadOnly(Box<dyn Error + Send + Sync>),
    /// 503: too much to do; logged with its cause if there is one.
    Overloaded(Option<Box<dyn Error + Send + Sync>>),
    /// 500: our fault; logged.
    Internal(Box<dyn Error + Send + Sync>),
}

/// What is wrong with one field of a body, or one parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Which one.
    pub field: Cow<'static, str>,
    /// What about it.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// `field` is wrong because of `message`.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Gathers what is wrong with a request, to tell it all at once.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes an error.
    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// The value, or `None` with the error noted.
    pub fn collect<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|invalid| self.0.push(FieldError::new(field, invalid.0))).ok()
    }

    /// The value of a field that must be there, or `None` with the error noted.
    pub fn require<T, U>(
        &mut self,
        field: &'static str,
        value: Option<T>,
        parse: impl FnOnce(T) -> Result<U, Invalid>,
    ) -> Option<U> {
        self.collect(field, value.ok_or(Invalid("is required")).and_then(parse))
    }
}

impl From<FieldErrors> for ApiError {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors.0)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::EmailTaken => {
                Self::Conflict(FieldError::new("email", "is taken by another user"))
            }
            StoreError::ReadOnly(_) => Self::ReadOnly(error.into()),
            StoreError::Unavailable(_) => Self::Overloaded(Some(error.into())),
            StoreError::Failed(_) => Self::Internal(error.into()),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::Overloaded(Some(error.into())),
            PasswordError::Hash(_) | PasswordError::Interrupted(_) => Self::Internal(error.into()),
        }
    }
}

impl From<TooManyRooms> for ApiError {
    fn from(error: TooManyRooms) -> Self {
        Self::Overloaded(Some(error.into()))
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        Self::Internal(error.into())
    }
}

impl ApiError {
    /// RFC 9110 §15.5.2: a 401 must name a scheme. RFC 6750 §3: and say what is
    /// wrong with the token, if there is one.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::WrongCredentials | Self::NoToken => Some("Bearer"),
            Self::MalformedAuthorization => Some("Bearer error=\"invalid_request\""),
            Self::InvalidToken => Some("Bearer error=\"invalid_token\""),
            Self::Forbidden(_) => Some("Bearer error=\"insufficient_scope\""),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, detail): (_, Cow<'static, str>) = match &self {
            Self::Malformed(detail) => (StatusCode::BAD_REQUEST, detail.clone()),
            Self::MalformedAuthorization => (
                StatusCode::BAD_REQUEST,
                "Authorization must be there once, as \"Bearer\" and an access token".into(),
            ),
            Self::WrongCredentials => {
                (StatusCode::UNAUTHORIZED, "the e-mail address or the password is wrong".into())
            }
            Self::NoToken => (StatusCode::UNAUTHORIZED, "this needs an access token".into()),
            Self::InvalidToken => {
                (StatusCode::UNAUTHORIZED, "the access token is not, or no longer, good".into())
            }
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, (*detail).into()),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing here".into()),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "the method is not one of those that Allow lists".into(),
            ),
            Self::Conflict(_) => {
                (StatusCode::CONFLICT, "the request conflicts with what is stored".into())
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large".into()),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, with the Content-Type application/json".into(),
            ),
            Self::Invalid(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "some values are not valid".into())
            }
            Self::WebSocketOnly(_) => {
                (StatusCode::UPGRADE_REQUIRED, "connect with WebSocket over HTTP/1.1".into())
            }
            Self::Overloaded(cause) => {
                if let Some(cause) = cause {
                    tracing::warn!(error = chain(cause.as_ref()), "request turned away");
                }
                (StatusCode::SERVICE_UNAVAILABLE, "too busy now; try again later".into())
            }
            Self::ReadOnly(cause) => {
                tracing::warn!(error = chain(cause.as_ref()), "write turned away");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database takes no writes now; reading works, try writing again later"
                        .into(),
                )
            }
            Self::Internal(cause) => {
                tracing::error!(error = chain(cause.as_ref()), "request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "something broke; it has been logged".into())
            }
        };

        let errors = match &self {
            Self::Conflict(error) => std::slice::from_ref(error),
            Self::Invalid(errors) => errors,
            _ => &[],
        };
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &detail,
            errors,
        };
        let mut response = (status, Json(problem)).into_response();

        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        match self {
            Self::Overloaded(_) | Self::ReadOnly(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110 §15.5.22; connection fields are not for HTTP/2.
            Self::WebSocketOnly(version) if version <= Version::HTTP_11 => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            }
            _ => {}
        }
        response
    }
}

/// RFC 9457 §3.1, and what is wrong with which field.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn problem(error: ApiError) -> (StatusCode, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn an_internal_error_tells_the_client_nothing() {
        let (status, problem) = problem(ApiError::Internal("disk /dev/sda1 is full".into())).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "about:blank",
                "title": "Internal Server Error",
                "status": 500,
                "detail": "something broke; it has been logged",
            })
        );
    }

    #[tokio::test]
    async fn an_invalid_request_is_told_every_field() {
        let mut errors = FieldErrors::default();
        assert_eq!(errors.require("name", None::<&str>, Ok), None);
        assert_eq!(errors.collect("age", Err::<(), _>(Invalid("must be positive"))), None);
        let (status, problem) = problem(errors.into()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(
            problem["errors"],
            serde_json::json!([
                {"field": "name", "message": "is required"},
                {"field": "age", "message": "must be positive"},
            ])
        );
    }
}
