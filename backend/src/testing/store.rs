//! A store in memory that has a history, and replicas if a test says so.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::{
    Account, Credentials, EmailAddress, NewUser, Role, TokenId, User, UserChanges, UserId, UserName,
};
use crate::secret::Secret;
use crate::store::{Position, Read, ReadCounts, StoreError, StoreStatus, UserStore, Written};

/// Every write moves it on by a kilobyte.
const STEP: u64 = 0x400;

#[derive(Default)]
pub(crate) struct FakeStore(Mutex<State>);

#[derive(Default)]
struct State {
    users: BTreeMap<i64, (Account, Secret<String>)>,
    revoked: HashSet<TokenId>,
    written: u64,
    /// What reads had to have seen.
    asked: Vec<Position>,
    is_down: bool,
    status: StoreStatus,
    held: Option<Held>,
}

/// A write that is stored, but has not been told its position yet.
#[derive(Clone, Default)]
pub(crate) struct Held {
    stored: Arc<Notify>,
    released: Arc<Notify>,
}

impl Held {
    /// Returns when it has been stored.
    pub(crate) async fn stored(&self) {
        self.stored.notified().await;
    }

    /// Tells it the position that the database has by now.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

impl FakeStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts a user there, past everything; the hash is none.
    pub(crate) fn put(&self, email: &str, role: Role) -> Credentials {
        let mut state = self.0.lock();
        let id = UserId::from_stored(state.users.len() as i64 + 1);
        let user = User {
            id,
            email: EmailAddress::parse(email).unwrap(),
            name: UserName::parse("Ann").unwrap(),
            role,
            created_at: UNIX_EPOCH,
        };
        let password_hash = Secret::new("none".to_owned());
        let account = Account { user, token_version: 0 };
        state.users.insert(id.value(), (account, password_hash.clone()));
        Credentials { id, password_hash, token_version: 0 }
    }

    /// From now on nothing can be asked.
    pub(crate) fn break_down(&self) {
        self.0.lock().is_down = true;
    }

    /// What the status is from now on.
    pub(crate) fn set_status(&self, status: StoreStatus) {
        self.0.lock().status = status;
    }

    /// The next write learns its position only when it is released.
    pub(crate) fn hold_next_position(&self) -> Held {
        self.0.lock().held.insert(Held::default()).clone()
    }

    /// What reads had to have seen so far.
    pub(crate) fn asked(&self) -> Vec<Position> {
        self.0.lock().asked.clone()
    }

    fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> Result<Read<T>, StoreError> {
        let mut state = self.0.lock();
        if state.is_down {
            return Err(StoreError::Unavailable("no route to db-1.internal".into()));
        }
        let value = read(&mut state);
        Ok(Read { value, position: Position::from_bytes(state.written) })
    }

    /// Asks for the position after the write, as one has to ask PostgreSQL.
    async fn write<T>(
        &self,
        write: impl FnOnce(&mut State) -> T,
    ) -> Result<Written<T>, StoreError> {
        let Read { value, .. } = self.read(|state| {
            state.written += STEP;
            write(state)
        })?;
        let held = self.0.lock().held.take();
        if let Some(held) = held {
            held.stored.notify_one();
            held.released.notified().await;
        }
        Ok(Written { value, position: Position::from_bytes(self.0.lock().written) })
    }
}

#[async_trait]
impl UserStore for FakeStore {
    async fn create(&self, user: NewUser) -> Result<Written<User>, StoreError> {
        let NewUser { email, name, role, password_hash } = user;
        self.write(|state| {
            let id = UserId::from_stored(state.users.len() as i64 + 1);
            let user = User { id, email, name, role, created_at: UNIX_EPOCH };
            let account = Account { user: user.clone(), token_version: 0 };
            state.users.insert(id.value(), (account, password_hash));
            user
        })
        .await
    }

    async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<Account>>, StoreError> {
        self.write(|state| {
            let (account, hash) = state.users.get_mut(&id.value())?;
            if changes.if_token_version.is_some_and(|version| version != account.token_version) {
                return None;
            }
            let user = &mut account.user;
            user.email = changes.email.unwrap_or(user.email.clone());
            user.name = changes.name.unwrap_or(user.name.clone());
            user.role = changes.role.unwrap_or(user.role);
            if let Some(new) = changes.password_hash {
                *hash = new;
                account.token_version += 1;
            }
            Some(account.clone())
        })
        .await
    }

    async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError> {
        self.write(|state| state.users.remove(&id.value()).is_some()).await
    }

    async fn find(&self, id: UserId, at_least: Position) -> Result<Read<Option<User>>, StoreError> {
        self.read(|state| {
            state.asked.push(at_least);
            state.users.get(&id.value()).map(|(account, _)| account.user.clone())
        })
    }

    async fn list(
        &self,
        _: Option<UserId>,
        _: u32,
        at_least: Position,
    ) -> Result<Vec<User>, StoreError> {
        let users = self.read(|state| {
            state.asked.push(at_least);
            state.users.values().map(|(account, _)| account.user.clone()).collect()
        });
        users.map(|read| read.value)
    }

    async fn credentials(&self, email: &EmailAddress) -> Result<Option<Credentials>, StoreError> {
        let found = self.read(|state| {
            let mut users = state.users.values();
            let (account, hash) =
                users.find(|(account, _)| account.user.email.key() == email.key())?;
            Some(Credentials {
                id: account.user.id,
                password_hash: hash.clone(),
                token_version: account.token_version,
            })
        });
        found.map(|read| read.value)
    }

    async fn account(&self, id: UserId) -> Result<Read<Option<Account>>, StoreError> {
        self.read(|state| state.users.get(&id.value()).map(|(account, _)| account.clone()))
    }

    async fn revoke(&self, token: &TokenId, _: SystemTime) -> Result<Written<()>, StoreError> {
        self.write(|state| {
            state.revoked.insert(token.clone());
        })
        .await
    }

    async fn is_revoked(&self, token: &TokenId) -> Result<Read<bool>, StoreError> {
        self.read(|state| state.revoked.contains(token))
    }

    async fn status(&self) -> StoreStatus {
        self.known_status()
    }

    fn known_status(&self) -> StoreStatus {
        self.0.lock().status.clone()
    }

    fn read_counts(&self) -> ReadCounts {
        ReadCounts::default()
    }

    async fn close(&self) {}
}
