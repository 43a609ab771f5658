//! A backend behind its fault proxy: one endpoint of lb.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::{Process, until};
use crate::proxy::{Fault, Proxy};
use crate::setup::HEALTH_PATH;

/// Builds that are not optimised, on a busy machine, need some.
const START: Duration = Duration::from_secs(60);

/// From "not ready" to "accepts no more": time for two checks, a second apart,
/// which is what takes an endpoint out.
const SHUTDOWN_DELAY: &str = "3s";

/// The delay, the drain, and a busy machine.
const STOP: Duration = Duration::from_secs(40);

/// A service that can be broken in many ways.
#[derive(Debug)]
pub(crate) struct Backend {
    program: PathBuf,
    directory: PathBuf,
    index: usize,
    starts: u32,
    pub(crate) proxy: Proxy,
    process: Option<Process>,
}

impl Backend {
    /// Starts the `index`th backend behind a proxy on `address`.
    pub(crate) async fn start(
        program: &Path,
        directory: &Path,
        index: usize,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let mut backend = Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            index,
            starts: 0,
            proxy: Proxy::start(address, HEALTH_PATH),
            process: None,
        };
        backend.bring_back().await?;
        Ok(backend)
    }

    /// Starts the process (again), and lets connections through to it.
    pub(crate) async fn bring_back(&mut self) -> io::Result<()> {
        self.starts += 1;
        let name = instance_name(self.index);
        let log = self.directory.join(format!("{name}-{}.log", self.starts));
        let mut command = Command::new(&self.program);
        command
            .args(["--listen", "127.0.0.1:0"])
            .env("BACKEND_INSTANCE", &name)
            .env("BACKEND_DATABASE", self.directory.join("backend.db"))
            .env("BACKEND_SIGNING_KEY_FILE", self.directory.join("signing.key"))
            .env("BACKEND_SHUTDOWN_DELAY", SHUTDOWN_DELAY)
            .env("RUST_LOG", "info");
        let mut process = Process::start(&mut command, &log)?;
        let address = until(START, || match process.ended() {
            Ok(None) => announced(&log).map(Ok),
            Ok(Some(status)) => Some(Err(format!("{name} ended: {status}; see its log"))),
            Err(error) => Some(Err(error.to_string())),
        })
        .await
        .unwrap_or_else(|| Err(format!("{name} does not start")))
        .map_err(io::Error::other)?;
        self.proxy.lead_to(address);
        self.proxy.set(Fault::Pass);
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: as when the machine's memory is gone.
    pub(crate) fn kill(&mut self) {
        // The kernel would refuse the same moment.
        self.proxy.set(Fault::Refuse);
        self.process = None;
    }

    /// SIGTERM, and waits until the process has drained and ended.
    pub(crate) async fn stop(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::SIGTERM)?;
        let ended = process.wait(STOP).await?;
        self.proxy.set(Fault::Refuse);
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(io::Error::other(format!("a backend ended with {status}"))),
            None => Err(io::Error::other("a backend does not stop")),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.process.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }
}

/// What the `index`th backend calls itself in `X-Served-By`.
fn instance_name(index: usize) -> String {
    format!("backend-{}", index + 1)
}

/// The index of the backend that calls itself so.
pub(crate) fn index_of(instance: &str) -> Option<usize> {
    instance.strip_prefix("backend-")?.parse::<usize>().ok()?.checked_sub(1)
}

/// What it says when it is ready, once the line is complete.
fn announced(log: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let (_, rest) = text.split_once("listening on ")?;
    rest.split_once('\n')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_known_by_its_name() {
        assert_eq!(index_of(&instance_name(2)), Some(2));
        assert_eq!(index_of("backend-0"), None);
        assert_eq!(index_of("elsewhere-8000"), None);
    }
}
