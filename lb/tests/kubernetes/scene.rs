//! What most of the tests begin with: a cluster, pods, and a configuration.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::Endpoint;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::api::{Order, Verb};
use crate::cluster::Cluster;
use crate::kubeconfig::{self, Access};
use crate::pods::Pod;
use crate::slices::{State, endpoint, slice};
use crate::support::{Client, Lb, Origin, eventually};

/// Long enough for the slowest machine; no test waits this long when it passes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The Service that most of the tests are about.
pub const SERVICE: &str = "api";
/// Its slice, as long as there is only one.
pub const SLICE: &str = "api-1";
/// The number of no pod.
const NOBODY: u8 = 254;
/// The service account of `lb`.
pub const ACCOUNT: &str = "lb";

pub struct Scene {
    pub cluster: Cluster,
    pub access: Access,
    /// Where every pod listens.
    pub port: u16,
    /// Beside the upstream `api`: what is asked of no cluster.
    pub web: Origin,
    directory: TempDir,
    /// Keeps the port from those who take any, at all addresses.
    _port: TcpListener,
}

impl Scene {
    /// For a test that lets the API server run.
    pub async fn new() -> Self {
        Self::of(Cluster::shared().await).await
    }

    /// For a test that stops the API server.
    pub async fn alone() -> Self {
        Self::of(Cluster::alone().await).await
    }

    /// For a test of what only the stub can do.
    pub async fn on_stub() -> Self {
        Self::of(Cluster::stub().await).await
    }

    /// The same over HTTPS.
    pub async fn on_stub_with_tls() -> Self {
        Self::of(Cluster::stub_with_tls().await).await
    }

    async fn of(cluster: Cluster) -> Self {
        let access = cluster.user(ACCOUNT, &[Verb::List, Verb::Watch]).await;
        let port = free_port(cluster.pod_address(NOBODY));
        let scene = Self {
            port: port.local_addr().unwrap().port(),
            access,
            cluster,
            web: Origin::named("web").await,
            directory: TempDir::new().unwrap(),
            _port: port,
        };
        scene.write_kubeconfig(&scene.access);
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the kubeconfig of `lb` is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    pub fn write_kubeconfig(&self, access: &Access) {
        kubeconfig::write(&self.kubeconfig(), &kubeconfig::of(access));
    }

    pub fn address(&self, pod: u8) -> SocketAddr {
        SocketAddr::new(self.cluster.pod_address(pod), self.port)
    }

    /// Starts a pod, by its number from 1.
    pub async fn pod(&self, number: u8) -> Pod {
        Pod::start(self.address(number)).await
    }

    pub async fn pods(&self, numbers: impl IntoIterator<Item = u8>) -> Vec<Pod> {
        let mut pods = Vec::new();
        for number in numbers {
            pods.push(self.pod(number).await);
        }
        pods
    }

    /// Puts the one slice of the Service.
    pub async fn publish(&self, endpoints: Vec<Endpoint>) {
        self.put(SLICE, endpoints).await;
    }

    /// Puts a slice of the Service.
    pub async fn put(&self, name: &str, endpoints: Vec<Endpoint>) {
        self.cluster.apply(slice(name, SERVICE, &[("http", self.port)], endpoints)).await;
    }

    /// Puts the one slice of the Service, with all of these pods ready.
    pub async fn publish_ready(&self, pods: &[Pod]) {
        self.publish(pods.iter().map(|pod| of_pod(pod, State::Ready)).collect()).await;
    }

    /// The source of the Service's pods.
    pub fn source(&self, service: &str, port: &str) -> String {
        let namespace = &self.cluster.namespace;
        format!("kubernetes: {{ namespace: {namespace}, service: {service}, port: {port} }}")
    }

    /// A configuration whose upstream `api` has the pods of the Service, and other keys.
    pub fn yaml(&self, more: &str) -> String {
        let source = self.source(SERVICE, "http");
        self.yaml_of(&format!("endpoints_from: {{ {source} }}, {more}"))
    }

    /// A configuration whose upstream `api` has these keys.
    pub fn yaml_of(&self, api: &str) -> String {
        let kubeconfig = self.kubeconfig();
        let (kubeconfig, web) = (kubeconfig.display(), self.web.address);
        format!(
            r#"
kubernetes: {{ kubeconfig: "{kubeconfig}", timeout: 10s }}
shutdown: {{ drain_timeout: 1h }}
admin: {{ address: "127.0.0.1:0" }}
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api: {{ {api} }}
  web: {{ endpoints: [{{ address: "{web}" }}] }}
virtual_hosts:
  - hosts: ["web.test"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: web }}]
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api, websocket: true }}]
"#
        )
    }

    pub async fn start(&self) -> Lb {
        Lb::start(&self.yaml("")).await
    }
}

/// A pod as it stands in a slice.
pub fn of_pod(pod: &Pod, state: State) -> Endpoint {
    endpoint(&[&pod.address.ip().to_string()], state)
}

/// A port that is free at an address, and so at those that only this test has.
fn free_port(address: IpAddr) -> TcpListener {
    TcpListener::bind((address, 0)).unwrap_or_else(|error| {
        panic!("{address} has to be an address of this machine, for pods: {error}")
    })
}

/// Tells the watches of the stub to end, or what else ends them, and waits for it.
pub async fn end_watches(scene: &Scene, order: Order) {
    let api = scene.cluster.api();
    let before = api.ended_watches();
    api.order(order);
    eventually("a watch to end", || (api.ended_watches() > before).then_some(())).await;
}

/// The status and the body of a request to the upstream `api`.
pub async fn ask(lb: &Lb) -> (u16, String) {
    ask_host(lb, "api.test").await
}

pub async fn ask_host(lb: &Lb, host: &str) -> (u16, String) {
    let request = Client::unpooled().0.get(lb.url("/")).header("host", host);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Waits until the upstream `api` has so many endpoints.
pub async fn endpoints_become(lb: &Lb, count: usize) {
    lb.metric_becomes("lb_upstream_endpoints", &[r#"upstream="api""#], count as f64).await;
}

/// Waits until the Service is followed, or is not.
pub async fn watch_becomes(lb: &Lb, up: bool) {
    lb.metric_becomes("lb_kubernetes_watch_up", &[], f64::from(u8::from(up))).await;
}

/// Waits until this is what is wrong with the Service, or nothing is.
pub async fn problem_becomes(lb: &Lb, problem: Option<&str>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = problems(lb).await;
        if found.len() == problem.iter().len() && found.iter().all(|one| Some(&**one) == problem) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{found:?} are the problems, never {problem:?}\n{}",
            lb.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is wrong with Services, as the metric says.
async fn problems(lb: &Lb) -> Vec<String> {
    let metrics = lb.metrics().await;
    let present = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("lb_kubernetes_problem{")?.strip_suffix("} 1"));
    let name = |labels: &str| {
        let value = labels.split("problem=\"").nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_default().to_owned()
    };
    present.map(name).collect()
}

/// What /readyz says of problems while `lb` is ready.
pub async fn told(lb: &Lb) -> Vec<String> {
    let (status, body) = lb.readiness().await;
    assert_eq!((status, &body["ready"]), (200, &serde_json::json!(true)), "{body:#}");
    let problems = body["problems"].as_array().cloned().unwrap_or_default();
    problems.iter().map(|problem| problem.as_str().unwrap().to_owned()).collect()
}

/// Waits until something like this is among them.
pub async fn is_told(lb: &Lb, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = told(lb).await;
        if told.iter().any(|problem| problem.contains(text)) {
            return;
        }
        assert!(Instant::now() < deadline, "{told:?}, never {text}\n{}", lb.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the metrics page has this text.
pub async fn metrics_come_to_say(lb: &Lb, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !lb.metrics().await.contains(text) {
        assert!(Instant::now() < deadline, "never {text}\n{}", lb.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
