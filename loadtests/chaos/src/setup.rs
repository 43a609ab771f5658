//! The configuration that lb runs with.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the backends answer 503 to when they are about to stop.
pub(crate) const HEALTH_PATH: &str = "/api/v1/scaling/health/readiness";

/// What requests go to.
pub(crate) const UPSTREAM: &str = "api";

/// The same endpoints once more, for tunnels: each counts for as long as it is
/// open, and with the fewest connections for a rule, the requests would all go
/// to the endpoint that has one tunnel less than the others.
const TUNNELS: &str = "tunnels";

/// A virtual host that no request of the load is for; reloads change it.
pub(crate) const UNRELATED_HOST: &str = "unrelated.example";

/// Idle connections to endpoints that lb keeps, and for how long.
pub(crate) const MAX_IDLE: u32 = 64;
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Under it requests are limited, all from one address.
pub(crate) const LIMITED_PATH: &str = "/api/v1/diagnostics/echo";

/// How long lb waits for an endpoint: with two attempts more, a request is
/// answered within [`REQUEST_TIMEOUT`] also when two endpoints are silent.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long lb takes at most until it answers.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// Which engine the listeners ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    Auto,
    Pingora,
}

/// How requests are spread over endpoints. What is slow gets few requests by
/// the fewest connections; in turns it gets its third, and much has to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Balance {
    LeastConnections,
    RoundRobin,
}

impl Balance {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::LeastConnections => "least_connections",
            Self::RoundRobin => "round_robin",
        }
    }
}

impl Engine {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pingora => "pingora",
        }
    }
}

/// Everything that differs between one configuration and another.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) directory: PathBuf,
    pub(crate) name: &'static str,
    pub(crate) status: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) endpoints: Vec<SocketAddr>,
    pub(crate) engine: Engine,
    pub(crate) balance: Balance,
    pub(crate) drain_timeout: Duration,
    /// Instead of half of the limit on files.
    pub(crate) max_connections: Option<u32>,
    /// What the unrelated virtual host says in `X-Generation`.
    pub(crate) generation: u32,
}

impl Setup {
    pub(crate) fn file(&self) -> PathBuf {
        self.path("yaml")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.path("pid")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(self.name).with_extension(extension)
    }

    /// The YAML.
    pub(crate) fn text(&self) -> String {
        let Self {
            directory,
            name,
            status,
            http,
            https,
            endpoints,
            engine,
            balance,
            drain_timeout,
            max_connections,
            generation,
        } = self;
        let (engine, balance) = (engine.key(), balance.key());
        let certificate = quoted(&directory.join("server.pem"));
        let key = quoted(&directory.join("server.key"));
        let access_log = quoted(&directory.join(format!("{name}-access.log")));
        let (drain, read) = (drain_timeout.as_secs(), READ_TIMEOUT.as_secs());
        let (request, idle) = (REQUEST_TIMEOUT.as_secs(), IDLE_TIMEOUT.as_secs());
        let mut upstream = format!("    balance: {balance}\n    endpoints:\n");
        for address in endpoints {
            let _ = writeln!(upstream, "      - {{ address: \"{address}\" }}");
        }
        let _ = writeln!(
            upstream,
            "    health_check: {{ path: {HEALTH_PATH}, interval: 1s, failing_interval: 1s, \
             timeout: 1s, unhealthy_after: 2, healthy_after: 1 }}"
        );
        let max_connections = match max_connections {
            Some(count) => format!("max_connections: {count}\n"),
            None => String::new(),
        };
        format!(
            r#"version: 1
{max_connections}status: {{ address: "{status}" }}
access_log: {{ path: {access_log}, format: json }}
shutdown: {{ delay: 0s, drain_timeout: {drain}s }}
defaults:
  timeouts: {{ connect: 1s, send: {read}s, read: {read}s, request: {request}s }}
  retry: {{ attempts: 3, on: [connect_failure, reset, timeout] }}
  keepalive: {{ max_idle: {MAX_IDLE}, idle_timeout: {idle}s }}
listeners:
  http: {{ bind: ["{http}"], engine: {engine} }}
  https:
    bind: ["{https}"]
    engine: {engine}
    tls:
      alpn: [h2, http/1.1]
      certificates: [ {{ cert: {certificate}, key: {key} }} ]
upstreams:
  {UPSTREAM}:
{upstream}  {TUNNELS}:
{upstream}rate_limits:
  few: {{ key: client_ip, rate: 5/s, burst: 5 }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: {UPSTREAM} }}
      - {{ match: {{ path_prefix: {LIMITED_PATH} }}, upstream: {UPSTREAM}, rate_limits: [few] }}
      - {{ match: {{ path_prefix: /ws }}, upstream: {TUNNELS}, websocket: true, timeouts: {{ read: 7d, send: 7d }} }}
  - hosts: [{UNRELATED_HOST}]
    response_headers: {{ set: {{ X-Generation: "{generation}" }} }}
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: {UPSTREAM} }}
"#
        )
    }
}

/// A path as YAML's double-quoted text, which is JSON's.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generation_differs_between_two_generations() {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let setup = |generation| Setup {
            directory: "/some where".into(),
            name: "lb",
            status: address,
            http: address,
            https: address,
            endpoints: vec![address],
            engine: Engine::Auto,
            balance: Balance::LeastConnections,
            drain_timeout: Duration::from_secs(60),
            max_connections: None,
            generation,
        };
        let (first, second) = (setup(1).text(), setup(2).text());
        let differing: Vec<_> =
            first.lines().zip(second.lines()).filter(|(one, other)| one != other).collect();
        assert_eq!(differing.len(), 1);
        assert!(differing[0].0.contains("X-Generation"));
        assert!(first.contains(r#"cert: "/some where/server.pem""#));
    }
}
