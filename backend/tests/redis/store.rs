//! Users in memory, with positions as PostgreSQL has them: each write is one further.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use backend::domain::{
    Account, Credentials, EmailAddress, NewUser, TokenId, User, UserChanges, UserId,
};
use backend::store::{Position, Read, ReadCounts, StoreError, StoreStatus, UserStore, Written};

/// One database for all instances.
#[derive(Default)]
pub(crate) struct MemoryStore {
    state: Mutex<State>,
    reads: AtomicUsize,
}

#[derive(Default)]
struct State {
    position: u64,
    accounts: BTreeMap<UserId, Account>,
    revoked: HashSet<TokenId>,
}

impl MemoryStore {
    /// How often it has been asked.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn position(&self) -> Position {
        Position::from_bytes(self.state.lock().unwrap().position)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Read<T> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let state = self.state.lock().unwrap();
        Read { value: read(&state), position: Position::from_bytes(state.position) }
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> Written<T> {
        let mut state = self.state.lock().unwrap();
        state.position += 1;
        let value = write(&mut state);
        Written { value, position: Position::from_bytes(state.position) }
    }
}

#[async_trait]
impl UserStore for MemoryStore {
    async fn create(&self, user: NewUser) -> Result<Written<User>, StoreError> {
        let NewUser { email, name, role, .. } = user;
        Ok(self.write(|state| {
            let id = UserId::from_stored(state.accounts.len() as i64 + 1);
            let user = User { id, email, name, role, created_at: SystemTime::UNIX_EPOCH };
            state.accounts.insert(id, Account { user: user.clone(), token_version: 0 });
            user
        }))
    }

    async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<Account>>, StoreError> {
        let UserChanges { email, name, role, password_hash, if_token_version } = changes;
        Ok(self.write(|state| {
            let account = state.accounts.get_mut(&id)?;
            if if_token_version.is_some_and(|version| version != account.token_version) {
                return None;
            }
            account.user.email = email.unwrap_or(account.user.email.clone());
            account.user.name = name.unwrap_or(account.user.name.clone());
            account.user.role = role.unwrap_or(account.user.role);
            account.token_version += i64::from(password_hash.is_some());
            Some(account.clone())
        }))
    }

    async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError> {
        Ok(self.write(|state| state.accounts.remove(&id).is_some()))
    }

    async fn find(&self, id: UserId, _: Position) -> Result<Read<Option<User>>, StoreError> {
        Ok(self.read(|state| state.accounts.get(&id).map(|account| account.user.clone())))
    }

    async fn list(&self, _: Option<UserId>, _: u32, _: Position) -> Result<Vec<User>, StoreError> {
        Err(StoreError::Failed("is not read through the cache".into()))
    }

    async fn credentials(&self, _: &EmailAddress) -> Result<Option<Credentials>, StoreError> {
        Err(StoreError::Failed("is not read through the cache".into()))
    }

    async fn account(&self, id: UserId) -> Result<Read<Option<Account>>, StoreError> {
        Ok(self.read(|state| state.accounts.get(&id).cloned()))
    }

    async fn revoke(&self, token: &TokenId, _: SystemTime) -> Result<Written<()>, StoreError> {
        Ok(self.write(|state| {
            state.revoked.insert(token.clone());
        }))
    }

    async fn is_revoked(&self, token: &TokenId) -> Result<Read<bool>, StoreError> {
        Ok(self.read(|state| state.revoked.contains(token)))
    }

    async fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    fn known_status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    fn read_counts(&self) -> ReadCounts {
        ReadCounts::default()
    }

    async fn close(&self) {}
}
