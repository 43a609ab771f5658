//! Hashing and verifying passwords with Argon2id.
//!
//! One hash takes about 19 MiB and tens of milliseconds of a core, by design.
//! So hashes run beside the tasks of the runtime, and no more of them at once
//! than there are cores: a flood of logins waits, and is turned away when it
//! has waited too long; it takes neither the memory nor the event loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::{self, phc::PasswordHash};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use tokio::task;

use crate::secret::Secret;

/// How long a request waits for its turn. Past that its client is likely gone.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The password hashing of this process.
#[derive(Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// The hash of something nobody knows.
    dummy: Secret<String>,
    done: Arc<AtomicU64>,
}

/// Why a password was neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// There was no turn in time.
    #[error("too many passwords are being hashed")]
    Overloaded,
    /// The hash is not one, or the library failed.
    #[error("cannot hash a password")]
    Hash(#[source] password_hash::Error),
    /// The task was cancelled or panicked.
    #[error("hashing was interrupted")]
    Interrupted(#[source] task::JoinError),
}

impl Passwords {
    /// As many hashes at once as `concurrency` says.
    ///
    /// # Errors
    /// If there is no randomness to be had.
    pub async fn new(concurrency: usize) -> Result<Self, PasswordError> {
        let nobody_knows = format!("{:032x}", fastrand::u128(..));
        let dummy = task::spawn_blocking(move || hash(&nobody_knows))
            .await
            .map_err(PasswordError::Interrupted)??;
        Ok(Self { permits: Arc::new(Semaphore::new(concurrency)), dummy, done: Arc::default() })
    }

    /// The hash of `password`, as a PHC string with a fresh salt.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: Secret<String>) -> Result<Secret<String>, PasswordError> {
        self.run(move || hash(password.expose())).await
    }

    /// Whether `password` is the one that `stored` was made of.
    ///
    /// Without a stored hash the answer is no, after the same work: how long
    /// it takes does not tell whether there is such a user.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<Secret<String>>,
    ) -> Result<bool, PasswordError> {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.dummy.clone());
        let matches = self.run(move || verify(password.expose(), stored.expose())).await?;
        Ok(matches && is_known)
    }

    /// Hashes made since the start, to store or to compare.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| PasswordError::Overloaded)?
            // The semaphore is never closed.
            .map_err(|_| PasswordError::Overloaded)?;
        let done = Arc::clone(&self.done);
        task::spawn_blocking(move || {
            // Moved in here: a client that goes away cancels the waiting, but
            // not the work, which still takes its memory.
            let _permit = permit;
            let result = work();
            done.fetch_add(1, Ordering::Relaxed);
            result
        })
        .await
        .map_err(PasswordError::Interrupted)?
    }
}

fn hash(password: &str) -> Result<Secret<String>, PasswordError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| Secret::new(hash.to_string()))
        .map_err(PasswordError::Hash)
}

fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored)
        .map_err(|error| PasswordError::Hash(password_hash::Error::from(error)))?;
    match Argon2::default().verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(PasswordError::Hash(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let passwords = Passwords::new(1).await.unwrap();
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        assert!(passwords.verify(secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("battery staple"), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn without_a_stored_hash_nothing_verifies() {
        let passwords = Passwords::new(1).await.unwrap();
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_none_is_an_error() {
        let passwords = Passwords::new(1).await.unwrap();
        let result = passwords.verify(secret("correct horse"), Some(secret("x"))).await;
        assert!(matches!(result, Err(PasswordError::Hash(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hash_that_gets_no_turn_in_time_is_turned_away() {
        let passwords = Passwords::new(1).await.unwrap();
        let _turn = Arc::clone(&passwords.permits).acquire_owned().await.unwrap();
        let result = passwords.hash(secret("correct horse")).await;
        assert!(matches!(result, Err(PasswordError::Overloaded)));
    }
}
