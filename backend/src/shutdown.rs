//! Stopping: the signals that ask for it, and the phases everybody can watch.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the process is on its way out. Phases only ever follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Not ready any more, so that balancers turn away; still serving.
    Leaving,
    /// Accepts nothing new, finishes what it has.
    Closing,
}

/// The phase of the process, and a count of the tunnels (upgraded
/// connections) that hyper no longer knows of. Clones share both.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    tunnels: watch::Sender<()>,
}

/// Held by a tunnel for as long as it lives.
#[derive(Debug)]
pub struct Tunnel {
    _counted: watch::Receiver<()>,
}

impl Lifecycle {
    /// A process that serves.
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), tunnels: watch::Sender::new(()) }
    }

    /// Whether the process wants new requests.
    pub fn is_serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
    }

    /// From now on the process reports that it is not ready.
    pub fn leave(&self) {
        self.advance(Phase::Leaving);
    }

    /// From now on the process finishes what it has.
    pub fn close(&self) {
        self.advance(Phase::Closing);
    }

    /// Waits until the process accepts nothing new. Cancel-safe.
    pub async fn closing(&self) {
        // An error would mean that the sender is gone, but we hold one.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Closing).await;
    }

    /// Counts a tunnel until the returned value is dropped.
    pub fn tunnel(&self) -> Tunnel {
        Tunnel { _counted: self.tunnels.subscribe() }
    }

    /// Tunnels now.
    pub fn tunnel_count(&self) -> usize {
        self.tunnels.receiver_count()
    }

    /// Waits until there is no tunnel.
    pub async fn tunnels_ended(&self) {
        self.tunnels.closed().await;
    }

    fn advance(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_later = next > *phase;
            *phase = next.max(*phase);
            is_later
        });
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

/// SIGTERM, SIGINT and SIGQUIT; all three ask for the same.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The name of the next signal. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn phases_only_follow_one_another() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.is_serving());

        lifecycle.leave();
        assert!(!lifecycle.is_serving());
        assert!(lifecycle.closing().now_or_never().is_none());

        lifecycle.close();
        lifecycle.leave();
        assert!(lifecycle.closing().now_or_never().is_some());
    }

    #[test]
    fn tunnels_are_counted_until_they_are_dropped() {
        let lifecycle = Lifecycle::new();
        let tunnel = lifecycle.clone().tunnel();
        assert_eq!(lifecycle.tunnel_count(), 1);
        assert!(lifecycle.tunnels_ended().now_or_never().is_none());

        drop(tunnel);
        assert!(lifecycle.tunnels_ended().now_or_never().is_some());
    }
}
