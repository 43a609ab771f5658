//! nginx's `combined` log format, field for field:
//! `$remote_addr - $remote_user [$time_local] "$request" $status
//! $body_bytes_sent "$http_referer" "$http_user_agent"`.

use std::io::Write;

use super::AccessRecord;
use super::second::second_of;

/// Appends one line without its end. Writing to memory does not fail.
pub(super) fn write(record: &AccessRecord<'_>, line: &mut Vec<u8>) {
    // The user is not known here: authentication is the backend's.
    let _ = write!(line, "{} - - [{}] \"", record.client, Clf(record.time));
    escape(record.method, line);
    line.push(b' ');
    escape(record.target, line);
    let _ = write!(line, " {}\" {} {} \"", record.protocol, record.status, record.bytes_sent);
    escape(record.referer.unwrap_or("-"), line);
    line.extend_from_slice(b"\" \"");
    escape(record.user_agent.unwrap_or("-"), line);
    line.push(b'"');
}

/// nginx's escaping: quotes, backslashes and everything that is not printable
/// ASCII become `\xHH`, so that no client can forge a line.
fn escape(text: &str, line: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | 0..=31 | 127.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(byte),
        }
    }
}

/// `10/Oct/2000:13:55:36 +0000`; always UTC.
struct Clf(std::time::SystemTime);

impl std::fmt::Display for Clf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (second, _) = second_of(self.0);
        // Digits and marks, always.
        let text = std::str::from_utf8(&second).unwrap_or_default();
        let month = text.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
        let (year, day, time) = (&text[..4], &text[8..10], &text[11..]);
        write!(f, "{day}/{}/{year}:{time} +0000", MONTHS[(month - 1) % 12])
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn looks_like_nginx_and_cannot_be_forged() {
        let record = AccessRecord {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(971_186_136),
            request_id: "r",
            client: "192.0.2.1",
            listener: "https",
            method: "GET",
            host: Some("a"),
            target: "/a?b=\"c\"",
            protocol: "HTTP/1.1",
            status: 200,
            cause: None,
            error: None,
            bytes_sent: 5,
            bytes_received: 0,
            duration: Duration::from_millis(3),
            virtual_host: None,
            route: None,
            upstream: None,
            endpoint: None,
            attempts: 1,
            upstream_connect: None,
            upstream_first_byte: None,
            user_agent: Some("evil\n\"1.2.3.4 - -"),
            referer: None,
        };
        let mut line = Vec::new();
        write(&record, &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            r#"192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b=\x22c\x22 HTTP/1.1" 200 5 "-" "evil\x0A\x221.2.3.4 - -""#
        );
    }
}
