//! A worker's engines, and what is the same for both: arriving, and answers of
//! our own.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::exchange::Exchange;
use super::lane::{Lane, Pools};
use super::message::facts;
use super::refusal::{self, OwnAnswer};
use super::{Connection, Live, Shared, arrival, pingora};
use crate::config;
use crate::head::Head;

/// Both engines of one worker.
pub struct Engine {
    shared: Arc<Shared>,
    /// Carries everything.
    pub pingora: pingora::Engine,
    /// Carries HTTP/1.1 to HTTP/1.1.
    pub lane: Lane,
}

/// A request that was decided about.
pub struct Arrived(pub(super) Box<Exchange>);

impl Arrived {
    /// Whether the connection becomes a tunnel if the endpoint agrees.
    pub fn is_upgrade(&self) -> bool {
        self.0.upgrade && self.0.answer.is_none()
    }

    /// Path and query, whatever form the target came in.
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// Whether the decision is an answer of our own.
    pub fn is_answered(&self) -> bool {
        self.0.answer.is_some()
    }

    /// Whether the lane can carry it: towards endpoints it speaks HTTP/1.1 only.
    pub fn fits_the_lane(&self) -> bool {
        let (Some(live), Some(connection)) = (&self.0.live, &self.0.connection) else {
            return false;
        };
        connection
            .listener(live)
            .is_some_and(|listener| listener.connections.engine == config::Engine::Auto)
            && self.0.forward().is_some_and(|forward| {
                !live.upstreams[forward.upstream.index()].upstream.protocol.is_http2()
            })
    }
}

impl Engine {
    /// The engines of worker `index`. `pools` is shared with the others.
    pub fn new(shared: Arc<Shared>, pools: Arc<Pools>, index: usize) -> Self {
        let pingora = pingora::Engine::new(&shared, pools.workers());
        let lane = Lane::new(Arc::clone(&shared), pools, index);
        Self { shared, pingora, lane }
    }

    /// Another snapshot is live: what the engines have made of the last is made of
    /// this one.
    pub fn follow(&self, live: &Live) {
        self.pingora.follow(live);
    }

    /// What all workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// An HTTP/1 request has come: decides what happens to it. `last`: the
    /// connection carries no other after it.
    pub fn arrive(
        &self,
        live: Arc<Live>,
        connection: &Arc<Connection>,
        head: &Head<'_, '_>,
        upgrade: bool,
        last: bool,
        started: (Instant, SystemTime),
    ) -> Arrived {
        let mut exchange = arrival::arrive(live, connection, head, upgrade, started);
        exchange.last = last;
        Arrived(exchange)
    }

    /// The answer of our own that was decided, if it was.
    pub fn answer(
        &self,
        mut arrived: Arrived,
        head: &Head<'_, '_>,
        keep_alive: bool,
    ) -> Option<OwnAnswer> {
        let answer = arrived.0.answer.take()?;
        let keep_alive = keep_alive && !arrived.0.last && !self.shared.closes(&arrived.0);
        let facts = facts(head);
        let answer = refusal::answer(&self.shared, &mut arrived.0, answer, &facts, keep_alive);
        arrived.0.retire();
        Some(answer)
    }
}
