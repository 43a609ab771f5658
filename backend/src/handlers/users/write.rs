//! Creating, changing and removing users.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::read::json;
use crate::domain::{EmailAddress, NewUser, Password, Role, UserChanges, UserName};
use crate::error::{ApiError, FieldError};
use crate::handlers::schemas;
use crate::http::bearer::MayChange;
use crate::http::extract::JsonBody;
use crate::http::position::{AtLeast, Reached};
use crate::secret::Secret;
use crate::services::{Services, Shared};
use crate::store::Written;

/// Signing up, which is open to everybody.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    operation_id = "create_user",
    tag = "users",
    request_body = schemas::NewUser,
    responses(
        (
            status = 201,
            description = "The new user.",
            body = schemas::User,
            headers(("Location" = String, description = "Where the user is.")),
        ),
        (status = 409, description = "Another user has this e-mail address."),
        (status = 503, description = "The database takes no writes, or there is too much to do."),
    )
)]
pub async fn create(
    State(services): State<Shared>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, ApiError> {
    let email = fields.require("email", |text| EmailAddress::parse(&text));
    let name = fields.require("name", |text| UserName::parse(&text));
    let password = fields.require("password", |text| Password::parse(Secret::new(text)));
    let errors = fields.finish();
    let (Some(email), Some(name), Some(password), true) =
        (email, name, password, errors.is_empty())
    else {
        return Err(errors.into());
    };

    let password_hash = services.passwords.hash(password.into_secret()).await?;
    let role = Role::User;
    let Written { value: user, position } =
        services.users.create(NewUser { email, name, role, password_hash }).await?;
    let location = format!("/api/v1/users/{}", user.id);
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, Reached(position), headers, Json(user)).into_response())
}

/// Changing a user: what is in the body, and nothing else. Users may change
/// themselves, admins everybody.
///
/// Whoever changes their own password has to give the current one: a token that
/// was left lying about must not be enough to take an account over. A new
/// password ends all sessions of the user, also this one. The role is changed by
/// admins only, and by none their own: nobody can lock the last admin out.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{id}",
    operation_id = "update_user",
    tag = "users",
    params(schemas::IdInPath, schemas::SeenPosition),
    request_body = schemas::UserChanges,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The user as it is now.", body = schemas::User),
        (status = 403, description = "Only admins may do this, or nobody."),
        (status = 404, description = "There is no such user."),
        (status = 409, description = "Another user has this e-mail address."),
        (status = 503, description = "The database takes no writes, or there is too much to do."),
    )
)]
pub async fn update(
    State(services): State<Shared>,
    access: MayChange,
    AtLeast(at_least): AtLeast,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, ApiError> {
    let email = fields.optional("email", |text| EmailAddress::parse(&text));
    let name = fields.optional("name", |text| UserName::parse(&text));
    let role = fields.optional("role", |text| Role::parse(&text));
    let password = fields.optional("password", |text| Password::parse(Secret::new(text)));
    let current = fields.optional("current_password", |text| Ok(Secret::new(text)));
    let errors = fields.finish();
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if role.is_some() {
        may_change_role(&access, role)?;
    }

    let mut if_token_version = None;
    let password_hash = match password {
        Some(password) => {
            if access.is_self() {
                let version = check_current_password(&services, &access, current).await?;
                if_token_version = Some(version);
            }
            Some(services.passwords.hash(password.into_secret()).await?)
        }
        None => None,
    };
    if email.is_none() && name.is_none() && role.is_none() && password_hash.is_none() {
        let user = services.users.find(access.id, at_least).await?;
        return user.map(json).ok_or(ApiError::NotFound);
    }

    let changes = UserChanges { email, name, role, password_hash, if_token_version };
    let Written { value: user, position } = services.users.update(access.id, changes).await?;
    let user = user.ok_or_else(|| match if_token_version {
        // Of two that change it at the same time, the second one's is no longer right.
        Some(_) => wrong_current_password("is wrong"),
        None => ApiError::NotFound,
    })?;
    Ok((Reached(position), Json(user)).into_response())
}

/// Removing a user, and ending all sessions of that user. Users may remove
/// themselves, admins everybody.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    operation_id = "delete_user",
    tag = "users",
    params(schemas::IdInPath),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The user is gone."),
        (status = 403, description = "Only admins may remove other users."),
        (status = 404, description = "There is no such user."),
        (status = 503, description = "The database takes no writes."),
    )
)]
pub async fn delete(
    State(services): State<Shared>,
    access: MayChange,
) -> Result<(StatusCode, Reached), ApiError> {
    let Written { value: was_there, position } = services.users.delete(access.id).await?;
    if was_there {
        Ok((StatusCode::NO_CONTENT, Reached(position)))
    } else {
        Err(ApiError::NotFound)
    }
}

/// A role that stays as it is does no harm.
fn may_change_role(access: &MayChange, role: Option<Role>) -> Result<(), ApiError> {
    let asks = &access.session.user;
    if asks.role != Role::Admin {
        return Err(ApiError::Forbidden("only admins may change a role"));
    }
    if access.is_self() && role != Some(asks.role) {
        return Err(ApiError::Forbidden("an admin's own role is changed by another admin"));
    }
    Ok(())
}

fn wrong_current_password(message: &'static str) -> ApiError {
    ApiError::Invalid(vec![FieldError::new("current_password", message)])
}

/// The version of the tokens for which the password is right.
async fn check_current_password(
    services: &Services,
    access: &MayChange,
    current: Option<Secret<String>>,
) -> Result<i64, ApiError> {
    let current =
        current.ok_or_else(|| wrong_current_password("is required to change the password"))?;
    // The address that the session knows may be the one of a moment ago.
    let account = services.store.account(access.id).await?.value.ok_or(ApiError::NotFound)?;
    let credentials = services.store.credentials(&account.user.email).await?;
    let credentials = credentials.filter(|found| found.id == access.id);
    let hash = credentials.as_ref().map(|found| found.password_hash.clone());
    match (services.passwords.verify(current, hash).await?, credentials) {
        (true, Some(credentials)) => Ok(credentials.token_version),
        _ => Err(wrong_current_password("is wrong")),
    }
}
