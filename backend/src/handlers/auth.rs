//! Signing in and out, and who is.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::EmailAddress;
use crate::error::ApiError;
use crate::handlers::schemas;
use crate::http::bearer::Bearer;
use crate::http::extract::JsonBody;
use crate::http::position::Reached;
use crate::secret::Secret;
use crate::services::Shared;
use crate::users::UserView;

/// An access token; RFC 6749 §5.1 names the fields.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "token_type": "bearer",
    "expires_in": 3600
})))]
pub struct LoginResponse {
    /// What `Authorization: Bearer` takes.
    access_token: String,
    /// Always `bearer`.
    #[schema(value_type = String, pattern = "^bearer$")]
    token_type: &'static str,
    /// Seconds.
    #[schema(minimum = 1)]
    expires_in: u64,
}

/// Logging in: a token, or 401.
///
/// An unknown address and a wrong password get the same answer after the same
/// work, so that nobody learns here who is a user.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "auth",
    request_body = schemas::Login,
    responses(
        (status = 200, description = "A token.", body = LoginResponse),
        (status = 401, description = "The e-mail address or the password is wrong."),
        (status = 503, description = "The database cannot be reached, or there is too much to do."),
    )
)]
pub async fn login(
    State(services): State<Shared>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, ApiError> {
    // Whether they could be an address and a password is not asked here: those
    // that could not are wrong like any others.
    let email = fields.require("email", Ok);
    let password = fields.require("password", |text| Ok(Secret::new(text)));
    let errors = fields.finish();
    let (Some(email), Some(password), true) = (email, password, errors.is_empty()) else {
        return Err(errors.into());
    };

    // What is no address belongs to nobody.
    let credentials = match EmailAddress::parse(&email) {
        Ok(email) => services.store.credentials(&email).await?,
        Err(_) => None,
    };
    let hash = credentials.as_ref().map(|found| found.password_hash.clone());
    let is_verified = services.passwords.verify(password, hash).await?;
    let credentials = credentials.filter(|_| is_verified).ok_or(ApiError::WrongCredentials)?;

    let token = services.sessions.issue(&credentials)?;
    let response = LoginResponse {
        access_token: token.expose().clone(),
        token_type: "bearer",
        expires_in: services.sessions.time_to_live().as_secs(),
    };
    // RFC 6749 §5.1: nobody on the way may keep a token.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(response)).into_response())
}

/// Logging out: all instances refuse the token from now on.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    operation_id = "logout",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The token is refused from now on."),
        (status = 503, description = "The database takes no writes: the token is as good as before."),
    )
)]
pub async fn logout(
    State(services): State<Shared>,
    Bearer(session): Bearer,
) -> Result<(StatusCode, Reached), ApiError> {
    let revoked = services.sessions.revoke(&session).await?;
    Ok((StatusCode::NO_CONTENT, Reached(revoked.position)))
}

/// Who is signed in, and until when.
#[derive(Serialize, ToSchema)]
pub struct SessionResponse {
    /// Who.
    #[schema(value_type = schemas::User)]
    user: UserView,
    /// Until when.
    #[schema(format = DateTime, examples("2026-11-25T12:00:00Z"))]
    expires_at: String,
}

/// Whose token this is.
#[utoipa::path(
    get,
    path = "/api/v1/auth/session",
    operation_id = "get_session",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The session.", body = SessionResponse),
        (status = 503, description = "The database cannot be reached."),
    )
)]
pub async fn session(Bearer(session): Bearer) -> Response {
    let response = SessionResponse {
        user: session.user.into(),
        expires_at: humantime::format_rfc3339_seconds(session.expires_at).to_string(),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(response)).into_response()
}
