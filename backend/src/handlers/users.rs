//! Users: creating, listing, reading one.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::domain::{EmailAddress, Invalid, NewUser, Password, Role, UserId, UserName};
use crate::error::{ApiError, FieldErrors};
use crate::http::extract::{JsonBody, QueryParameters};
use crate::secret::Secret;
use crate::services::Shared;
use crate::store::Position;
use crate::users::UserView;

/// Users on a page, unless the client asks for another number.
const DEFAULT_LIMIT: u32 = 20;

/// Users on a page at most.
const MAX_LIMIT: u32 = 100;

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
    let role = Role::User;
    let created = services.users.create(NewUser { email, name, role, password_hash }).await?;
    let location = format!("/api/v1/users/{}", created.value.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(created.value)).into_response())
}

/// `GET /api/v1/users/{id}`, through the cache.
pub async fn find(
    State(services): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    // What cannot be an id is the id of nobody.
    let id = id.ok().and_then(|Path(text)| UserId::parse(&text).ok()).ok_or(ApiError::NotFound)?;

    let body = services.users.find(id, Position::START).await?.ok_or(ApiError::NotFound)?;
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
    items: Vec<UserView>,
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
    let mut users = services.users.list(after, limit + 1, Position::START).await?;
    let has_more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| has_more).map(|last| last.id);
    Ok(Json(Page { items: users, next }))
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
