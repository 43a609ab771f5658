//! How many connections are let in.
//!
//! Over a limit the newest connection is closed at once: what waits is bounded
//! by the backlog alone, and those inside are served.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::limit::{ConcurrencyLimiter, Permit};
use crate::policy::{KeySeed, address_key};
use crate::response::Closing;
use crate::snapshot::ConnectionLimits;

/// Counts connections against a limit; shared by all workers.
#[derive(Debug)]
pub struct Room {
    open: CachePadded<AtomicUsize>,
    limit: AtomicUsize,
}

impl Room {
    /// Room for `limit` connections.
    pub fn new(limit: usize) -> Self {
        Self { open: CachePadded::new(AtomicUsize::new(0)), limit: AtomicUsize::new(limit) }
    }

    /// Changes how many it has room for. Who is inside stays.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn enter(self: &Arc<Self>) -> Option<Place> {
        // Counted first: two that come together may both be refused at the
        // last place, never both be let in.
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(Arc::clone(self)))
    }
}

/// A place in a room; given back when dropped.
#[derive(Debug)]
struct Place(Arc<Room>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The limits of one listener, shared by all workers.
#[derive(Debug)]
pub struct Gate {
    process: Arc<Room>,
    /// The descriptors from this number on are not for clients.
    descriptors: RawFd,
    listener: Option<Arc<Room>>,
    clients: Option<(Arc<ConcurrencyLimiter>, u32, KeySeed)>,
}

/// The right to be connected.
#[derive(Debug)]
pub(super) struct Admission {
    _process: Place,
    _listener: Option<Place>,
    _client: Option<Permit>,
}

impl Gate {
    /// The gate of a listener with these limits, in a process with this room,
    /// whose clients may have the descriptors below a number.
    pub fn new(process: Arc<Room>, descriptors: RawFd, limits: &ConnectionLimits) -> Self {
        Self {
            process,
            descriptors,
            listener: limits.connections.map(|limit| Arc::new(Room::new(limit as usize))),
            clients: limits.per_client.map(|limit| {
                (Arc::default(), limit, KeySeed(fastrand::u64(..), fastrand::u64(..)))
            }),
        }
    }

    /// The gate with other limits. Who is inside counts as before.
    pub fn with(&self, limits: &ConnectionLimits) -> Self {
        let Self { process, descriptors, listener, clients } = self;
        let fresh = Self::new(Arc::clone(process), *descriptors, limits);
        Self {
            listener: match (listener, limits.connections) {
                (Some(room), Some(limit)) => {
                    room.set_limit(limit as usize);
                    Some(Arc::clone(room))
                }
                _ => fresh.listener,
            },
            clients: match (clients, limits.per_client) {
                (Some((clients, _, seed)), Some(limit)) => {
                    Some((Arc::clone(clients), limit, *seed))
                }
                _ => fresh.clients,
            },
            ..fresh
        }
    }

    /// A connection has come, on a descriptor.
    pub(super) fn admit(&self, descriptor: RawFd) -> Result<Admission, Closing> {
        // The system gives the lowest that is free: all below are in use.
        if descriptor >= self.descriptors {
            return Err(Closing::DescriptorsExhausted);
        }
        let process = self.process.enter().ok_or(Closing::ConnectionLimit)?;
        let listener = match &self.listener {
            Some(room) => Some(room.enter().ok_or(Closing::ListenerLimit)?),
            None => None,
        };
        Ok(Admission { _process: process, _listener: listener, _client: None })
    }

    /// Its client is known: behind a PROXY header, later than the connection.
    pub(super) fn admit_client(
        &self,
        admission: &mut Admission,
        client: IpAddr,
    ) -> Result<(), Closing> {
        if let Some((clients, limit, seed)) = &self.clients {
            let key = address_key(client, *seed);
            let permit = clients.acquire(key, *limit).ok_or(Closing::ClientLimit)?;
            admission._client = Some(permit);
        }
        Ok(())
    }
}
