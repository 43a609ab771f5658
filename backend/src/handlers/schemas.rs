//! What goes in and out, as it is described. What comes in is parsed by the
//! `domain`, whose bounds are repeated here; that they are the same is what
//! `scripts/test-openapi.sh` finds out.

use serde::{Deserialize, Serialize};
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::{IntoParams, ToSchema};

/// A user.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "id": 1,
    "email": "ann@example.com",
    "name": "Ann",
    "role": "user",
    "created_at": "2026-11-25T12:00:00.000Z"
})))]
pub struct User {
    /// Identity.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The address, unique without regard to case.
    pub email: String,
    /// What the user is called.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When the user was stored, in UTC, with milliseconds.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// What a user may do.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything with themselves.
    User,
    /// Everything with everybody, and a look behind the scenes.
    Admin,
}

/// Somebody who signs up.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "email": "ann@example.com",
    "name": "Ann",
    "password": "correct horse battery staple"
})))]
pub struct NewUser {
    /// `local@host.domain`; the part before the `@` has at most 64 bytes, all of
    /// it has at most 254.
    #[schema(format = "idn-email", min_length = 5, max_length = 254)]
    pub email: String,
    /// Not blank, and without control characters.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub name: String,
    /// Of any characters.
    #[schema(min_length = 8, max_length = 128, format = Password, write_only)]
    pub password: String,
}

/// What is to change of a user; what is left out stays.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"name": "Ann Smith"})))]
pub struct UserChanges {
    /// As in a new user.
    #[schema(nullable = false, format = "idn-email", min_length = 5, max_length = 254)]
    pub email: Option<String>,
    /// As in a new user.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub name: Option<String>,
    /// A new password. It ends all sessions of the user.
    #[schema(nullable = false, min_length = 8, max_length = 128, format = Password, write_only)]
    pub password: Option<String>,
    /// The password so far. Users need it to change their own password.
    #[schema(nullable = false, format = Password, write_only)]
    pub current_password: Option<String>,
    /// By admins only, and by none their own.
    #[schema(nullable = false)]
    pub role: Option<Role>,
}

/// Who wants to sign in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "email": "ann@example.com",
    "password": "correct horse battery staple"
})))]
pub struct Login {
    /// The address, in any case.
    pub email: String,
    /// The password.
    #[schema(format = Password, write_only)]
    pub password: String,
}

/// What went wrong (RFC 9457).
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "some values are not valid",
    "errors": [{"field": "email", "message": "must be an e-mail address"}]
})))]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// What is wrong with which field.
    #[schema(nullable = false)]
    pub errors: Option<Vec<FieldError>>,
}

/// What is wrong with a field of the body, or a parameter of the query.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldError {
    /// Which one; `body` is all of it.
    pub field: String,
    /// What about it.
    pub message: String,
}

/// The id of a user, in the path.
pub struct IdInPath;

impl IntoParams for IdInPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let id = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1));
        let parameter = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("The id of a user."))
            .schema(Some(id))
            .example(Some(serde_json::json!(1)));
        vec![parameter.build()]
    }
}

/// The schema of a position.
pub(crate) fn position() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$"))
        .min_length(Some(3))
        .max_length(Some(17))
}

/// The position that a read has to have seen, in a header or a cookie.
pub struct SeenPosition;

impl IntoParams for SeenPosition {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let header = ParameterBuilder::new()
            .name("X-Database-Position")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("What a write has answered with: the read sees at least that."))
            .schema(Some(position()))
            .example(Some(serde_json::json!("0/16B3748")));
        let cookie = ParameterBuilder::new()
            .name("database_position")
            .parameter_in(ParameterIn::Cookie)
            .required(Required::False)
            .description(Some("The same; the header wins. What makes no sense is ignored."))
            .schema(Some(text()));
        vec![header.build(), cookie.build()]
    }
}
