//! Who is signed in. What a token says is checked against the store: whether it
//! has been refused, and whether its user is still there and has the password
//! that it was issued for. The cache makes that quick: a request whose session it knows
//! costs no database.
//!
//! The list of refused tokens in the store is the truth. In the cache, `session:{token}`
//! says that a token was active at some position, or that it has been revoked: as none is
//! ever active again, that stands at the end of all positions, and nothing takes its place.
//! When the cache forgets, the store is asked again. One gap remains: should a master of Redis
//! be lost together with a logout that no replica has seen, and should an instance have read
//! the token as active before the logout and write that after it, then the token is accepted
//! for up to [`ACTIVE_TIME_TO_LIVE`] more.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::accounts::Accounts;
use crate::cache::{CacheAside, Entry, Loaded};
use crate::domain::{Credentials, TokenId, User};
use crate::metrics::SessionMetrics;
use crate::secret::Secret;
use crate::store::{Position, Read, StoreError, UserStore, Written};
use crate::tokens::{IssueError, LEEWAY, Tokens};
use crate::users::to_the_end;

/// How long it is known that a token was active.
pub const ACTIVE_TIME_TO_LIVE: Duration = Duration::from_secs(30);

const ACTIVE: Bytes = Bytes::from_static(b"active");
const REVOKED: Bytes = Bytes::from_static(b"revoked");

/// Signing in and out, and who is.
pub struct Sessions {
    tokens: Tokens,
    store: Arc<dyn UserStore>,
    accounts: Accounts,
    cache: CacheAside,
    metrics: SessionMetrics,
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
    /// Sessions by `tokens`, checked against `store`, which `accounts` are of too.
    pub fn new(
        tokens: Tokens,
        store: Arc<dyn UserStore>,
        accounts: Accounts,
        cache: CacheAside,
        metrics: SessionMetrics,
    ) -> Self {
        Self { tokens, store, accounts, cache, metrics }
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
        let token = self.tokens.issue(credentials.id, credentials.token_version)?;
        self.metrics.issued.inc();
        Ok(token)
    }

    /// Who bears this token; `None` if it is not, or no longer, good.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Session>, StoreError> {
        let session = self.find(token).await?;
        if session.is_none() {
            self.metrics.refused.inc();
        }
        Ok(session)
    }

    async fn find(&self, token: &str) -> Result<Option<Session>, StoreError> {
        let Ok(token) = self.tokens.verify(token) else {
            return Ok(None);
        };
        let (is_revoked, user) = tokio::try_join!(
            self.is_revoked(&token.id, token.expires_at),
            self.accounts.of_token(token.user, token.version)
        )?;
        Ok(user.filter(|_| !is_revoked).map(|user| Session {
            token: token.id,
            user,
            expires_at: token.expires_at,
        }))
    }

    /// Ends a session: its token is refused from now on, by all instances.
    ///
    /// # Errors
    /// If the store takes no writes; then the token is as good as before.
    pub async fn revoke(&self, session: &Session) -> Result<Written<()>, StoreError> {
        let (store, cache) = (Arc::clone(&self.store), self.cache.clone());
        let (token, expires_at) = (session.token.clone(), session.expires_at);
        let written = to_the_end(async move {
            let written = store.revoke(&token, expires_at).await?;
            cache.replace(&key(&token), revoked(expires_at)).await;
            Ok(written)
        })
        .await?;
        self.metrics.revoked.inc();
        Ok(written)
    }

    async fn is_revoked(
        &self,
        token: &TokenId,
        expires_at: SystemTime,
    ) -> Result<bool, StoreError> {
        let load = async {
            let Read { value, position } = self.store.is_revoked(token).await?;
            Ok::<_, StoreError>(match value {
                true => revoked(expires_at),
                false => active(position, expires_at),
            })
        };
        let entry = self.cache.find(&key(token), Position::START, load).await?;
        // Whatever else it says: not active.
        Ok(entry.value != ACTIVE)
    }
}

fn key(token: &TokenId) -> String {
    format!("session:{}", token.as_str())
}

/// What is kept of a token that was good at `position`.
fn active(position: Position, expires_at: SystemTime) -> Loaded {
    Loaded {
        entry: Entry { position, value: ACTIVE },
        time_to_live: time_left(expires_at).min(ACTIVE_TIME_TO_LIVE),
    }
}

/// What is kept of a token that has been refused. It replaces whatever there is: also what
/// has a position that was lost with a primary, and is ahead of those since.
fn revoked(expires_at: SystemTime) -> Loaded {
    let entry = Entry { position: Position::END, value: REVOKED };
    Loaded { entry, time_to_live: time_left(expires_at) }
}

/// How long a token would be accepted.
fn time_left(expires_at: SystemTime) -> Duration {
    expires_at.duration_since(SystemTime::now()).unwrap_or_default() + LEEWAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::domain::Role;
    use crate::testing::{FakeStore, MemoryCache, services_with};

    #[test]
    fn a_refused_token_is_remembered_until_its_end_and_a_good_one_for_a_while() {
        let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
        let refused = revoked(in_an_hour).time_to_live;
        assert!(refused > Duration::from_secs(3590) && refused <= Duration::from_secs(3605));
        assert_eq!(active(Position::START, in_an_hour).time_to_live, ACTIVE_TIME_TO_LIVE);

        let soon = SystemTime::now() + Duration::from_secs(10);
        assert!(active(Position::START, soon).time_to_live <= Duration::from_secs(15));
        let past = SystemTime::now() - Duration::from_secs(10);
        assert_eq!(revoked(past).time_to_live, LEEWAY);
    }

    #[tokio::test]
    async fn a_refused_token_stays_refused_whatever_the_cache_has() {
        let store = FakeStore::new();
        let credentials = store.put("ann@example.com", Role::User);
        let memory = Arc::new(MemoryCache::default());
        let services = services_with(store, memory.clone()).await;
        let sessions = &services.sessions;
        let token = sessions.issue(&credentials).unwrap();
        let session = sessions.authenticate(token.expose()).await.unwrap().unwrap();

        // As read from a primary that is gone, with what nobody else had of it.
        let lost = Entry { position: Position::from_bytes(1 << 60), value: ACTIVE };
        memory.fill(&key(&session.token), lost, ACTIVE_TIME_TO_LIVE).await.unwrap();
        sessions.revoke(&session).await.unwrap();
        assert!(sessions.authenticate(token.expose()).await.unwrap().is_none());
    }
}
