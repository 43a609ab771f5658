//! Clients that ask all the time, and to whom nothing may happen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::support::{Lb, RawConnection, eventually};

/// Each client rests so long, so that the machine has time for the rest.
const REST: Duration = Duration::from_millis(2);
const CLIENTS_OF_A_KIND: usize = 4;

/// Clients that go on until they are told to stop.
pub struct Load {
    state: Arc<LoadState>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct LoadState {
    stop: AtomicBool,
    served: AtomicUsize,
    /// How often each pod has answered.
    answers: Mutex<BTreeMap<String, usize>>,
}

impl Load {
    /// Some with one connection each for all of their requests, which nobody may close,
    /// and some with one for each.
    pub fn start(lb: &Lb) -> Self {
        let state = Arc::new(LoadState::default());
        let address = lb.address("http");
        let mut clients = Vec::new();
        for number in 0..2 * CLIENTS_OF_A_KIND {
            let keeps_alive = number.is_multiple_of(2);
            let state = Arc::clone(&state);
            clients.push(tokio::spawn(async move {
                let mut kept = None;
                while !state.stop.load(Ordering::Relaxed) {
                    let answer = if keeps_alive {
                        let connection = match &mut kept {
                            Some(connection) => connection,
                            none => none.insert(RawConnection::open(address).await),
                        };
                        connection.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
                        let answer = connection.read_until(">").await;
                        let closes = answer.to_lowercase().contains("connection: close");
                        assert!(!closes, "nothing of the listener has changed: {answer}");
                        answer
                    } else {
                        let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
                        RawConnection::exchange(address, request).await
                    };
                    state.count(&answer);
                    tokio::time::sleep(REST).await;
                }
            }));
        }
        Self { state, clients }
    }

    /// Waits until so many more requests have been served.
    pub async fn goes_on(&self, requests: usize) {
        let wanted = self.state.served.load(Ordering::SeqCst) + requests;
        eventually("requests to be served", || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            (failed || self.state.served.load(Ordering::SeqCst) >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until each of these has answered once more.
    pub async fn reaches(&self, names: &[String]) {
        let before = self.answers();
        eventually("every pod to be asked", || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            let now = self.answers();
            let more = |name: &String| now.get(name) > before.get(name);
            (failed || names.iter().all(more)).then_some(())
        })
        .await;
    }

    /// How often each pod has answered so far.
    pub fn answers(&self) -> BTreeMap<String, usize> {
        self.state.answers.lock().unwrap().clone()
    }

    /// Fails if any request has.
    pub async fn stop(self) -> BTreeMap<String, usize> {
        self.state.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request fails");
        }
        let answers = self.state.answers.lock().unwrap().clone();
        println!("{} requests: {answers:?}", answers.values().sum::<usize>());
        answers
    }
}

impl LoadState {
    fn count(&self, answer: &str) {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (_, name) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(name.starts_with('<') && name.ends_with('>'), "{answer}");
        *self.answers.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        self.served.fetch_add(1, Ordering::SeqCst);
    }
}
