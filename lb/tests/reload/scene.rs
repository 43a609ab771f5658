//! What the tests of reloads have in common: a configuration in parts, an origin
//! that can wait, and tunnels.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use crate::support::{Lb, Origin, RawConnection, respond};

/// A configuration whose parts tests put in, take out and replace.
#[derive(Debug, Clone, Default)]
pub struct Yaml {
    /// Sections of the top: `shutdown` and `{ drain_timeout: 1s }`.
    pub top: BTreeMap<String, String>,
    /// By name, all keys of each: `bind: ["127.0.0.1:0"]`.
    pub listeners: BTreeMap<String, String>,
    pub upstreams: BTreeMap<String, String>,
    pub limits: BTreeMap<String, String>,
    /// Routes by host, all keys of each.
    pub hosts: BTreeMap<String, Vec<String>>,
}

pub const ANY_PORT: &str = r#"bind: ["127.0.0.1:0"]"#;

/// A listener with the certificate that lies beside every configuration.
pub const SECURE: &str =
    r#"bind: ["127.0.0.1:0"], tls: { certificates: [{ cert: api.pem, key: api.key }] }"#;

impl Yaml {
    /// A listener `http`, an admin server, and one upstream `api` for everything.
    pub fn new(origin: &Origin) -> Self {
        let mut yaml = Self::default();
        yaml.top("admin", r#"{ address: "127.0.0.1:0" }"#);
        yaml.listener("http", ANY_PORT);
        yaml.upstream("api", &[origin.address]);
        yaml.route("*", "match: { path_prefix: / }, upstream: api, websocket: true");
        yaml
    }

    pub fn top(&mut self, key: &str, value: &str) -> &mut Self {
        self.top.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn listener(&mut self, name: &str, keys: &str) -> &mut Self {
        self.listeners.insert(name.to_owned(), keys.to_owned());
        self
    }

    pub fn upstream(&mut self, name: &str, endpoints: &[SocketAddr]) -> &mut Self {
        self.upstream_with(name, endpoints, "")
    }

    pub fn upstream_with(&mut self, name: &str, endpoints: &[SocketAddr], more: &str) -> &mut Self {
        let endpoints: Vec<_> =
            endpoints.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
        let keys = format!("endpoints: [{}], {more}", endpoints.join(", "));
        self.upstreams.insert(name.to_owned(), keys);
        self
    }

    pub fn limit(&mut self, name: &str, keys: &str) -> &mut Self {
        self.limits.insert(name.to_owned(), keys.to_owned());
        self
    }

    /// One more route of a host.
    pub fn route(&mut self, host: &str, keys: &str) -> &mut Self {
        self.hosts.entry(host.to_owned()).or_default().push(keys.to_owned());
        self
    }

    /// The same with something else that has to do with none of its requests.
    pub fn with_unrelated(&self, number: usize) -> Self {
        let mut yaml = self.clone();
        yaml.upstream("unrelated", &[SocketAddr::from(([127, 0, 0, 1], 9))]);
        for each in 0..=number % 3 {
            let path = format!("/unrelated/{number}/{each}");
            let keys = format!("match: {{ path_prefix: {path} }}, upstream: unrelated");
            yaml.route("unrelated.test", &keys);
        }
        yaml
    }
}

impl fmt::Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.top {
            writeln!(f, "{key}: {value}")?;
        }
        for (section, parts) in [
            ("listeners", &self.listeners),
            ("upstreams", &self.upstreams),
            ("rate_limits", &self.limits),
        ] {
            if !parts.is_empty() {
                writeln!(f, "{section}:")?;
            }
            for (name, keys) in parts {
                writeln!(f, "  {name}: {{ {keys} }}")?;
            }
        }
        writeln!(f, "virtual_hosts:")?;
        for (host, routes) in &self.hosts {
            writeln!(f, "  - hosts: [\"{host}\"]\n    routes:")?;
            for keys in routes {
                writeln!(f, "      - {{ {keys} }}")?;
            }
        }
        Ok(())
    }
}

/// An `lb` with what it was started from.
pub async fn start(yaml: &Yaml) -> Lb {
    Lb::start(&yaml.to_string()).await
}

/// An origin that answers with its name; `/gated` only with a permit. It accepts
/// every upgrade and sends back what comes.
pub async fn origin(name: &'static str) -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin::start({
        let gate = Arc::clone(&gate);
        move |mut request| {
            let gate = Arc::clone(&gate);
            async move {
                if request.headers().contains_key("upgrade") {
                    let upgraded = hyper::upgrade::on(&mut request);
                    tokio::spawn(async move {
                        let Ok(upgraded) = upgraded.await else { return };
                        let (mut reading, mut writing) = tokio::io::split(TokioIo::new(upgraded));
                        // Err: the other side was cut.
                        let _ = tokio::io::copy(&mut reading, &mut writing).await;
                    });
                    let mut response = respond(101, "");
                    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
                        response.headers_mut().insert(name, value.parse().unwrap());
                    }
                    return response;
                }
                if request.uri().path().ends_with("/gated") {
                    gate.acquire().await.unwrap().forget();
                }
                respond(200, name)
            }
        }
    })
    .await;
    (origin, gate)
}

/// A tunnel through `lb` to such an origin.
pub struct Tunnel(pub RawConnection);

impl Tunnel {
    pub async fn open(address: SocketAddr, host: &str) -> Self {
        let mut connection = RawConnection::open(address).await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        connection.send(format!("GET /tunnel HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n")).await;
        let head = connection.read_until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self(connection)
    }

    /// Sends something and gets it back.
    pub async fn echoes(&mut self, text: &str) {
        self.0.send(text).await;
        assert_eq!(self.0.read_until(text).await, text);
    }
}

/// A request on a connection that stays open: head and body.
pub async fn ask(connection: &mut RawConnection, host: &str, path: &str, body: &str) -> String {
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    connection.read_until(&format!("\r\n\r\n{body}")).await
}
