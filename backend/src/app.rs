//! Builds the service from its settings, and runs it to its graceful end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use http::HeaderValue;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::accounts::Accounts;
use crate::admin::ensure_admin;
use crate::cache::{Cache, CacheAside, CacheError, NoCache, RedisCache};
use crate::frontend::Frontend;
use crate::http::{router, server};
use crate::metrics::Metrics;
use crate::passwords::{PasswordError, Passwords};
use crate::rooms::{BusError, Rooms};
use crate::services::Services;
use crate::sessions::Sessions;
use crate::settings::{Database, Role, Settings};
use crate::shutdown::{Lifecycle, Signals};
use crate::store::{OpenError, PostgresStore, SqliteStore, UserStore};
use crate::tokens::{KeyError, SigningKey, Tokens};
use crate::users::Users;

/// A service that is ready to accept connections.
pub struct App {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    lifecycle: Lifecycle,
    signals: Signals,
    /// Of the API role.
    store: Option<Arc<dyn UserStore>>,
    shutdown_delay: Duration,
    drain_timeout: Duration,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The signals cannot be handled.
    #[error("cannot handle signals")]
    Signals(#[source] io::Error),
    /// There is no key to sign tokens with.
    #[error("no signing key")]
    Key(#[from] KeyError),
    /// There is no database.
    #[error("no database")]
    Store(#[from] OpenError),
    /// Passwords cannot be hashed.
    #[error("no password hashing")]
    Passwords(#[from] PasswordError),
    /// The name of the host makes no name for the instance.
    #[error("no name for the instance; set BACKEND_INSTANCE")]
    Instance(#[source] http::header::InvalidHeaderValue),
    /// There is no way to reach the cache.
    #[error("no cache")]
    Cache(#[from] CacheError),
    /// There is no way to reach the rooms of other instances.
    #[error("no room bus")]
    Rooms(#[from] BusError),
    /// Metrics clash.
    #[error("no metrics")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// Whether other settings would help, as opposed to another machine.
    pub fn is_about_settings(&self) -> bool {
        match self {
            Self::Key(KeyError::TooShort { .. })
            | Self::Instance(_)
            | Self::Cache(_)
            | Self::Rooms(_) => true,
            Self::Key(_)
            | Self::Listen { .. }
            | Self::Signals(_)
            | Self::Store(_)
            | Self::Passwords(_)
            | Self::Metrics(_) => false,
        }
    }
}

impl App {
    /// Binds the address, opens what the service depends on, and builds the
    /// routes. Connections made from now on wait for [`App::run`].
    ///
    /// # Errors
    /// If any of that is not possible.
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            listen,
            role,
            instance,
            database,
            admin,
            redis,
            signing_key_file,
            token_ttl,
            shutdown_delay,
            drain_timeout,
            delay,
            log: _,
        } = settings;

        // First, so that a signal during the start is not lost.
        let signals = Signals::listen().map_err(StartError::Signals)?;
        let listen_error = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let instance = match instance {
            Some(instance) => instance,
            None => default_instance(address.port()).map_err(StartError::Instance)?,
        };

        let lifecycle = Lifecycle::new();
        if role == Role::Frontend {
            // An instance is named in visible ASCII.
            let name = instance.to_str().unwrap_or_default();
            let frontend = Frontend::new(name, lifecycle.clone())?;
            tracing::info!(%address, instance = name, "started");
            return Ok(Self {
                listener,
                address,
                router: router::frontend(frontend, instance, delay),
                lifecycle,
                signals,
                store: None,
                shutdown_delay,
                drain_timeout,
            });
        }

        let key = SigningKey::load_or_create(&signing_key_file)?;
        let store: Arc<dyn UserStore> = match &database {
            Database::File(path) => Arc::new(SqliteStore::open(path).await?),
            Database::Postgres(settings) => Arc::new(PostgresStore::open(settings)),
        };
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // As above.
        let metrics = Metrics::new(instance.to_str().unwrap_or_default(), redis.is_some())?;
        let cache: Arc<dyn Cache> = match &redis {
            Some(redis) => Arc::new(RedisCache::new(redis, metrics.cache.clone())?),
            None => Arc::new(NoCache),
        };
        let rooms = match &redis {
            Some(redis) => Rooms::shared(redis, metrics.room_messages.clone())?,
            None => Rooms::local(),
        };
        // A file on this machine needs no cache, and what is read from it no order to be kept by.
        let aside = if redis.is_some() && store.has_positions() {
            CacheAside::new(cache.clone(), metrics.cache.clone())
        } else {
            CacheAside::disabled()
        };
        let accounts = Accounts::new(store.clone(), aside.clone());
        let sessions = Sessions::new(
            Tokens::new(&key, token_ttl),
            store.clone(),
            accounts.clone(),
            aside,
            metrics.sessions.clone(),
        );
        let services = Arc::new(Services {
            users: Users::new(store.clone(), accounts),
            sessions,
            store: store.clone(),
            cache,
            passwords: Passwords::new(cores).await?,
            rooms,
            metrics,
            lifecycle: lifecycle.clone(),
        });
        tracing::info!(
            %address,
            // As above.
            instance = instance.to_str().unwrap_or_default(),
            %database,
            "started"
        );

        if let Some(admin) = admin {
            tokio::spawn(ensure_admin(Arc::clone(&services), admin));
        }
        Ok(Self {
            listener,
            address,
            router: router::api(services, instance, delay),
            lifecycle,
            signals,
            store: Some(store),
            shutdown_delay,
            drain_timeout,
        })
    }

    /// Says on the standard output where it listens, and serves until a signal
    /// asks to stop; then ends what is under way, within the time there is.
    pub async fn run(mut self) {
        announce(self.address);

        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = server::accept(&self.listener, &self.router, &graceful) => {}
            () = leave(&mut self.signals, &self.lifecycle, self.shutdown_delay) => {}
        }

        drop(self.listener);
        self.lifecycle.close();
        tracing::info!(
            connections = graceful.count(),
            websockets = self.lifecycle.tunnel_count(),
            timeout = ?self.drain_timeout,
            "draining"
        );
        let drained = async {
            graceful.shutdown().await;
            // Only now: the last request may have become one.
            self.lifecycle.tunnels_ended().await;
            if let Some(store) = &self.store {
                store.close().await;
            }
        };
        tokio::select! {
            () = drained => tracing::info!("drained"),
            () = tokio::time::sleep(self.drain_timeout) => {
                tracing::warn!("drain timeout is over; what is left is cut off");
            }
            signal = self.signals.next() => {
                tracing::warn!(signal, "told again to stop; what is left is cut off");
            }
        }
    }
}

/// Waits for a signal, and then until it is time to stop accepting.
async fn leave(signals: &mut Signals, lifecycle: &Lifecycle, delay: Duration) {
    let signal = signals.next().await;
    lifecycle.leave();
    tracing::info!(signal, ?delay, "stopping");
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        _ = signals.next() => {}
    }
}

/// Whoever started us with port 0 learns the address here. That nobody reads
/// is no reason to stop.
fn announce(address: SocketAddr) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "listening on {address}").and_then(|()| stdout.flush());
    if let Err(error) = written {
        tracing::warn!(%error, "cannot write to the standard output");
    }
}

fn default_instance(port: u16) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "backend".to_owned());
    HeaderValue::try_from(format!("{host}-{port}"))
}
