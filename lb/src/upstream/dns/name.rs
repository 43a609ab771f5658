//! A name, and what is known of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::answer::{Answer, Outcome};

/// A name that endpoints of an upstream have, and its latest addresses.
#[derive(Debug)]
pub struct DnsName {
    upstream: Arc<str>,
    name: Arc<str>,
    addresses: Mutex<Vec<IpAddr>>,
    asked: AtomicBool,
    failures: AtomicU64,
}

impl DnsName {
    /// A name of which nothing is known yet.
    pub(in crate::upstream) fn new(upstream: Arc<str>, name: &str) -> Self {
        Self {
            upstream,
            name: name.into(),
            addresses: Mutex::default(),
            asked: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        }
    }

    /// The name, lower case, without the last dot.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its addresses as far as they are known, in order.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.lock().clone()
    }

    /// Look-ups that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether a look-up has ended, well or not.
    pub(in crate::upstream) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Takes in an answer. Whether the addresses are others now.
    pub(super) fn take_in(&self, answer: Answer) -> (Outcome, bool) {
        let mut addresses = self.addresses.lock();
        let outcome = answer.apply(&addresses);
        let changed = *addresses != outcome.addresses;
        addresses.clone_from(&outcome.addresses);
        if outcome.failure.is_some() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.asked.store(true, Ordering::Relaxed);
        (outcome, changed)
    }
}

/// Asks for a name's addresses again and again, and says so when they are known
/// or `changed`.
pub(in crate::upstream) async fn follow<L, F>(name: Arc<DnsName>, look_up: L, changed: Arc<Notify>)
where
    L: Fn(Arc<str>) -> F,
    F: Future<Output = Answer>,
{
    let (mut failures, mut failure, mut remark) = (0u32, None, None);
    loop {
        let first = !name.is_asked();
        let (outcome, others) = name.take_in(look_up(Arc::clone(name.name())).await);
        if others || first {
            changed.notify_one();
        }
        failures = if outcome.failure.is_some() { failures.saturating_add(1) } else { 0 };
        let pause = outcome.pause(failures);
        // Said once, not each time: what does not change is no news.
        if outcome.failure != failure {
            match &outcome.failure {
                Some(reason) => tracing::warn!(
                    upstream = %name.upstream,
                    name = %name.name,
                    reason,
                    known_addresses = outcome.addresses.len(),
                    "name not resolved; its known addresses stay"
                ),
                None => {
                    tracing::info!(upstream = %name.upstream, name = %name.name, "name resolved again");
                }
            }
            failure = outcome.failure;
        }
        if outcome.remark != remark {
            if let Some(reason) = &outcome.remark {
                tracing::warn!(upstream = %name.upstream, name = %name.name, reason, "addresses ignored");
            }
            remark = outcome.remark;
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::super::answer::Records;
    use super::*;

    /// Answers by a script, one line for each question; when they came.
    fn scripted(script: Vec<Answer>) -> (Asked, impl Fn(Arc<str>) -> Reply) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (times, begun) = (Arc::clone(&asked), Instant::now());
        let look_up = move |name: Arc<str>| {
            assert_eq!(&*name, "api.test");
            let mut times = times.lock();
            times.push(begun.elapsed().as_secs());
            std::future::ready(script[(times.len() - 1).min(script.len() - 1)].clone())
        };
        (asked, look_up)
    }

    type Asked = Arc<Mutex<Vec<u64>>>;
    type Reply = std::future::Ready<Answer>;

    fn found(text: &str, ttl: u64) -> Answer {
        let addresses = text.split(' ').map(|address| address.parse().unwrap()).collect();
        let v4 = Records::Found(addresses, Duration::from_secs(ttl));
        Answer { v4, v6: Records::Missing("it has no address") }
    }

    #[tokio::test(start_paused = true)]
    async fn asks_again_when_the_ttl_is_over_and_less_often_while_nobody_answers() {
        let name = Arc::new(DnsName::new("api".into(), "api.test"));
        let changed = Arc::new(Notify::new());
        let nothing = Answer::failed("no answer");
        let (asked, look_up) = scripted(vec![
            found("10.0.0.1", 5),
            found("10.0.0.2 10.0.0.1", 0),
            nothing.clone(),
            nothing.clone(),
            nothing.clone(),
            found("10.0.0.3", 1_000_000),
        ]);
        tokio::spawn(follow(Arc::clone(&name), look_up, Arc::clone(&changed)));
        let mut seen = Vec::new();
        // Half a second past each whole one: between what happens.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..400 {
            seen.push(name.addresses().len());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(*asked.lock(), [0, 5, 6, 7, 9, 13, 313]);
        assert_eq!(name.failures(), 3);
        assert_eq!(seen[..5], [1; 5]);
        assert_eq!(seen[5..13], [2; 8], "what is known stays while nobody answers");
        assert_eq!(seen[13..], [1; 387]);
        assert_eq!(name.addresses(), ["10.0.0.3".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn says_when_something_is_known_and_when_it_changes() {
        let name = Arc::new(DnsName::new("api".into(), "api.test"));
        let changed = Arc::new(Notify::new());
        let (asked, look_up) = scripted(vec![
            Answer::failed("no answer"),
            found("10.0.0.1", 100),
            found("10.0.0.1", 100),
            found("10.0.0.2", 100),
        ]);
        tokio::spawn(follow(Arc::clone(&name), look_up, Arc::clone(&changed)));
        for (known, questions) in [(0, 1), (1, 2), (1, 4)] {
            changed.notified().await;
            assert_eq!((name.addresses().len(), asked.lock().len()), (known, questions));
            assert!(name.is_asked());
        }
        let more = timeout(Duration::from_secs(1000), changed.notified()).await;
        assert!(more.is_err(), "what stays as it is is no change");
    }
}
