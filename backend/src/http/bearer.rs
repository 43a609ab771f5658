//! Who asks: access tokens in the `Authorization` field (RFC 6750), and what
//! their bearers may do.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, FromRequestParts, Path};
use http::header::{self, HeaderMap};
use http::request::Parts;

use crate::domain::{Role, UserId};
use crate::error::ApiError;
use crate::services::Shared;
use crate::sessions::Session;

/// Longest token that is looked at. Ours have about 250 bytes.
const MAX_TOKEN_LENGTH: usize = 2048;

/// Somebody who is signed in.
///
/// 401 without a token or with one that is not good, 400 if the field is not one.
/// No answer repeats what the client sent.
#[derive(Debug)]
pub struct Bearer(pub Session);

impl<S> FromRequestParts<S> for Bearer
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let services = Shared::from_ref(state);
        let token = token(&parts.headers)?;
        let session = services.sessions.authenticate(token).await?;
        session.map(Self).ok_or(ApiError::InvalidToken)
    }
}

/// An admin who is signed in: as [`Bearer`], and 403 for other users.
#[derive(Debug)]
pub struct Admin(pub Session);

impl<S> FromRequestParts<S> for Admin
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Bearer(session) = Bearer::from_request_parts(parts, state).await?;
        if session.user.role == Role::Admin {
            Ok(Self(session))
        } else {
            Err(ApiError::Forbidden("this is for admins only"))
        }
    }
}

/// The user whose id is in the path; 404 for what cannot be an id.
#[derive(Debug)]
pub struct UserInPath(pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for UserInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        // What cannot be an id is the id of nobody.
        let id = text.ok().and_then(|Path(text)| UserId::parse(&text).ok());
        id.map(Self).ok_or(ApiError::NotFound)
    }
}

/// A user in the path, and somebody who may change that user: the same one, or
/// an admin. To others it is 403 whether there is such a user or not.
#[derive(Debug)]
pub struct MayChange {
    /// Who asks.
    pub session: Session,
    /// Whose id is in the path.
    pub id: UserId,
}

impl MayChange {
    /// Whether users change themselves.
    pub fn is_self(&self) -> bool {
        self.session.user.id == self.id
    }
}

impl<S> FromRequestParts<S> for MayChange
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Bearer(session) = Bearer::from_request_parts(parts, state).await?;
        let UserInPath(id) = UserInPath::from_request_parts(parts, state).await?;
        if session.user.role == Role::Admin || session.user.id == id {
            Ok(Self { session, id })
        } else {
            Err(ApiError::Forbidden("only admins may change other users"))
        }
    }
}

/// The token that the request carries, if it may be one of ours.
fn token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(ApiError::NoToken),
        (Some(value), None) => value.to_str().map_err(|_| ApiError::MalformedAuthorization)?,
        (Some(_), Some(_)) => return Err(ApiError::MalformedAuthorization),
    };
    // RFC 9110 §11.4: a scheme, spaces, a token.
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        // Credentials for somebody else.
        return Err(ApiError::NoToken);
    }
    let token = token.trim_matches(' ');
    if !is_token68(token) {
        return Err(ApiError::MalformedAuthorization);
    }
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(ApiError::InvalidToken);
    }
    Ok(token)
}

/// RFC 9110 §11.2.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static [u8]]) -> Result<String, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_has_no_case() {
        for value in [&b"Bearer a.b-c_d"[..], b"bearer a.b-c_d", b"BEARER   a.b-c_d"] {
            assert_eq!(of(&[value]).unwrap(), "a.b-c_d");
        }
        assert_eq!(of(&[b"Bearer abc=="]).unwrap(), "abc==");
    }

    #[test]
    fn without_a_bearer_there_is_no_token() {
        for values in [&[][..], &[&b"Basic YTpi"[..]], &[b""], &[b"Bearerabc"]] {
            assert!(matches!(of(values), Err(ApiError::NoToken)), "{values:?}");
        }
    }

    #[test]
    fn a_field_that_is_none_is_refused() {
        for values in [
            &[&b"Bearer"[..]][..],
            &[b"Bearer "],
            &[b"Bearer a b"],
            &[b"Bearer a,b"],
            &[b"Bearer =a"],
            &[b"Bearer \"a\""],
            &[b"Bearer \xff"],
            &[b"Bearer a", b"Bearer a"],
        ] {
            assert!(matches!(of(values), Err(ApiError::MalformedAuthorization)), "{values:?}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_ours_is_not_looked_at() {
        let long = &*format!("Bearer {}", "x".repeat(MAX_TOKEN_LENGTH + 1)).leak();
        assert!(matches!(of(&[long.as_bytes()]), Err(ApiError::InvalidToken)));
    }
}
