//! The access log as JSON, a line an exchange.
//!
//! Written by hand: it is the largest part of what a request costs beside
//! reading and writing, and generic serialisation costs four times as much.

use std::time::{Duration, SystemTime};

use super::AccessRecord;
use super::second::second_of;

/// Appends one line without its end. What does not exist is left out.
pub(super) fn write(record: &AccessRecord<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"time\":\"");
    write_time(record.time, line);
    line.push(b'"');
    text(",\"request_id\":", record.request_id, line);
    text(",\"client\":", record.client, line);
    text(",\"listener\":", record.listener, line);
    text(",\"method\":", record.method, line);
    some(",\"host\":", record.host, line);
    text(",\"target\":", record.target, line);
    text(",\"protocol\":", record.protocol, line);
    number(",\"status\":", record.status.into(), line);
    some(",\"cause\":", record.cause, line);
    some(",\"error\":", record.error, line);
    number(",\"bytes_sent\":", record.bytes_sent, line);
    number(",\"bytes_received\":", record.bytes_received, line);
    millis(",\"duration_ms\":", Some(record.duration), line);
    some(",\"virtual_host\":", record.virtual_host, line);
    some(",\"route\":", record.route, line);
    some(",\"upstream\":", record.upstream, line);
    some(",\"endpoint\":", record.endpoint, line);
    if record.attempts > 0 {
        number(",\"attempts\":", record.attempts.into(), line);
    }
    millis(",\"upstream_connect_ms\":", record.upstream_connect, line);
    millis(",\"upstream_first_byte_ms\":", record.upstream_first_byte, line);
    some(",\"user_agent\":", record.user_agent, line);
    some(",\"referer\":", record.referer, line);
    line.push(b'}');
}

fn some(key: &str, value: Option<&str>, line: &mut Vec<u8>) {
    if let Some(value) = value {
        text(key, value, line);
    }
}

fn text(key: &str, value: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(key.as_bytes());
    // Almost nothing has to be escaped. All of it is looked at, so that it can be
    // done many bytes at a time.
    let special = value
        .bytes()
        .fold(false, |special, byte| special | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if !special {
        line.push(b'"');
        line.extend_from_slice(value.as_bytes());
        line.push(b'"');
    } else {
        // Writing plain data to memory does not fail.
        let _ = serde_json::to_writer(line, value);
    }
}

fn number(key: &str, value: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(key.as_bytes());
    crate::head::write_decimal(value, line);
}

/// Milliseconds with three decimals.
fn millis(key: &str, time: Option<Duration>, line: &mut Vec<u8>) {
    let Some(time) = time else { return };
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    number(key, micros / 1000, line);
    line.push(b'.');
    write_thousandths(micros % 1000, line);
}

fn write_thousandths(number: u64, line: &mut Vec<u8>) {
    line.extend([100, 10, 1].map(|place| b'0' + (number / place % 10) as u8));
}

/// `2026-11-25T17:00:27.123Z` (RFC 3339), in UTC.
fn write_time(time: SystemTime, line: &mut Vec<u8>) {
    let (second, millis) = second_of(time);
    line.extend_from_slice(&second);
    line.push(b'.');
    write_thousandths(millis.into(), line);
    line.push(b'Z');
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn record<'a>(target: &'a str, time: SystemTime) -> AccessRecord<'a> {
        AccessRecord {
            time,
            request_id: "r1",
            client: "192.0.2.1",
            listener: "http",
            method: "GET",
            host: None,
            target,
            protocol: "HTTP/1.1",
            status: 200,
            cause: None,
            error: Some(target),
            bytes_sent: 65,
            bytes_received: 0,
            duration: Duration::from_micros(1_050),
            virtual_host: None,
            route: None,
            upstream: None,
            endpoint: None,
            attempts: 0,
            upstream_connect: None,
            upstream_first_byte: Some(Duration::from_micros(7)),
            user_agent: None,
            referer: None,
        }
    }

    fn parsed(record: &AccessRecord<'_>) -> Value {
        let mut line = Vec::new();
        write(record, &mut line);
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_line_says_what_there_is() {
        let time = UNIX_EPOCH + Duration::from_millis(1_764_090_027_003);
        let expected = json!({
            "time": "2025-11-25T17:00:27.003Z", "request_id": "r1", "client": "192.0.2.1",
            "listener": "http", "method": "GET", "target": "/", "protocol": "HTTP/1.1",
            "status": 200, "error": "/", "bytes_sent": 65, "bytes_received": 0,
            "duration_ms": 1.05, "upstream_first_byte_ms": 0.007,
        });
        assert_eq!(parsed(&record("/", time)), expected);
    }

    proptest! {
        #[test]
        fn whatever_is_logged_is_read_as_it_was(target in ".*", millis in 0_u64..4_000_000_000_000) {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            let value = parsed(&record(&target, time));
            prop_assert_eq!(&value["target"], &target);
            prop_assert_eq!(&value["error"], &target);
            let written = value["time"].as_str().unwrap();
            prop_assert_eq!(humantime::parse_rfc3339(written).unwrap(), time);
        }
    }
}
