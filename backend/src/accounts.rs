//! Accounts in the cache: what clients see of a user, and what tokens are checked against.
//! Two keys of the same row, always written together.
//!
//! | Key | Value | Kept |
//! | --- | --- | --- |
//! | `user:{id}` | the JSON of a [`UserView`], as it is sent; nothing if there is no such user | 60 s; 5 s |
//! | `account:{id}` | that and the version of the tokens; nothing if there is no such user | 30 s; 5 s |
//!
//! A write goes to the store, and then to the cache, as the store has it then: of two that
//! come together, the first may be told a position that the second has moved on already, so
//! that what it wrote must not be taken for the state there. If a write does not get to the
//! cache, not even at the second try, clients that bring no position see the old state for as long as it was
//! kept, and a token of before a new password is accepted for as long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cache::{CacheAside, Entry, Loaded};
use crate::domain::{Account, EmailAddress, Invalid, Role, User, UserId, UserName};
use crate::store::{Position, Read, StoreError, UserStore};

/// How long what clients see of a user is kept.
const USER_TIME_TO_LIVE: Duration = Duration::from_secs(60);

/// How long what tokens are checked against is kept: who has a new password, and whose
/// write was lost on the way to the cache, is rid of the old tokens after so long.
const ACCOUNT_TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// How long it is known that there is no such user.
const ABSENT_TIME_TO_LIVE: Duration = Duration::from_secs(5);

/// A user as clients see one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserView {
    /// Identity.
    pub id: i64,
    /// The address.
    pub email: String,
    /// What the user is called.
    pub name: String,
    /// `user` or `admin`.
    pub role: String,
    /// RFC 3339, in UTC, with milliseconds.
    pub created_at: String,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        // Destructured: whether a new field is for clients is decided here.
        let User { id, email, name, role, created_at } = user;
        Self {
            id: id.value(),
            email: email.as_str().to_owned(),
            name: name.as_str().to_owned(),
            role: role.as_str().to_owned(),
            created_at: humantime::format_rfc3339_millis(created_at).to_string(),
        }
    }
}

impl TryFrom<UserView> for User {
    type Error = Invalid;

    fn try_from(view: UserView) -> Result<Self, Invalid> {
        let UserView { id, email, name, role, created_at } = view;
        Ok(Self {
            id: UserId::from_stored(id),
            email: EmailAddress::parse(&email)?,
            name: UserName::parse(&name)?,
            role: Role::parse(&role)?,
            created_at: humantime::parse_rfc3339(&created_at)
                .map_err(|_| Invalid("must be a time"))?,
        })
    }
}

/// Body of `account:{id}`.
#[derive(Serialize, Deserialize)]
struct AccountView {
    user: UserView,
    token_version: i64,
}

/// All accounts, through the cache. Clones share it.
#[derive(Clone)]
pub struct Accounts {
    store: Arc<dyn UserStore>,
    cache: CacheAside,
}

impl Accounts {
    /// The accounts of `store`, with `cache` before it.
    pub fn new(store: Arc<dyn UserStore>, cache: CacheAside) -> Self {
        Self { store, cache }
    }

    /// The JSON of a [`UserView`], in a state no older than `at_least`.
    ///
    /// # Errors
    /// If the store is asked and fails.
    pub async fn view(&self, id: UserId, at_least: Position) -> Result<Option<Bytes>, StoreError> {
        let load = async {
            let Read { value, position } = self.store.find(id, at_least).await?;
            of_user(value.map(UserView::from).as_ref(), position)
        };
        let entry = self.cache.find(&user_key(id), at_least, load).await?;
        Ok(Some(entry.value).filter(|json| !json.is_empty()))
    }

    /// The account that a token of this version is for; `None` if its user is gone, or has
    /// another password since.
    ///
    /// # Errors
    /// If the store is asked and fails.
    pub async fn of_token(&self, id: UserId, version: i64) -> Result<Option<User>, StoreError> {
        let key = account_key(id);
        let cached = self.cache.find(&key, Position::START, self.load(id)).await?;
        let mut account = parse(&cached);
        // Versions only grow: a token that is ahead of the cache has been issued since, and
        // one that is behind has ended. What cannot be read is of another release.
        let is_behind = account
            .as_ref()
            .is_none_or(|account| account.as_ref().is_some_and(|it| it.token_version < version));
        if is_behind {
            account = parse(&self.cache.refresh(&key, self.load(id)).await?);
        }
        let account = account.flatten().filter(|account| account.token_version == version);
        Ok(account.map(|account| account.user))
    }

    /// The user has just been written.
    pub async fn created(&self, user: &UserView, position: Position) {
        // No token is checked before the first login, which reads the account.
        if let Ok(loaded) = of_user(Some(user), position) {
            self.cache.replace(&user_key(UserId::from_stored(user.id)), loaded).await;
        }
    }

    /// The account has just been changed, and was like this then.
    pub async fn changed(&self, id: UserId, account: &Account, position: Position) {
        if !self.cache.is_enabled() {
            return;
        }
        match self.store.account(id).await {
            Ok(now) if now.position >= position => {
                self.written(id, now.value.as_ref(), now.position).await;
            }
            // The primary has just gone: the next best.
            _ => self.written(id, Some(account), position).await,
        }
    }

    /// The account has just been removed. Its id is never given again: nothing that is known
    /// of it from elsewhere is newer.
    pub async fn removed(&self, id: UserId) {
        self.written(id, None, Position::END).await;
    }

    /// The account is like this at `position`, or gone.
    async fn written(&self, id: UserId, account: Option<&Account>, position: Position) {
        let user = account.map(|account| UserView::from(account.user.clone()));
        let (user_key, account_key) = (user_key(id), account_key(id));
        if let (Ok(user), Ok(account)) =
            (of_user(user.as_ref(), position), of_account(account, position))
        {
            tokio::join!(
                self.cache.replace(&user_key, user),
                self.cache.replace(&account_key, account)
            );
        }
    }

    async fn load(&self, id: UserId) -> Result<Loaded, StoreError> {
        let Read { value, position } = self.store.account(id).await?;
        of_account(value.as_ref(), position)
    }
}

fn user_key(id: UserId) -> String {
    format!("user:{id}")
}

fn account_key(id: UserId) -> String {
    format!("account:{id}")
}

fn of_user(user: Option<&UserView>, position: Position) -> Result<Loaded, StoreError> {
    loaded(user, position, USER_TIME_TO_LIVE)
}

fn of_account(account: Option<&Account>, position: Position) -> Result<Loaded, StoreError> {
    let view = account.map(|account| AccountView {
        user: account.user.clone().into(),
        token_version: account.token_version,
    });
    loaded(view.as_ref(), position, ACCOUNT_TIME_TO_LIVE)
}

/// Nothing stands for what is not there: JSON is never empty.
fn loaded(
    value: Option<&impl Serialize>,
    position: Position,
    time_to_live: Duration,
) -> Result<Loaded, StoreError> {
    let json = value.map(serde_json::to_vec).transpose();
    let json = json.map_err(|error| StoreError::Failed(error.into()))?;
    Ok(Loaded {
        time_to_live: if json.is_some() { time_to_live } else { ABSENT_TIME_TO_LIVE },
        entry: Entry { position, value: json.unwrap_or_default().into() },
    })
}

/// `None` if it cannot be read, `Some(None)` if there is no such user.
fn parse(entry: &Entry) -> Option<Option<Account>> {
    if entry.value.is_empty() {
        return Some(None);
    }
    let AccountView { user, token_version } = serde_json::from_slice(&entry.value).ok()?;
    Some(Some(Account { user: user.try_into().ok()?, token_version }))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn account() -> Account {
        Account {
            user: User {
                id: UserId::from_stored(7),
                email: EmailAddress::parse("ann@example.com").unwrap(),
                name: UserName::parse("Ann").unwrap(),
                role: Role::Admin,
                created_at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            },
            token_version: 3,
        }
    }

    #[test]
    fn an_account_comes_out_of_the_cache_as_it_went_in() {
        let loaded = of_account(Some(&account()), Position::from_bytes(9)).unwrap();
        assert_eq!(loaded.time_to_live, ACCOUNT_TIME_TO_LIVE);
        let parsed = parse(&loaded.entry).unwrap().unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", account()));
    }

    #[test]
    fn nobody_is_not_the_same_as_something_unreadable() {
        let nobody = of_account(None, Position::START).unwrap();
        assert_eq!(nobody.time_to_live, ABSENT_TIME_TO_LIVE);
        assert!(parse(&nobody.entry).unwrap().is_none());
        let unreadable = Entry { position: Position::START, value: Bytes::from_static(b"{}") };
        assert!(parse(&unreadable).is_none());
    }
}
