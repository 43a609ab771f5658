//! What the handlers work with, made once by [`crate::app`].

use std::sync::Arc;

use axum::extract::ws::Message;

use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::rooms::Rooms;
use crate::session::Sessions;
use crate::shutdown::Lifecycle;
use crate::store::UserStore;

/// Everything a handler may need.
pub struct Services {
    /// The users.
    pub users: Arc<dyn UserStore>,
    /// What is read often.
    pub cache: Arc<dyn Cache>,
    /// Password hashing.
    pub passwords: Passwords,
    /// Access tokens.
    pub sessions: Sessions,
    /// Broadcast rooms of the WebSockets.
    pub rooms: Rooms<Message>,
    /// Metrics of the process.
    pub metrics: Metrics,
    /// Whether the process is stopping.
    pub lifecycle: Lifecycle,
}

/// [`Services`] as the router hands them out.
pub type Shared = Arc<Services>;
