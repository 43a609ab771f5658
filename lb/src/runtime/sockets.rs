//! Listening sockets: which there are, and which worker accepts at which.
//!
//! A socket belongs to its address, not to the listener that names it: while one
//! does, it stays open, with the connections that wait at it. This thread keeps
//! a copy of each, and with that its queue, whatever its worker does.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::worker::{Place, SocketId};
use crate::listener::{BindError, Bound, ListenerShare, bind};
use crate::snapshot::{Listener, Listeners, SocketOptions};
use crate::values::BindAddress;

/// All listening sockets of the process.
#[derive(Debug)]
pub(super) struct SocketSet {
    workers: usize,
    groups: HashMap<Wanted, Group>,
    /// Sockets that somebody else has bound for us.
    inherited: Vec<Inherited>,
    next: SocketId,
}

/// What the operator wrote. A port that the system chooses is another in each
/// place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) address: BindAddress,
    /// The listener and which of its addresses, for port 0.
    pub(super) place: Option<(Arc<str>, usize)>,
}

impl Wanted {
    fn of(listener: &Listener) -> impl Iterator<Item = Self> + '_ {
        listener.bind.iter().enumerate().map(|(index, address)| Self {
            address: address.clone(),
            place: address.is_any_port().then(|| (Arc::clone(&listener.name), index)),
        })
    }
}

/// A socket that somebody else has bound.
#[derive(Debug)]
pub(super) struct Inherited {
    /// For what, if that was said; its address says it otherwise.
    pub(super) wanted: Option<Wanted>,
    pub(super) bound: Bound,
}

impl Inherited {
    fn is_for(&self, wanted: &Wanted) -> bool {
        match &self.wanted {
            Some(known) => known == wanted,
            None => self.bound.address().is_ok_and(|address| address == wanted.address),
        }
    }
}

/// The sockets of one address.
#[derive(Debug)]
struct Group {
    address: BindAddress,
    options: SocketOptions,
    sockets: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    id: SocketId,
    worker: usize,
    bound: Bound,
    /// The worker's copy, until it has it. Made with it: nothing that can fail is left
    /// for when a snapshot becomes live.
    copy: Option<Bound>,
}

/// Sockets that were bound for a snapshot that is not live yet. Dropped, they are
/// closed, and nothing has happened.
#[derive(Debug)]
pub(super) struct Prepared(HashMap<Wanted, Group>);

impl SocketSet {
    /// The sockets of so many workers; none yet.
    pub(super) fn new(workers: usize, inherited: Vec<Inherited>) -> Self {
        Self { workers, groups: HashMap::new(), inherited, next: 0 }
    }

    /// Binds what a snapshot needs and is not there yet.
    pub(super) fn prepare(&mut self, listeners: &Listeners) -> Result<Prepared, BindError> {
        let wanted: Vec<Wanted> = listeners.iter().flat_map(Wanted::of).collect();
        let mut prepared = HashMap::new();
        for listener in listeners.iter() {
            for wanted_here in Wanted::of(listener) {
                if self.groups.contains_key(&wanted_here) {
                    continue;
                }
                let beside = self.groups.iter().any(|(known, group)| {
                    !wanted.contains(known) && group.address.overlaps(&wanted_here.address)
                });
                let group = self.open(listener, &wanted_here, beside)?;
                tracing::info!(listener = %listener.name, address = %group.address, "listening");
                prepared.insert(wanted_here, group);
            }
        }
        Ok(Prepared(prepared))
    }

    fn open(
        &mut self,
        listener: &Listener,
        wanted: &Wanted,
        beside: bool,
    ) -> Result<Group, BindError> {
        let failed = |error| BindError::new(&listener.name, &wanted.address, error);
        let options = listener.connections.socket;
        let (inherited, others) =
            self.inherited.drain(..).partition::<Vec<_>, _>(|each| each.is_for(wanted));
        self.inherited = others;
        let bound: Vec<Bound> = inherited.into_iter().map(|each| each.bound).collect();
        let (address, bound) = match bound.first() {
            Some(first) => {
                let address = first.address().map_err(failed)?;
                for socket in &bound {
                    socket.set_options(&options).map_err(failed)?;
                }
                (address, bound)
            }
            None => {
                let sockets =
                    bind(&listener.name, &wanted.address, self.workers, &options, beside)?;
                (sockets.address, sockets.bound)
            }
        };
        let bound = self.for_all_workers(&listener.name, &address, bound)?;
        let held = bound.into_iter().enumerate().map(|(index, bound)| {
            self.next += 1;
            let copy = Some(bound.another()?);
            Ok(Held { id: self.next, worker: index % self.workers, bound, copy })
        });
        let sockets = held.collect::<io::Result<_>>().map_err(failed)?;
        Ok(Group { address, options, sockets })
    }

    /// Every worker has a socket, and every socket a worker: what waits at one that
    /// nobody accepts at would wait for ever. What is missing are copies: another
    /// socket of the address would have connections before anybody knows whether
    /// this process will serve.
    fn for_all_workers(
        &self,
        listener: &str,
        address: &BindAddress,
        mut bound: Vec<Bound>,
    ) -> Result<Vec<Bound>, BindError> {
        let there = bound.len();
        for worker in there..self.workers {
            let copy = bound[worker % there].another();
            bound.push(copy.map_err(|error| BindError::new(listener, address, error))?);
        }
        Ok(bound)
    }

    /// The sockets of a snapshot are these and what was prepared for it; others are
    /// closed here.
    pub(super) fn commit(&mut self, listeners: &Listeners, prepared: Prepared) {
        self.groups.extend(prepared.0);
        let mut options: HashMap<Wanted, SocketOptions> = HashMap::new();
        for listener in listeners.iter() {
            options.extend(Wanted::of(listener).map(|each| (each, listener.connections.socket)));
        }
        self.groups.retain(|wanted, group| {
            let stays = options.contains_key(wanted);
            if !stays {
                tracing::info!(address = %group.address, "not listening any more");
            }
            stays
        });
        for (wanted, group) in &mut self.groups {
            let Some(options) = options.get(wanted).filter(|options| **options != group.options)
            else {
                continue;
            };
            group.options = *options;
            for socket in &group.sockets {
                if let Err(error) = socket.bound.set_options(options) {
                    tracing::warn!(address = %group.address, %error, "an option of the socket cannot be changed");
                }
            }
        }
    }

    /// What each worker accepts at, with the sockets that it does not have yet.
    pub(super) fn places(
        &mut self,
        listeners: &Listeners,
        shares: &HashMap<Arc<str>, ListenerShare>,
    ) -> Vec<HashMap<SocketId, Place>> {
        let mut places: Vec<HashMap<SocketId, Place>> =
            (0..self.workers).map(|_| HashMap::new()).collect();
        for listener in listeners.iter() {
            let Some(share) = shares.get(&listener.name) else { continue };
            for wanted in Wanted::of(listener) {
                let Some(group) = self.groups.get_mut(&wanted) else { continue };
                for held in &mut group.sockets {
                    let place = Place { socket: held.copy.take(), share: share.clone() };
                    places[held.worker].insert(held.id, place);
                }
            }
        }
        places
    }

    /// Every socket, and what it is for.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Wanted, &Bound)> {
        self.groups.iter().flat_map(|(wanted, group)| {
            let mut seen = Vec::new();
            // Copies of one socket are one.
            let sockets = group.sockets.iter().filter(move |held| {
                let inode = held.bound.inode();
                let first = !seen.contains(&inode);
                seen.push(inode);
                first
            });
            sockets.map(move |held| (wanted, &held.bound))
        })
    }

    /// Closes the sockets that nobody wants. Their addresses.
    pub(super) fn left_over(&mut self) -> Vec<String> {
        let name = |each: Inherited| {
            each.bound.address().map_or_else(|_| "?".into(), |address| address.to_string())
        };
        std::mem::take(&mut self.inherited).into_iter().map(name).collect()
    }

    /// Closes this thread's copies.
    pub(super) fn close(&mut self) {
        self.groups.clear();
    }
}
