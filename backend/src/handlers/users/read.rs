//! Reading users: one, or a page of them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{Invalid, UserId};
use crate::error::{ApiError, FieldErrors};
use crate::handlers::schemas;
use crate::http::bearer::UserInPath;
use crate::http::extract::{QueryParameters, whole_number};
use crate::http::position::AtLeast;
use crate::services::Shared;
use crate::users::UserView;

/// Users on a page, unless the client asks for another number.
const DEFAULT_LIMIT: u32 = 20;

/// Users on a page at most.
const MAX_LIMIT: u32 = 100;

/// One user, through the cache.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    operation_id = "get_user",
    tag = "users",
    params(schemas::IdInPath, schemas::SeenPosition),
    responses(
        (status = 200, description = "The user.", body = schemas::User),
        (status = 400, description = "The position is malformed."),
        (status = 404, description = "There is no such user."),
        (status = 503, description = "The database cannot be reached."),
    )
)]
pub async fn find(
    State(services): State<Shared>,
    UserInPath(id): UserInPath,
    AtLeast(position): AtLeast,
) -> Result<Response, ApiError> {
    let body = services.users.find(id, position).await?.ok_or(ApiError::NotFound)?;
    Ok(json(body))
}

/// Parameters of [`list`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// Users on the page at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20, nullable = false)]
    limit: Option<String>,
    /// The id after which the page begins: `next` of the page before.
    #[param(value_type = Option<i64>, minimum = 1, nullable = false)]
    after: Option<String>,
}

/// Users by ascending id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"items": [], "next": null})))]
pub struct Page {
    /// The users of this page.
    #[schema(value_type = Vec<schemas::User>, max_items = 100)]
    items: Vec<UserView>,
    /// The `after` of the next page; null on the last.
    #[schema(required = true)]
    next: Option<i64>,
}

/// A page of users by ascending id. It begins after an id, not at an offset: it
/// costs the same wherever it is, and users created in the meantime do not
/// shift it.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    operation_id = "list_users",
    tag = "users",
    params(ListParameters, schemas::SeenPosition),
    responses(
        (status = 200, description = "A page.", body = Page),
        (status = 400, description = "The query or the position is malformed."),
        (status = 422, description = "A parameter is not valid."),
        (status = 503, description = "The database cannot be reached."),
    )
)]
pub async fn list(
    State(services): State<Shared>,
    QueryParameters(parameters): QueryParameters<ListParameters>,
    AtLeast(position): AtLeast,
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
    let mut users = services.users.list(after, limit + 1, position).await?;
    let has_more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| has_more).map(|last| last.id);
    Ok(Json(Page { items: users, next }))
}

/// A response of JSON that is there already.
pub(super) fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn parse_limit(text: &str) -> Result<u32, Invalid> {
    match whole_number(text) {
        Some(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => Err(Invalid("must be a number from 1 to 100")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_1_to_100() {
        assert_eq!(parse_limit("1"), Ok(1));
        assert_eq!(parse_limit("100"), Ok(100));
        for text in ["", "0", "101", "-1", "+1", " 1", "1.0", "ten", "99999999999"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }
}
