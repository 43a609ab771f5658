//! `lb` with both engines, each in front of an origin of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::allowed::{self, Tally};
use crate::barrier::Barrier;
use crate::case::Case;
use crate::client;
use crate::observed::{Difference, Observed};
use crate::origin::{Id, Origin};
use crate::support::Lb;

pub struct Bench {
    lb: Lb,
    auto: Origin,
    pingora: Origin,
    barrier: Arc<Barrier>,
    cases: AtomicUsize,
    pub tally: Tally,
}

/// One worker, so that a [`Barrier`] is one. Retries are never out of budget, and
/// no endpoint is ever taken out: what a case comes to does not depend on others.
///
/// `apart` is more of the listener with `engine: auto`.
fn config(auto: SocketAddr, pingora: SocketAddr, apart: &str) -> String {
    let side = |name: &str| {
        format!(
            r#"
  - hosts: ["*"]
    listeners: [{name}]
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: {name} }}
      - {{ match: {{ path_prefix: /small }}, upstream: {name}, limits: {{ body: 64B }} }}
      - {{ match: {{ path: /moved }}, redirect: {{ path: /elsewhere }} }}
      - match: {{ path_prefix: /edited }}
        upstream: {name}
        request_headers: {{ set: {{ X-A: ours }}, add: {{ X-B: ours }}, remove: [Accept] }}
        response_headers: {{ set: {{ X-A: ours }}, add: {{ X-B: ours }}, remove: [Server] }}"#
        )
    };
    format!(
        r#"
workers: 1
client_ip: {{ trusted_proxies: [127.0.0.2/32] }}
defaults:
  timeouts: {{ read: 3s }}
  passive_health: {{ max_fails: 0 }}
  retry: {{ attempts: 2, budget: {{ ratio: 10, min_per_second: 100000 }} }}
listeners:
  auto: {{ bind: ["127.0.0.1:0"], engine: auto{apart} }}
  pingora: {{ bind: ["127.0.0.1:0"], engine: pingora }}
upstreams:
  auto: {{ endpoints: [{{ address: "{auto}" }}] }}
  pingora: {{ endpoints: [{{ address: "{pingora}" }}] }}
virtual_hosts:{}{}
"#,
        side("auto"),
        side("pingora")
    )
}

impl Bench {
    pub async fn start() -> Self {
        Self::start_apart("").await
    }

    /// With more keys of the listener with `engine: auto`.
    pub async fn start_apart(keys: &str) -> Self {
        let barrier = Arc::new(Barrier::default());
        let auto = Origin::start(Arc::clone(&barrier)).await;
        let pingora = Origin::start(Arc::clone(&barrier)).await;
        let lb = Lb::start(&config(auto.address, pingora.address, keys)).await;
        barrier.open(lb.address("pingora")).await;
        let (cases, tally) = (AtomicUsize::new(0), Tally::default());
        Self { lb, auto, pingora, barrier, cases, tally }
    }

    /// Runs a case on both engines; what is wrong, if something is.
    pub async fn judge(&self, case: &Case) -> Result<(), String> {
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        let (auto, pingora) = tokio::join!(
            self.observe(case, number, &self.auto, "auto"),
            self.observe(case, number, &self.pingora, "pingora"),
        );
        let (auto, pingora) = (auto?, pingora?);
        let wrong: Vec<Difference> = auto
            .differences(&pingora)
            .into_iter()
            .filter(|difference| match allowed::entry(difference, case, &auto, &pingora) {
                Some(entry) => {
                    self.tally.count(entry.name);
                    false
                }
                None => true,
            })
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let wrong: Vec<String> = wrong.iter().map(Difference::to_string).collect();
        Err(format!("{}\nauto:\n{auto}pingora:\n{pingora}", wrong.join("\n")))
    }

    async fn observe(
        &self,
        case: &Case,
        number: usize,
        origin: &Origin,
        listener: &str,
    ) -> Result<Observed, String> {
        for (exchange, one) in case.exchanges.iter().enumerate() {
            origin.expect(Id { case: number, exchange: Some(exchange) }, one.script.clone());
        }
        let address = self.lb.address(listener);
        let seen = client::run(case, number, address, &self.barrier).await;
        let requests = origin.take(number, !case.is_orderly());
        let strange = origin.strange();
        let (responses, ending) = seen.map_err(|why| format!("{listener}: {why}"))?;
        if !strange.is_empty() {
            return Err(format!("{listener}: the origin was sent {strange:#?}"));
        }
        let names = [(origin.address, "(origin)"), (address, "(listener)")];
        Ok(Observed { requests, responses, ending }.normalised(&names))
    }
}
