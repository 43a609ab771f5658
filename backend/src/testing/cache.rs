//! A cache in memory that keeps the rule: nothing replaces what is newer.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::cache::{Cache, CacheError, Entry};

/// Keeps everything for ever.
#[derive(Default)]
pub(crate) struct MemoryCache(Mutex<HashMap<String, Entry>>);

impl MemoryCache {
    fn write(&self, key: &str, entry: Entry, may_replace: impl FnOnce(&Entry) -> bool) {
        let mut entries = self.0.lock();
        if entries.get(key).is_none_or(may_replace) {
            entries.insert(key.to_owned(), entry);
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn find(&self, key: &str) -> Result<Option<Entry>, CacheError> {
        Ok(self.0.lock().get(key).cloned())
    }

    async fn fill(&self, key: &str, entry: Entry, _: Duration) -> Result<(), CacheError> {
        let position = entry.position;
        self.write(key, entry, |held| held.position < position);
        Ok(())
    }

    async fn replace(&self, key: &str, entry: Entry, _: Duration) -> Result<(), CacheError> {
        let position = entry.position;
        self.write(key, entry, |held| held.position <= position);
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
