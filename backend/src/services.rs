//! What the handlers work with, made once by [`crate::app`].

use std::sync::Arc;

use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::rooms::Rooms;
use crate::sessions::Sessions;
use crate::shutdown::Lifecycle;
use crate::store::UserStore;
use crate::users::Users;

/// Everything a handler may need.
pub struct Services {
    /// The users, through the cache.
    pub users: Users,
    /// Who is signed in, through the cache.
    pub sessions: Sessions,
    /// The store behind them.
    pub store: Arc<dyn UserStore>,
    /// The cache before it.
    pub cache: Arc<dyn Cache>,
    /// Password hashing.
    pub passwords: Passwords,
    /// Broadcast rooms of the WebSockets.
    pub rooms: Rooms,
    /// Metrics of the process.
    pub metrics: Metrics,
    /// Whether the process is stopping.
    pub lifecycle: Lifecycle,
}

/// [`Services`] as the router hands them out.
pub type Shared = Arc<Services>;
