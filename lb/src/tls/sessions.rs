//! Remembered sessions, for clients of TLS 1.2 that know no tickets (RFC 5246
//! §7.3, "session ID"). One store per listener, never shared: what one listener
//! has verified of a client says nothing to another (compare CVE-2025-23419).

use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use lru::LruCache;
use parking_lot::Mutex;
use rustls::server::StoresServerSessions;
use zeroize::Zeroizing;

/// How many sessions are remembered, about 300 bytes each.
const REMEMBERED: usize = 20_480;

/// Handshakes on different cores should seldom meet at one lock.
const SHARDS: usize = 32;

/// Where a session ends, as with tickets. RFC 5246 §F.1.4 suggests a day at most.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// A bounded store of sessions. A full one forgets what was used least recently.
pub(super) struct SessionStore {
    shards: Vec<Mutex<LruCache<Vec<u8>, Session, RandomState>>>,
    /// Ids that are looked up come from clients; the seed keeps them from
    /// choosing a shard.
    seed: RandomState,
}

struct Session {
    secrets: Zeroizing<Vec<u8>>,
    begun: Instant,
}

impl SessionStore {
    pub(super) fn new() -> Self {
        let size = NonZeroUsize::new(REMEMBERED / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let shard = || Mutex::new(LruCache::with_hasher(size, RandomState::default()));
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            seed: RandomState::default(),
        }
    }

    fn shard(&self, id: &[u8]) -> &Mutex<LruCache<Vec<u8>, Session, RandomState>> {
        &self.shards[self.seed.hash_one(id) as usize % SHARDS]
    }

    fn put_at(&self, id: Vec<u8>, secrets: Vec<u8>, now: Instant) {
        let session = Session { secrets: Zeroizing::new(secrets), begun: now };
        self.shard(&id).lock().put(id, session);
    }

    fn get_at(&self, id: &[u8], now: Instant) -> Option<Vec<u8>> {
        let mut sessions = self.shard(id).lock();
        let session = sessions.get(id)?;
        if now.saturating_duration_since(session.begun) >= LIFETIME {
            sessions.pop(id);
            return None;
        }
        Some(session.secrets.to_vec())
    }
}

impl StoresServerSessions for SessionStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.put_at(key, value, Instant::now());
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get_at(key, Instant::now())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.shard(key).lock().pop(key)?;
        (session.begun.elapsed() < LIFETIME).then(|| session.secrets.to_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessionStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there_until_taken() {
        let store = SessionStore::new();
        assert!(store.put(b"id".to_vec(), b"secrets".to_vec()));
        assert_eq!(store.get(b"id"), Some(b"secrets".to_vec()));
        assert_eq!(store.get(b"id"), Some(b"secrets".to_vec()));
        assert_eq!(store.take(b"id"), Some(b"secrets".to_vec()));
        assert_eq!(store.get(b"id"), None);
        assert_eq!(store.take(b"id"), None);
    }

    #[test]
    fn the_store_is_bounded() {
        let store = SessionStore::new();
        for number in 0..2 * REMEMBERED as u64 {
            store.put(number.to_be_bytes().to_vec(), vec![0; 8]);
        }
        let held: usize = store.shards.iter().map(|shard| shard.lock().len()).sum();
        assert_eq!(held, REMEMBERED);
    }

    #[test]
    fn a_session_ends() {
        let store = SessionStore::new();
        let begun = Instant::now();
        store.put_at(b"id".to_vec(), b"secrets".to_vec(), begun);
        assert!(store.get_at(b"id", begun + LIFETIME - Duration::from_secs(1)).is_some());
        assert!(store.get_at(b"id", begun + LIFETIME).is_none());
        assert!(store.get_at(b"id", begun).is_none(), "forgotten for good");
    }
}
