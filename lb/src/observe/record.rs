//! What is known of an exchange at its end, as the access log writes it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// One exchange. Field names are those of the JSON format.
#[derive(Debug, Serialize)]
pub struct AccessRecord<'a> {
    /// When the request was read.
    #[serde(serialize_with = "timestamp")]
    pub time: SystemTime,
    /// Its id, also in X-Request-ID.
    pub request_id: &'a str,
    /// The client behind trusted proxies.
    pub client: IpAddr,
    /// The name of the listener.
    pub listener: &'a str,
    /// The method.
    pub method: &'a str,
    /// The host as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// Path and query as sent.
    pub target: &'a str,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: &'a str,
    /// The status sent; 499 when the client left before there was one.
    pub status: u16,
    /// Why we answered ourselves, or why the exchange broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'a str>,
    /// What exactly went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Body bytes sent to the client.
    pub bytes_sent: u64,
    /// Body bytes read from the client.
    pub bytes_received: u64,
    /// From the request to the end of the response.
    pub duration_ms: Millis,
    /// The virtual host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<&'a str>,
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// The upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    /// The endpoint of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<&'a str>,
    /// Attempts in all.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// Until the connection of the last attempt stood; absent on a reused one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_connect_ms: Option<Millis>,
    /// From the last attempt's start to its response head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_first_byte_ms: Option<Millis>,
    /// User-Agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<&'a str>,
    /// Referer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referer: Option<&'a str>,
}

/// A time in milliseconds with three decimals.
#[derive(Debug, Clone, Copy)]
pub struct Millis(pub Duration);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_micros() as f64 / 1000.0)
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn timestamp<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}
