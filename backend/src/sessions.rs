//! Who is signed in. What a token says is checked against the store: whether it
//! has been refused, and whether its user is still there and has the password
//! that it was issued for. The cache only makes that quick.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cache::Cache;
use crate::domain::{Credentials, TokenId, User};
use crate::secret::Secret;
use crate::store::{StoreError, UserStore, Written};
use crate::tokens::{IssueError, Tokens};

/// Signing in and out, and who is.
pub struct Sessions {
    tokens: Tokens,
    store: Arc<dyn UserStore>,
    #[expect(dead_code, reason = "what the store says will be kept there")]
    cache: Arc<dyn Cache>,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// With which token.
    pub token: TokenId,
    /// Who.
    pub user: User,
    /// Until when.
    pub expires_at: SystemTime,
}

impl Sessions {
    /// Sessions by `tokens`, checked against `store`.
    pub fn new(tokens: Tokens, store: Arc<dyn UserStore>, cache: Arc<dyn Cache>) -> Self {
        Self { tokens, store, cache }
    }

    /// How long a session lasts.
    pub fn time_to_live(&self) -> Duration {
        self.tokens.time_to_live()
    }

    /// A token for a user whose password has been verified.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn issue(&self, credentials: &Credentials) -> Result<Secret<String>, IssueError> {
        self.tokens.issue(credentials.id, credentials.token_version)
    }

    /// Who bears this token; `None` if it is not, or no longer, good.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Session>, StoreError> {
        let Ok(token) = self.tokens.verify(token) else {
            return Ok(None);
        };
        let (is_revoked, account) =
            tokio::try_join!(self.store.is_revoked(&token.id), self.store.account(token.user))?;
        let account = account.value.filter(|account| account.token_version == token.version);
        Ok(account.filter(|_| !is_revoked.value).map(|account| Session {
            token: token.id,
            user: account.user,
            expires_at: token.expires_at,
        }))
    }

    /// Ends a session: its token is refused from now on, by all instances.
    ///
    /// # Errors
    /// If the store takes no writes; then the token is as good as before.
    pub async fn revoke(&self, session: &Session) -> Result<Written<()>, StoreError> {
        self.store.revoke(&session.token, session.expires_at).await
    }
}
