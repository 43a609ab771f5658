//! Signals, as operators know them from nginx.

use std::io;

use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGTERM, SIGQUIT: finish what is open, then stop.
    Drain,
    /// SIGINT: stop.
    Stop,
    /// SIGUSR1: open the logs again.
    Reopen,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: hand over to a new process.
    HandOver,
}

/// Those that end a process which does not listen to them, and are meant for one that
/// will.
const EARLY: [nix::sys::signal::Signal; 3] =
    [nix::sys::signal::SIGHUP, nix::sys::signal::SIGUSR1, nix::sys::signal::SIGUSR2];

/// Holds signals back that would end the process before it listens to them. To be
/// called on the main thread, first thing.
pub fn hold() {
    // Err: there is no such signal, which there is.
    let _ = EARLY.into_iter().collect::<SigSet>().thread_block();
}

/// The signals we listen to.
pub(super) struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Starts listening. Must be called inside a runtime.
    pub(super) fn listen() -> io::Result<Self> {
        let listening = Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        };
        // Those that were held back come now.
        EARLY.into_iter().collect::<SigSet>().thread_unblock()?;
        Ok(listening)
    }

    /// The next wish.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Drain,
            _ = self.quit.recv() => Wish::Drain,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.user1.recv() => Wish::Reopen,
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.user2.recv() => Wish::HandOver,
        }
    }
}
