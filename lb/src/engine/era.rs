//! Eras: a listener as one configuration made it, until another ends it.
//!
//! What its connections have to know of changes, they learn here: that they are
//! to close after what they are doing, and that they are cut. Reloads that leave
//! a listener what it is leave its era alone, and so all of its connections.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::{Live, Shared};
use crate::policy::ListenerId;
use crate::snapshot::Slot;

/// How far the end of an era has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Connections are accepted and kept.
    Open,
    /// Connections close when they have done what they are doing.
    Closing,
    /// Connections close.
    Cut,
}

/// A listener as one configuration made it.
pub struct Era {
    slot: Arc<Slot>,
    name: Arc<str>,
    /// Read with every response, so beside the channel.
    stage: AtomicU8,
    changes: watch::Sender<Stage>,
    /// The snapshot that ended with it: its last requests are decided by it.
    last: OnceLock<Arc<Live>>,
}

impl Era {
    /// A beginning.
    pub fn new(slot: Arc<Slot>, name: Arc<str>) -> Self {
        let (changes, _) = watch::channel(Stage::Open);
        Self { slot, name, stage: AtomicU8::new(0), changes, last: OnceLock::new() }
    }

    /// The number of the listener.
    pub fn listener(&self) -> ListenerId {
        self.slot.id()
    }

    /// The name of the listener.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a request on one of its connections is decided by.
    pub fn live(&self, shared: &Shared) -> Arc<Live> {
        self.last.get().map_or_else(|| shared.live(), Arc::clone)
    }

    /// A new configuration has no use for it. `last` is the one that had.
    pub fn end(&self, last: Arc<Live>) {
        // Err: it has ended before, and the first end counts.
        let _ = self.last.set(last);
        self.advance(Stage::Closing);
    }

    /// Goes on to a stage; never back.
    pub fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
        self.changes.send_if_modified(|known| {
            let further = *known < stage;
            *known = stage.max(*known);
            further
        });
    }

    /// Whether its connections are not to be kept.
    pub fn is_closing(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= Stage::Closing as u8
    }

    /// Whether its connections are cut.
    pub fn is_cut(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= Stage::Cut as u8
    }

    /// Tells of changes.
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.changes.subscribe()
    }
}

impl std::fmt::Debug for Era {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Era").field("name", &self.name).finish_non_exhaustive()
    }
}
