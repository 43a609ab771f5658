//! Deadlines of connections: one alarm each, for whatever it waits for.
//!
//! A timer of the runtime for every wait of every request is work and memory
//! that almost always comes to nothing. Here setting an alarm is a store, and a
//! worker sleeps on one timer for all of its alarms: a [`Wheel`] of a thread,
//! driven by one task. An alarm that fires early is no error: who owns it looks
//! at the clock.
//!
//! Knows nothing of connections; `listener` and `engine` use it.

mod wheel;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::wheel::Wheel;

/// How exact alarms are. A deadline of a client or an endpoint is hundreds of
/// milliseconds at least.
const TICK: Duration = Duration::from_millis(4);

/// An alarm of the task that holds it. It is set and asked on the thread that
/// made it; a worker's tasks never leave it.
#[derive(Debug)]
pub struct Alarm {
    slot: u32,
    wheel: u64,
    /// As it was set last; `None` while there is nothing to wait for.
    at: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set. Must be called inside a runtime of one thread.
    pub fn new() -> Self {
        WORKER.with_borrow_mut(|worker| {
            worker.start();
            Self { slot: worker.wheel.add(), wheel: worker.id, at: None }
        })
    }

    /// Sets it, or moves it.
    pub fn set(&mut self, at: Instant) {
        if self.at == Some(at) {
            return;
        }
        self.at = Some(at);
        self.with_worker(|worker, slot| {
            let tick = worker.tick_after(at);
            if worker.wheel.set(slot, tick) {
                worker.hurry(tick);
            }
        });
    }

    /// Nothing is waited for.
    pub fn clear(&mut self) {
        self.at = None;
        self.with_worker(|worker, slot| worker.wheel.clear(slot));
    }

    /// Ready when its time has come; wakes the task then. Pending while unset.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.at.is_some_and(|at| at <= Instant::now()) {
            return Poll::Ready(());
        }
        self.wake(cx.waker());
        Poll::Pending
    }

    /// Has `waker` woken when its time has come, without a look at the clock.
    pub fn wake(&mut self, waker: &Waker) {
        self.with_worker(|worker, slot| {
            if let Some(tick) = worker.wheel.wake(slot, waker) {
                worker.hurry(tick);
            }
        });
    }

    fn with_worker(&self, act: impl FnOnce(&mut Worker, u32)) {
        // Err: the thread ends, and so does everything on it.
        let _ = WORKER.try_with(|worker| {
            let mut worker = worker.borrow_mut();
            // Elsewhere the slot is another's. The task is woken by its I/O only.
            if worker.id == self.wheel {
                act(&mut worker, self.slot);
            }
        });
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.with_worker(|worker, slot| worker.wheel.remove(slot));
    }
}

/// Wakes every task of this thread that waits with an alarm, so that it looks at
/// what has changed: the process stops.
pub fn wake_all() {
    let wakers = WORKER.with_borrow_mut(|worker| worker.wheel.take_wakers());
    wakers.into_iter().for_each(Waker::wake);
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::new(Worker::new());
}

/// The wheel of a thread and what turns it.
struct Worker {
    id: u64,
    wheel: Wheel,
    epoch: Option<Instant>,
    /// The driver sleeps until this tick, and is woken through this.
    sleeps_until: u64,
    driver: Option<Waker>,
}

impl Worker {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            wheel: Wheel::new(),
            epoch: None,
            sleeps_until: 0,
            driver: None,
        }
    }

    /// Starts the driver with the first alarm.
    fn start(&mut self) {
        if self.epoch.is_some() {
            return;
        }
        self.epoch = Some(Instant::now());
        tokio::spawn(drive());
    }

    /// The first tick at which `at` is over.
    fn tick_after(&self, at: Instant) -> u64 {
        let Some(epoch) = self.epoch else { return 0 };
        let since = at.saturating_duration_since(epoch).as_nanos();
        u64::try_from(since.div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
    }

    fn instant_of(&self, tick: u64) -> Option<Instant> {
        // Nanoseconds in 64 bits are 584 years.
        let nanos = tick.saturating_mul(TICK.as_nanos() as u64);
        self.epoch?.checked_add(Duration::from_nanos(nanos))
    }

    /// Has the driver look again if it sleeps beyond `tick`.
    fn hurry(&mut self, tick: u64) {
        if tick < self.sleeps_until
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }
}

/// Turns the wheel of this thread for as long as the thread lives.
async fn drive() {
    /// Nothing is due: as long as nobody calls.
    const LONG: Duration = Duration::from_secs(3600);
    let sleep = sleep_until(Instant::now());
    tokio::pin!(sleep);
    std::future::poll_fn(|cx| {
        loop {
            let now = Instant::now();
            let (due, next) = WORKER.with_borrow_mut(|worker| {
                let elapsed = worker.epoch.map_or(Duration::ZERO, |epoch| now - epoch);
                let tick = u64::try_from(elapsed.as_nanos() / TICK.as_nanos()).unwrap_or(0);
                let due = worker.wheel.turn(tick);
                let next = worker.wheel.next();
                worker.sleeps_until = next.unwrap_or(u64::MAX);
                worker.driver = Some(cx.waker().clone());
                (due, next.and_then(|next| worker.instant_of(next)))
            });
            // Outside: a waker may run anything.
            due.into_iter().for_each(Waker::wake);
            sleep.as_mut().reset(next.unwrap_or(now + LONG));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::<()>::Pending;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn rings(alarm: &mut Alarm) {
        poll_fn(|cx| alarm.poll(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_when_it_is_time_and_not_before() {
        let begun = Instant::now();
        for millis in [1_u64, 4, 5, 250, 10_000, 75_000, 7 * 86_400_000] {
            let mut alarm = Alarm::new();
            let at = Instant::now() + Duration::from_millis(millis);
            alarm.set(at);
            rings(&mut alarm).await;
            let late = Instant::now() - at;
            assert!(late < Duration::from_millis(20), "{millis}: {late:?}");
        }
        assert!(begun.elapsed() > Duration::from_secs(7 * 86_400));
    }

    #[tokio::test(start_paused = true)]
    async fn alarms_ring_after_years_too() {
        drop(Alarm::new());
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(400 * 86_400)).await;
            let mut alarm = Alarm::new();
            let at = Instant::now() + Duration::from_secs(1);
            alarm.set(at);
            rings(&mut alarm).await;
            let late = Instant::now() - at;
            assert!(late < Duration::from_millis(20), "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_moves_both_ways() {
        let mut alarm = Alarm::new();
        let begun = Instant::now();
        alarm.set(begun + Duration::from_secs(75));
        alarm.set(begun + Duration::from_secs(2));
        rings(&mut alarm).await;
        assert_eq!(begun.elapsed().as_secs(), 2);
        alarm.set(begun + Duration::from_secs(4));
        let asked = tokio::time::timeout(Duration::from_secs(1), rings(&mut alarm)).await;
        assert!(asked.is_err());
        alarm.set(begun + Duration::from_secs(100));
        rings(&mut alarm).await;
        assert_eq!(begun.elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cleared_alarm_does_not_ring() {
        let mut alarm = Alarm::new();
        alarm.set(Instant::now() + Duration::from_secs(1));
        alarm.clear();
        let asked = tokio::time::timeout(Duration::from_secs(60), rings(&mut alarm)).await;
        assert!(asked.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn every_one_of_many_rings_in_its_time() {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..2000_u64)
            .map(|index| {
                tokio::spawn(async move {
                    let mut alarm = Alarm::new();
                    let at = begun + Duration::from_millis(index * 37 % 100_000);
                    alarm.set(at);
                    rings(&mut alarm).await;
                    Instant::now() - at
                })
            })
            .collect();
        for task in tasks {
            let late = task.await.unwrap();
            assert!(late < Duration::from_millis(20), "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_woken_when_the_process_stops() {
        let mut alarm = Alarm::new();
        alarm.set(Instant::now() + Duration::from_secs(1000));
        let mut polls = 0;
        let waits = tokio::spawn(async move {
            poll_fn(|cx| {
                polls += 1;
                if polls == 2 { Poll::Ready(()) } else { alarm.poll(cx) }
            })
            .await;
        });
        tokio::task::yield_now().await;
        wake_all();
        tokio::time::timeout(Duration::from_secs(1), waits).await.unwrap().unwrap();
    }
}
