//! Being told to stop while servers start: what was started is stopped first.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

use crate::error::{Doing, Error, Result};

static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT, SIGTERM and SIGHUP end waits with [`Error::Interrupted`] instead of
/// ending the process. Called before any thread is started: those inherit it. Processes that
/// are started do not.
pub fn heed_signals() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block().doing(|| "cannot hold signals back".to_owned())?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            IS_TOLD.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

/// An error once we were told to stop.
pub(crate) fn check() -> Result<()> {
    if IS_TOLD.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}
