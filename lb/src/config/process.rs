//! Sections about the process itself: workers, status server, logs, stopping.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::values::{BindAddress, Cidr, Span, TcpAddress};

/// `auto`, or how many worker threads.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Workers {
    /// A word.
    Word(WorkersWord),
    /// A number of threads, 1 to 1024.
    Count(#[schemars(range(min = 1, max = 1024))] u16),
}

/// The words that `workers` knows.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkersWord {
    /// One per core.
    Auto,
}

/// The read-only status server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// IP:PORT to serve /metrics, /healthz and /readyz on; port 0 picks one.
    pub address: Option<TcpAddress>,
}

/// The server for those who operate the process.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// A loopback address, or unix:/path; port 0 picks one.
    pub address: BindAddress,
}

/// When the configuration is read again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Also when the file changes, without being asked.
    pub watch: Option<bool>,
}

/// Where and how requests are logged.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// A file, opened again on SIGUSR1, or `"-"` for standard output.
    pub path: Option<String>,
    /// The format of a line.
    pub format: Option<LogFormat>,
}

/// The format of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// nginx's and Apache's combined format.
    Combined,
}

/// How the process stops on SIGTERM and SIGQUIT.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long /readyz is 503 before accepting stops.
    pub delay: Option<Span>,
    /// How long open exchanges may go on after that.
    pub drain_timeout: Option<Span>,
    /// How long a new process may take to be ready when this one hands over.
    pub handover_timeout: Option<Span>,
}

/// How the address of the client is found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientIp {
    /// Peers whose X-Forwarded-* fields are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
}
