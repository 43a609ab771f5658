//! The machine: how busy its processors are, how full its memory.

use parking_lot::Mutex;
use procfs::{Current, CurrentSI, KernelStats, Meminfo};
use prometheus::{Gauge, Registry};

use super::registered;

/// Shows what the kernel counts.
#[derive(Debug)]
pub(super) struct Machine {
    cpu_percent: Gauge,
    memory_percent: Gauge,
    /// At the last look.
    seen: Mutex<Ticks>,
}

/// Time of all processors since the machine started.
#[derive(Debug, Clone, Copy, Default)]
struct Ticks {
    busy: u64,
    total: u64,
}

impl Machine {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu_percent: registered(
                registry,
                Gauge::new(
                    "fastnext_cpu_percent",
                    "How busy the processors of the machine were since the last scrape, 0 to 100.",
                )?,
            )?,
            memory_percent: registered(
                registry,
                Gauge::new(
                    "fastnext_memory_percent",
                    "How much of the machine's memory is not available, 0 to 100.",
                )?,
            )?,
            seen: Mutex::new(ticks().unwrap_or_default()),
        })
    }

    /// What cannot be read stays as it was.
    pub(super) fn show(&self) {
        if let Some(now) = ticks() {
            let mut seen = self.seen.lock();
            let total = now.total.saturating_sub(seen.total);
            // Twice within a tick of the kernel: the last value stands.
            if total > 0 {
                let busy = now.busy.saturating_sub(seen.busy);
                self.cpu_percent.set(100.0 * busy as f64 / total as f64);
                *seen = now;
            }
        }
        if let Ok(memory) = Meminfo::current()
            && memory.mem_total > 0
        {
            let available = memory.mem_available.unwrap_or(memory.mem_free);
            let used = memory.mem_total.saturating_sub(available);
            self.memory_percent.set(100.0 * used as f64 / memory.mem_total as f64);
        }
    }
}

fn ticks() -> Option<Ticks> {
    let cpu = KernelStats::current().ok()?.total;
    let idle = cpu.idle + cpu.iowait.unwrap_or(0);
    // The time of guests is part of user and nice.
    let busy = cpu.user
        + cpu.nice
        + cpu.system
        + cpu.irq.unwrap_or(0)
        + cpu.softirq.unwrap_or(0)
        + cpu.steal.unwrap_or(0);
    Some(Ticks { busy, total: busy + idle })
}
