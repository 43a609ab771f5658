//! The first round of checks: until it is over, requests wait and the process
//! is not ready.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether every endpoint of an upstream has been resolved and checked once.
#[derive(Debug, Default)]
pub struct FirstRound {
    over: AtomicBool,
    changed: Notify,
}

impl FirstRound {
    /// Whether it is over. One relaxed load: asked on every request.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Ends it, for good.
    pub fn finish(&self) {
        self.over.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits for its end. The checker bounds how long that can take.
    pub async fn wait(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the flag is read: a finish in between is not missed.
        changed.as_mut().enable();
        if !self.over.load(Ordering::Acquire) {
            changed.await;
        }
    }
}
