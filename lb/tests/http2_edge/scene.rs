//! What the tests of HTTP/2 have in common: an origin, a configuration, and
//! somebody who is served while another attacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::frames;
use crate::support::{Lb, Origin, respond};

/// Growth that an attack may cause: buffers and pools fill, no more.
const GROWTH: u64 = 64 * 1024 * 1024;

/// An `lb` with a TLS listener in front of one origin.
pub struct Scene {
    pub lb: Lb,
    pub origin: Origin,
    /// One permit lets one request to `/gated` go on.
    pub gate: Arc<Semaphore>,
    memory: u64,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with("", "").await
    }

    /// With more keys of the listener and of the route.
    pub async fn with(listener: &str, route: &str) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let origin = Origin::start({
            let gate = Arc::clone(&gate);
            move |request| {
                let gate = Arc::clone(&gate);
                async move {
                    match request.uri().path() {
                        "/gated" => gate.acquire().await.unwrap().forget(),
                        "/big" => return big(),
                        "/page" => return respond(200, vec![b'x'; 30 * 1024]),
                        _ => {}
                    }
                    match request.into_body().collect().await {
                        Ok(body) => respond(200, format!("{}", body.to_bytes().len())),
                        Err(_) => respond(400, "the body broke"),
                    }
                }
            }
        })
        .await;
        let lb = Lb::start(&config(&origin, listener, route)).await;
        let memory = lb.resident_memory();
        Self { lb, origin, gate, memory }
    }

    pub async fn closed(&self, cause: &str) {
        let cause = format!("cause=\"{cause}\"");
        self.lb.metric_becomes("lb_connections_closed_total", &[&cause], 1.0).await;
        // And under no other.
        assert_eq!(self.lb.metric("lb_connections_closed_total", &[]).await, 1.0);
    }

    /// Nothing is left of what the attack began, and nobody else is blamed.
    pub async fn is_calm(&self) {
        self.lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
        self.lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 0.0).await;
        assert_eq!(self.lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
        let grown = self.lb.resident_memory().saturating_sub(self.memory);
        assert!(grown < GROWTH, "memory grew by {grown} bytes");
    }

    /// Requests of others until now, those of attackers alone.
    pub fn attackers_requests(&self) -> usize {
        self.origin.requests().iter().filter(|one| one.target != "/bystander").count()
    }

    /// A flood: it ends with `code` and `cause` while somebody else is served.
    pub async fn survives(&self, cause: &str, code: u32, more: impl FnMut() -> Option<Vec<u8>>) {
        let bystander = Bystander::begin(&self.lb).await;
        let mut client = frames::Client::open(&self.lb).await;
        let goodbye = client.flood(more).await;
        assert_eq!(goodbye.map(|goodbye| goodbye.code), Some(code), "{goodbye:?}");
        drop(client);
        self.closed(cause).await;
        bystander.end().await;
        self.is_calm().await;
    }
}

fn config(origin: &Origin, listener: &str, route: &str) -> String {
    format!(
        r#"
listeners:
  http: {{ bind: ["127.0.0.1:0"] }}
  https:
    bind: ["127.0.0.1:0"]
    tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }}
    {listener}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api, {route} }}]
"#,
        origin.address
    )
}

/// Sixteen mebibytes.
fn big() -> Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>> {
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let chunks = (0..256).map(move |_| Ok(Frame::data(chunk.clone())));
    Response::new(StreamBody::new(futures_util::stream::iter(chunks)).boxed())
}

/// Somebody with a connection of their own, asking again and again.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    asking: JoinHandle<()>,
}

impl Bystander {
    pub async fn begin(lb: &Lb) -> Self {
        let (client, url) = (lb.client(), lb.secure_url("api.test", "/bystander"));
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        assert_eq!(client.text(&url).await, "0");
        let asking = tokio::spawn({
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = tokio::time::timeout(Duration::from_secs(10), client.text(&url));
                    assert_eq!(answer.await.expect("an answer in time"), "0");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, served, asking }
    }

    /// Was served all the time, and is still.
    pub async fn end(self) {
        let before = self.served.load(Ordering::Relaxed);
        crate::support::eventually("the bystander to be served afterwards", || {
            let served = self.served.load(Ordering::Relaxed);
            (self.asking.is_finished() || served > before + 1).then_some(())
        })
        .await;
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.unwrap();
    }
}
