//! Connections that we closed: counted always, said now and then.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use crate::response::Closing;

/// A line a cause in so long: an attack must not fill the disk.
const SILENCE: Duration = Duration::from_secs(1);

/// The closings of one listener.
#[derive(Debug)]
pub struct Closings {
    listener: Arc<str>,
    begun: Instant,
    /// By closing.
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    counter: IntCounter,
    /// When a line was last written, in milliseconds since `begun`; 0 is never.
    said: AtomicU64,
    unsaid: AtomicU64,
}

impl Closings {
    pub(super) fn new(listener: Arc<str>, counter: impl Fn(Closing) -> IntCounter) -> Self {
        let series = Closing::ALL.iter().map(|closing| Series {
            counter: counter(*closing),
            said: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        });
        Self { listener, begun: Instant::now(), series: series.collect() }
    }

    /// Counts a closing, and logs it unless one of its kind was logged just now.
    pub fn record(&self, closing: Closing, client: IpAddr) {
        let series = &self.series[closing as usize];
        series.counter.inc();
        let Some(unsaid) = self.may_say(series) else { return };
        let (listener, cause) = (&*self.listener, closing.name());
        match closing {
            // Every quiet client ends so.
            Closing::IdleTimeout | Closing::RequestLimit => {
                tracing::debug!(%listener, cause, %client, "connection closed");
            }
            _ => tracing::info!(
                %listener, cause, %client, not_logged = unsaid, "connection closed"
            ),
        }
    }

    /// How many were not said since the last line, if a line is due.
    fn may_say(&self, series: &Series) -> Option<u64> {
        let now = self.begun.elapsed().as_millis() as u64 + 1;
        let said = series.said.load(Ordering::Relaxed);
        let due = said == 0 || now.saturating_sub(said) >= SILENCE.as_millis() as u64;
        let won = due
            && series
                .said
                .compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            return Some(series.unsaid.swap(0, Ordering::Relaxed));
        }
        series.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}
