//! Logging in.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde::{Deserialize, Serialize};

use crate::domain::EmailAddress;
use crate::error::{ApiError, FieldErrors};
use crate::http::extract::JsonBody;
use crate::secret::Secret;
use crate::services::Shared;

/// Body of [`login`]'s request.
#[derive(Debug, Deserialize)]
pub struct LoginRequest {
    email: Option<String>,
    password: Option<Secret<String>>,
}

/// Body of [`login`]'s response; RFC 6749 §5.1 names its fields.
#[derive(Serialize)]
pub struct LoginResponse {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

/// `POST /api/v1/auth/login`: a token, or 401.
///
/// An unknown address and a wrong password get the same answer after the same
/// work, so that nobody learns here who is a user.
pub async fn login(
    State(services): State<Shared>,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    let email = errors.require("email", request.email, Ok);
    let password = errors.require("password", request.password, Ok);
    let (Some(email), Some(password)) = (email, password) else {
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
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(response)))
}
