//! Being told to stop while servers start: what was started is stopped first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Doing, Error, Result};

static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT, SIGTERM and SIGHUP end waits with [`Error::Interrupted`] instead of
/// ending the process. They are handled and not blocked: a blocked one would stay so in
/// every server that is started.
pub fn heed_signals() -> Result<()> {
    let doing = || "cannot handle signals".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().doing(doing)?;
    let (ready, is_ready) = channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let all = || {
                Ok((
                    signal(SignalKind::interrupt())?,
                    signal(SignalKind::terminate())?,
                    signal(SignalKind::hangup())?,
                ))
            };
            let (mut interrupt, mut terminate, mut hangup) = match all() {
                Ok(all) => all,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
                _ = hangup.recv() => (),
            }
            IS_TOLD.store(true, Ordering::Relaxed);
        });
    });
    is_ready
        .recv()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread is gone")))
        .doing(doing)
}

/// An error once we were told to stop.
pub(crate) fn check() -> Result<()> {
    if IS_TOLD.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}
