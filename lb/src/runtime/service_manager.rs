//! What systemd is told (`sd_notify(3)`), where it asks to be: with `Type=notify`
//! or `Type=notify-reload` in the unit.

use sd_notify::{NotifyState, notify};

/// The process serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again; [`ready`] follows.
pub(super) fn reloading() {
    let mut state = vec![NotifyState::Reloading];
    // Err: no such clock; systemd then only knows that something goes on.
    state.extend(NotifyState::monotonic_usec_now());
    tell(&state);
}

/// The process stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Another process is the service from now on.
pub(super) fn main_pid(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a service manager that asks, nothing is sent and nothing fails.
    if let Err(error) = notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
