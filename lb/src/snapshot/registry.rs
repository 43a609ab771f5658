//! What outlives a snapshot: a new one finds here what it has in common with
//! the one before, by identity, and goes on with it.
//!
//! Everything is held weakly: what no snapshot, connection or exchange uses any
//! more is forgotten. A configuration that is compiled and never used leaves
//! nothing behind.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Slots;
use crate::limit::{ConcurrencyLimiter, RateLimiter};
use crate::policy::KeySeed;
use crate::tls::ServerTls;
use crate::upstream::{self, TlsIdentity};
use crate::values::{KeyPart, Rate};

/// What outlives a snapshot.
#[derive(Debug)]
pub struct Registry {
    /// Endpoints: counters and health.
    pub upstreams: upstream::Registry,
    /// The numbers of listeners.
    pub slots: Slots,
    /// Token buckets.
    pub limiters: Kept<LimiterIdentity, RateLimiter>,
    /// Exchanges in flight by key.
    pub concurrency: Kept<ConcurrencyIdentity, ConcurrencyLimiter>,
    /// Our side of handshakes with clients, with the sessions that it remembers:
    /// by listener, and a digest of all that it was made of.
    pub server_tls: Kept<(Arc<str>, [u8; 32]), ServerTls>,
    /// Our side of handshakes with endpoints, with the sessions that it remembers.
    pub client_tls: Kept<ClientTlsIdentity, rustls::ClientConfig>,
    /// What keys of limits are seeded with: another seed, and every bucket is new.
    pub key_seed: KeySeed,
}

/// Whom to trust and who to be, a digest of the authorities (the system's change
/// unseen), and the protocols to offer.
pub type ClientTlsIdentity = (Option<TlsIdentity>, [u8; 32], Vec<Vec<u8>>);

/// What makes a table of buckets the same: all that it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimiterIdentity {
    /// Its name in the configuration.
    pub name: String,
    /// How fast tokens come back.
    pub rate: Rate,
    /// Tokens beyond the first.
    pub burst: u32,
    /// How many keys are remembered.
    pub max_keys: u32,
    /// What is counted by.
    pub key: Arc<[KeyPart]>,
}

/// What makes a counter of exchanges in flight the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConcurrencyIdentity {
    /// The first name of the virtual host.
    pub host: Arc<str>,
    /// The name of the route.
    pub route: Arc<str>,
    /// Which of the routes of that name.
    pub occurrence: usize,
    /// What is counted by.
    pub key: Arc<[KeyPart]>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            upstreams: upstream::Registry::default(),
            slots: Slots::default(),
            limiters: Kept::default(),
            concurrency: Kept::default(),
            server_tls: Kept::default(),
            client_tls: Kept::default(),
            key_seed: KeySeed(fastrand::u64(..), fastrand::u64(..)),
        }
    }
}

/// Values by identity, for as long as somebody uses them.
#[derive(Debug)]
pub struct Kept<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V> Kept<K, V> {
    /// The value of this identity, made when nobody uses one.
    pub fn get_or_make(&self, identity: K, make: impl FnOnce() -> V) -> Arc<V> {
        let made: Result<_, std::convert::Infallible> =
            self.get_or_try_make(identity, |_| true, || Ok(make()));
        match made {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The same, where making it may fail, and where one that is used may not do.
    pub fn get_or_try_make<E>(
        &self,
        identity: K,
        does: impl FnOnce(&V) -> bool,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let mut kept = self.0.lock();
        if let Some(known) = kept.get(&identity).and_then(Weak::upgrade)
            && does(&known)
        {
            return Ok(known);
        }
        let value = Arc::new(make()?);
        kept.retain(|_, value| value.strong_count() > 0);
        kept.insert(identity, Arc::downgrade(&value));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_found_again_and_what_is_not_is_forgotten() {
        let kept = Kept::<&str, u32>::default();
        let one = kept.get_or_make("one", || 1);
        assert!(Arc::ptr_eq(&one, &kept.get_or_make("one", || 2)));
        assert_eq!(*kept.get_or_make("two", || 2), 2);
        assert!(kept.get_or_try_make("three", |_| true, || Err("no")).is_err());
        let other = kept.get_or_try_make("two", |_| false, || Ok::<_, ()>(3)).unwrap();
        assert!(Arc::ptr_eq(&other, &kept.get_or_make("two", || 4)));
        drop(other);
        drop(one);
        assert_eq!(*kept.get_or_make("one", || 3), 3);
        assert_eq!(kept.0.lock().len(), 1, "two is forgotten");
    }
}
