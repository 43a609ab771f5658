//! What is known of an exchange at its end, as the access log writes it.

use std::time::{Duration, SystemTime};

/// One exchange. Fields are named as in the JSON format, but for units.
#[derive(Debug)]
pub struct AccessRecord<'a> {
    /// When the request was read.
    pub time: SystemTime,
    /// Its id, also in X-Request-ID.
    pub request_id: &'a str,
    /// The address of the client behind trusted proxies.
    pub client: &'a str,
    /// The name of the listener.
    pub listener: &'a str,
    /// The method.
    pub method: &'a str,
    /// The host as sent.
    pub host: Option<&'a str>,
    /// Path and query as sent.
    pub target: &'a str,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: &'a str,
    /// The status sent; 499 when the client left before there was one.
    pub status: u16,
    /// Why we answered ourselves, or why the exchange broke.
    pub cause: Option<&'a str>,
    /// What exactly went wrong.
    pub error: Option<&'a str>,
    /// Body bytes sent to the client.
    pub bytes_sent: u64,
    /// Body bytes read from the client.
    pub bytes_received: u64,
    /// From the request to the end of the response (`duration_ms`).
    pub duration: Duration,
    /// The virtual host.
    pub virtual_host: Option<&'a str>,
    /// The route.
    pub route: Option<&'a str>,
    /// The upstream.
    pub upstream: Option<&'a str>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<&'a str>,
    /// Attempts in all; 0 is not written.
    pub attempts: u32,
    /// Until the connection of the last attempt stood; absent on a reused one
    /// (`upstream_connect_ms`).
    pub upstream_connect: Option<Duration>,
    /// From the last attempt's start to its response head
    /// (`upstream_first_byte_ms`).
    pub upstream_first_byte: Option<Duration>,
    /// User-Agent.
    pub user_agent: Option<&'a str>,
    /// Referer.
    pub referer: Option<&'a str>,
}
