//! Users: creating, listing, reading one.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::domain::{EmailAddress, Invalid, NewUser, Password, User, UserId, UserName};
use crate::error::{ApiError, FieldErrors, chain};
use crate::http::extract::{JsonBody, QueryParameters};
use crate::secret::Secret;
use crate::services::Shared;

/// How long a user is kept in the cache. Users do not change for now, so this
/// only frees the memory of those that nobody asks for.
const CACHE_TIME: Duration = Duration::from_secs(60);

/// Users on a page, unless the client asks for another number.
const DEFAULT_LIMIT: u32 = 20;

/// Users on a page at most.
const MAX_LIMIT: u32 = 100;

/// A user as clients see one.
#[derive(Debug, Serialize)]
pub struct UserResponse {
    id: i64,
    email: String,
    name: String,
    /// RFC 3339, in UTC, with milliseconds.
    created_at: String,
}

impl From<User> for UserResponse {
    fn from(user: User) -> Self {
        // Destructured: whether a new field is for clients is decided here.
        let User { id, email, name, created_at } = user;
        Self {
            id: id.value(),
            email: email.as_str().to_owned(),
            name: name.as_str().to_owned(),
            created_at: humantime::format_rfc3339_millis(created_at).to_string(),
        }
    }
}

/// Body of [`create`]'s request.
#[derive(Debug, Deserialize)]
pub struct CreateRequest {
    email: Option<String>,
    name: Option<String>,
    password: Option<Secret<String>>,
}

/// `POST /api/v1/users`: 201 with the location of the new user.
pub async fn create(
    State(services): State<Shared>,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    let email = errors.require("email", request.email, |text| EmailAddress::parse(&text));
    let name = errors.require("name", request.name, |text| UserName::parse(&text));
    let password = errors.require("password", request.password, Password::parse);
    let (Some(email), Some(name), Some(password)) = (email, name, password) else {
        return Err(errors.into());
    };

    let password_hash = services.passwords.hash(password.into_secret()).await?;
    let user = services.users.create(NewUser { email, name, password_hash }).await?;
    let location = format!("/api/v1/users/{}", user.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(UserResponse::from(user)))
        .into_response())
}

/// `GET /api/v1/users/{id}`, through the cache.
pub async fn find(
    State(services): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    // What cannot be an id is the id of nobody.
    let id = id.ok().and_then(|Path(text)| UserId::parse(&text).ok()).ok_or(ApiError::NotFound)?;

    let key = format!("user:1:{id}");
    if let Some(body) = cached(services.cache.as_ref(), &key).await {
        return Ok(json(body));
    }

    // That there is no such user is not kept: the next moment another
    // instance may create one, and its reader may come here.
    let user = services.users.find(id).await?.ok_or(ApiError::NotFound)?;
    let body = serde_json::to_vec(&UserResponse::from(user))
        .map_err(|error| ApiError::Internal(error.into()))?;
    let body = Bytes::from(body);
    if let Err(error) = services.cache.store(&key, body.clone(), CACHE_TIME).await {
        tracing::warn!(error = chain(&error), "cannot write to the cache");
    }
    Ok(json(body))
}

/// Parameters of [`list`].
#[derive(Debug, Deserialize)]
pub struct ListParameters {
    limit: Option<String>,
    after: Option<String>,
}

/// Body of [`list`]'s response.
#[derive(Debug, Serialize)]
pub struct Page {
    items: Vec<UserResponse>,
    /// The `after` of the next page; null on the last.
    next: Option<i64>,
}

/// `GET /api/v1/users?limit=&after=`: a page of users by ascending id. A page
/// begins after an id, not at an offset: it costs the same wherever it is, and
/// users created in the meantime do not shift it.
pub async fn list(
    State(services): State<Shared>,
    QueryParameters(parameters): QueryParameters<ListParameters>,
) -> Result<Json<Page>, ApiError> {
    let mut errors = FieldErrors::default();
    let limit = parameters.limit.map_or(Ok(DEFAULT_LIMIT), |text| parse_limit(&text));
    let limit = errors.collect("limit", limit);
    let after = parameters.after.map(|text| UserId::parse(&text)).transpose();
    let after = errors.collect("after", after);
    let (Some(limit), Some(after)) = (limit, after) else {
        return Err(errors.into());
    };

    // One more than asked for tells whether there is a next page.
    let mut users = services.users.list(after, limit + 1).await?;
    let has_more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| has_more).map(|last| last.id.value());
    Ok(Json(Page { items: users.into_iter().map(UserResponse::from).collect(), next }))
}

/// What the cache has; a cache that is down has nothing.
async fn cached(cache: &dyn Cache, key: &str) -> Option<Bytes> {
    cache.find(key).await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "cannot read from the cache");
        None
    })
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn parse_limit(text: &str) -> Result<u32, Invalid> {
    const MALFORMED: Invalid = Invalid("must be a number from 1 to 100");
    match text.parse::<u32>() {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_1_to_100() {
        assert_eq!(parse_limit("1"), Ok(1));
        assert_eq!(parse_limit("100"), Ok(100));
        for text in ["", "0", "101", "-1", "ten", "99999999999"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }
}
