//! Workers: one thread each, one runtime each, nothing shared on the hot path.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use crate::engine::lane::Pools;
use crate::engine::{Engine, Shared};
use crate::listener::{AcceptContext, Accepting, Bound, ListenerShare, accept};
use crate::snapshot::Snapshot;
use crate::timer;

/// What a worker is told.
pub(super) enum Order {
    /// Serve this from now on.
    Serve(Round),
    /// What waits with an alarm is to look at what has changed.
    WakeAll,
    /// The sockets are others' now.
    Leave,
    /// Accept nothing any more; the worker ends when nothing is open.
    Drain,
    /// End, whatever is open.
    Stop,
}

/// What one worker accepts on from now on, and what becomes of it.
pub(super) struct Round {
    pub(super) snapshot: Arc<Snapshot>,
    /// By number of the socket.
    pub(super) places: HashMap<SocketId, Place>,
}

/// Tells sockets apart for as long as the process lives.
pub(super) type SocketId = u64;

/// One socket's.
pub(super) struct Place {
    /// The socket, if the worker does not have it yet.
    pub(super) socket: Option<Bound>,
    /// The listener.
    pub(super) share: ListenerShare,
}

/// A worker, as it is known outside of its thread.
pub(super) struct Worker {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the worker of this index.
    pub(super) fn spawn(index: usize, pools: Arc<Pools>, shared: Arc<Shared>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        shared.metrics.watch_tasks(runtime.handle().clone());
        let (orders, received) = mpsc::unbounded_channel();
        let thread =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                runtime.block_on(work(index, pools, &shared, received));
                // What is still open after the drain is cut here, and some of it has
                // a line to write.
                runtime.shutdown_background();
                shared.access_log.flush_worker();
            })?;
        Ok(Self { orders, thread })
    }

    /// Tells it something.
    pub(super) fn tell(&self, order: Order) {
        // Err: it has ended, and needs no telling.
        let _ = self.orders.send(order);
    }

    /// Resolves when it has ended, or is about to.
    pub(super) async fn ended(&self) {
        self.orders.closed().await;
    }

    /// Waits for its end. Whether it was a good one.
    pub(super) fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

async fn work(
    index: usize,
    pools: Arc<Pools>,
    shared: &Arc<Shared>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let engine = Arc::new(Engine::new(Arc::clone(shared), Arc::clone(&pools), index));
    let sweeping = Arc::clone(&engine);
    tokio::spawn(async move { sweeping.lane.sweep().await });
    let (alive, mut all_closed) = mpsc::channel::<()>(1);
    let mut acceptors =
        Acceptors { shared, engine, alive, accepting: HashMap::new(), contexts: HashMap::new() };
    // None: the process's main thread is gone, and with it every reason to go on.
    while let Some(order) = orders.recv().await {
        match order {
            Order::Serve(round) => acceptors.serve(round),
            Order::WakeAll => timer::wake_all(),
            Order::Leave => acceptors.end(&Accepting::Leave),
            Order::Drain => {
                acceptors.end(&Accepting::Close);
                break;
            }
            Order::Stop => {
                pools.clear(index);
                return;
            }
        }
    }
    drop(acceptors);
    // What is idle has only its alarm.
    timer::wake_all();
    loop {
        tokio::select! {
            // None: the last connection has ended.
            _ = all_closed.recv() => break,
            order = orders.recv() => match order {
                Some(Order::WakeAll) => timer::wake_all(),
                Some(Order::Stop) | None => break,
                Some(Order::Serve(_) | Order::Leave | Order::Drain) => {}
            },
        }
    }
    // While there is a runtime that they belong to.
    pools.clear(index);
}

/// The sockets of a worker.
struct Acceptors<'s> {
    shared: &'s Arc<Shared>,
    engine: Arc<Engine>,
    alive: mpsc::Sender<()>,
    accepting: HashMap<SocketId, watch::Sender<Accepting>>,
    /// By the listener's name.
    contexts: HashMap<Arc<str>, Arc<AcceptContext>>,
}

impl Acceptors<'_> {
    fn serve(&mut self, round: Round) {
        let Round { snapshot, places } = round;
        self.engine.follow(&self.shared.live());
        // What is not named any more is closed.
        self.accepting.retain(|id, accepting| {
            let stays = places.contains_key(id);
            if !stays {
                accepting.send_replace(Accepting::Close);
            }
            stays
        });
        self.contexts.retain(|name, _| snapshot.listeners.named(name).is_some());
        for (id, Place { socket, share }) in places {
            let name = share.era.name();
            let Some(listener) = snapshot.listeners.named(name) else { continue };
            // Kept where nothing has changed: every connection holds the one it came
            // in with.
            let known = self.contexts.get(name).filter(|known| known.is_for(listener, &share));
            let context = match known {
                Some(known) => Arc::clone(known),
                None => {
                    let context = Arc::new(AcceptContext::new(
                        listener,
                        &share,
                        Arc::clone(&self.engine),
                        &self.shared.metrics,
                        self.alive.clone(),
                    ));
                    self.contexts.insert(Arc::clone(name), Arc::clone(&context));
                    context
                }
            };
            let into = Accepting::Into(Arc::clone(&context));
            match (self.accepting.get(&id), socket) {
                (Some(accepting), _) => {
                    accepting.send_replace(into);
                }
                (None, Some(bound)) => match bound.into_socket() {
                    Ok(socket) => {
                        let (sender, orders) = watch::channel(into);
                        self.accepting.insert(id, sender);
                        tokio::spawn(accept(socket, context, orders));
                    }
                    Err(error) => tracing::error!(%error, "a socket cannot enter its worker"),
                },
                (None, None) => {}
            }
        }
        // Whom a listener that is gone had, looks at that.
        timer::wake_all();
    }

    fn end(&mut self, how: &Accepting) {
        for (_, accepting) in self.accepting.drain() {
            accepting.send_replace(how.clone());
        }
    }
}
