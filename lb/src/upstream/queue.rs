//! Requests that wait for a place, because every endpoint that could take them is
//! full: first come, first served.
//!
//! Only the first in the queue looks for a place. It is woken when a lease ends or
//! an endpoint comes back, and when it has found one the next is the first. A request
//! that is sent again, and must not go where it has failed, looks beside it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

/// What is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// How many requests may wait.
    pub size: u32,
    /// How long each may wait.
    pub timeout: Duration,
}

/// The queue of one upstream.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicU32,
    /// Held by the first. Tokio's mutex is fair: it goes to who has waited longest.
    first: Mutex<()>,
    moved: Notify,
}

/// A request that waits. Whoever goes away leaves the queue by `Drop`.
#[derive(Debug)]
pub struct Waiting(Arc<Queue>);

impl Queue {
    /// How many requests wait.
    pub fn len(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits in the queue, unless `size` others do.
    pub fn enter(self: &Arc<Self>, size: u32) -> Option<Waiting> {
        let enter = |waiting| (waiting < size).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok()?;
        Some(Waiting(Arc::clone(self)))
    }

    /// There may be a place: the first looks again.
    pub fn look_again(&self) {
        // Before this, the place was given up; a waiting request is counted before
        // it looks. One of the two sees the other.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.moved.notify_waiters();
        }
    }
}

impl Waiting {
    /// Waits to be the first, and then until `look` finds something.
    pub async fn wait_for<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        let _first = self.0.first.lock().await;
        self.look_until(look).await
    }

    /// The same beside the others, for one who cannot take whatever is free: those behind
    /// it would wait for its sake.
    pub async fn wait_beside<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        self.look_until(look).await
    }

    async fn look_until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let queue = &*self.0;
        loop {
            let mut moved = pin!(queue.moved.notified());
            // Registered before the look: what moves in between is not missed.
            moved.as_mut().enable();
            fence(Ordering::SeqCst);
            if let Some(found) = look() {
                return found;
            }
            moved.await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one of `places`.
    fn take(places: &AtomicU32) -> Option<()> {
        let one = |places: u32| places.checked_sub(1);
        places.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one).ok().map(drop)
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let queue = Arc::new(Queue::default());
        let first = queue.enter(2).unwrap();
        let _second = queue.enter(2).unwrap();
        assert!(queue.enter(2).is_none());
        drop(first);
        assert_eq!(queue.len(), 1);
        assert!(queue.enter(2).is_some());
    }

    #[tokio::test]
    async fn who_waits_beside_holds_nobody_up() {
        let (queue, places) = (Arc::new(Queue::default()), Arc::new(AtomicU32::new(1)));
        let beside = queue.enter(5).unwrap();
        let picky = tokio::spawn(async move { beside.wait_beside(|| None::<()>).await });
        tokio::task::yield_now().await;
        let next = queue.enter(5).unwrap();
        next.wait_for(|| take(&places)).await;
        picky.abort();
    }

    #[tokio::test]
    async fn who_came_first_is_served_first() {
        let (queue, places) = (Arc::new(Queue::default()), Arc::new(AtomicU32::new(0)));
        let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for number in 0..5 {
            let (waiting, places) = (queue.enter(5).unwrap(), Arc::clone(&places));
            let served = served.clone();
            tasks.push(tokio::spawn(async move {
                waiting.wait_for(|| take(&places)).await;
                served.send(number).unwrap();
            }));
            // On one thread: it runs until it waits.
            tokio::task::yield_now().await;
        }
        // Who leaves is passed over.
        tasks[1].abort();
        for expected in [0, 2] {
            places.fetch_add(1, Ordering::SeqCst);
            queue.look_again();
            assert_eq!(order.recv().await, Some(expected));
        }
        // Two places at once, and one call.
        places.fetch_add(2, Ordering::SeqCst);
        queue.look_again();
        assert_eq!((order.recv().await, order.recv().await), (Some(3), Some(4)));
        for task in tasks {
            let _ = task.await;
        }
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn the_first_may_leave_with_its_call() {
        let (queue, places) = (Arc::new(Queue::default()), AtomicU32::new(0));
        let (first, second) = (queue.enter(2).unwrap(), queue.enter(2).unwrap());
        let mut leaving = Box::pin(first.wait_for(|| take(&places)));
        let mut staying = Box::pin(second.wait_for(|| take(&places)));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        assert!(futures_util::poll!(&mut staying).is_pending());
        places.fetch_add(1, Ordering::SeqCst);
        queue.look_again();
        drop(leaving);
        drop(first);
        staying.await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_call_is_missed_between_threads() {
        let (queue, places) = (Arc::new(Queue::default()), Arc::new(AtomicU32::new(2)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (queue, places) = (Arc::clone(&queue), Arc::clone(&places));
            tasks.spawn(async move {
                for _ in 0..500 {
                    let waiting = queue.enter(8).unwrap();
                    waiting.wait_for(|| take(&places)).await;
                    drop(waiting);
                    tokio::task::yield_now().await;
                    places.fetch_add(1, Ordering::Relaxed);
                    queue.look_again();
                }
            });
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody is forgotten");
    }
}
