//! What the process holds, once a second.

use std::fs;
use std::io;

use nix::unistd::Pid;

use crate::process::count_descriptors;
use crate::setup::MAX_IDLE;
use crate::status::Metrics;

/// What is measured. The names are those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gauge {
    Memory,
    Descriptors,
    Threads,
    Tasks,
    ClientConnections,
    EndpointConnections,
    InFlight,
}

impl Gauge {
    pub(crate) const ALL: [Self; 7] = [
        Self::Memory,
        Self::Descriptors,
        Self::Threads,
        Self::Tasks,
        Self::ClientConnections,
        Self::EndpointConnections,
        Self::InFlight,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "resident memory, KiB",
            Self::Descriptors => "open descriptors",
            Self::Threads => "threads",
            Self::Tasks => "tasks",
            Self::ClientConnections => "connections of clients",
            Self::EndpointConnections => "connections to endpoints",
            Self::InFlight => "exchanges in flight",
        }
    }

    /// What may come on top of a tenth: at the same load, too, some more or fewer
    /// requests are under way when a sample is taken.
    pub(crate) fn slack(self) -> f64 {
        match self {
            // Sixteen sets of buffers of 128 KiB: what the long bodies of the mix take
            // when their times happen to coincide, and what workers keep of it.
            Self::Memory => 2048.0,
            // The pool holds anything up to its bound, by how the last requests came.
            // That none is lost shows exactly when all clients are gone.
            Self::Descriptors | Self::EndpointConnections => f64::from(MAX_IDLE),
            // Clients that connect for one request.
            Self::ClientConnections => 16.0,
            // The runtime starts some for what blocks, and ends them when idle.
            Self::Threads => 2.0,
            // One for each of both, and those that end after them.
            Self::Tasks => 32.0,
            Self::InFlight => 16.0,
        }
    }
}

/// One look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) second: f64,
    values: [f64; Gauge::ALL.len()],
}

impl Sample {
    pub(crate) fn take(second: f64, pid: Pid, metrics: &Metrics) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| field(&status, name).ok_or_else(|| io::Error::other("no field"));
        let descriptors = count_descriptors(pid)?;
        let sum = |name| metrics.sum(name, &[]).unwrap_or_default();
        Ok(Self {
            second,
            values: [
                field("VmRSS:")?,
                descriptors as f64,
                field("Threads:")?,
                sum("lb_tasks"),
                sum("lb_connections_open"),
                sum("lb_endpoint_connections"),
                sum("lb_endpoint_in_flight"),
            ],
        })
    }

    pub(crate) fn get(&self, gauge: Gauge) -> f64 {
        self.values[gauge as usize]
    }

    #[cfg(test)]
    pub(crate) fn of(second: f64, value: f64) -> Self {
        Self { second, values: [value; Gauge::ALL.len()] }
    }
}

fn field(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_status_are_numbers() {
        let status = "Name:\tlb\nVmRSS:\t   12345 kB\nThreads:\t4\n";
        assert_eq!(field(status, "VmRSS:"), Some(12345.0));
        assert_eq!(field(status, "Threads:"), Some(4.0));
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
