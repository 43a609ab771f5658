//! One thread that starts every process.
//!
//! The kernel ties "end with your parent" to the thread that forked, not to its process.
//! Tests run on threads that end before the servers they share, and so do tokio's for
//! blocking work; this one lives as long as the process.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

type Request = (Command, Sender<io::Result<Child>>);

/// Starts a process from the thread that never ends.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, receiver) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(requests)
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, receiver) = channel();
    spawner.lock().map_err(|_| gone())?.send((command, answer)).map_err(|_| gone())?;
    receiver.recv().map_err(|_| gone())?
}
