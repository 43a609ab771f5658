//! What a connection begins with: a PROXY header, TLS, or something else.

use std::io;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::transport::Raw;
use crate::engine::Ends;
use crate::request::proxy_protocol::{Parsed, ProxyHeader, parse};
use crate::response::Closing;
use crate::snapshot::ProxyProtocol;

/// Room for the PROXY header of almost anybody, and a ClientHello behind it.
const BUFFER: usize = 1024;

/// Why no greeting was read.
pub(super) enum Failure {
    /// We close, for a reason.
    Closed(Closing),
    /// The client went.
    Gone,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads a PROXY header, where one may be, and believes what it says of the
/// ends. The caller bounds the time and tells by `begun` whether any of it came.
pub(super) async fn proxy_header(
    raw: &mut Raw,
    ends: &mut Ends,
    settings: &ProxyProtocol,
    begun: &mut bool,
) -> Result<(), Failure> {
    if !settings.trusted.iter().any(|range| range.contains(ends.peer)) {
        return if settings.required {
            Err(Failure::Closed(Closing::ProxyUntrusted))
        } else {
            // What it sends is taken for HTTP or TLS; a header is neither.
            Ok(())
        };
    }
    let mut bytes = BytesMut::with_capacity(BUFFER);
    loop {
        if raw.read_buf(&mut bytes).await? == 0 {
            return Err(Failure::Gone);
        }
        *begun = true;
        match parse(&bytes) {
            Ok(Parsed::Incomplete) => bytes.reserve(BUFFER),
            Ok(Parsed::Absent) if settings.required => {
                return Err(Failure::Closed(Closing::ProxyHeaderMissing));
            }
            Ok(Parsed::Absent) => break,
            Ok(Parsed::Complete { len, header }) => {
                if let ProxyHeader::Proxied { source, destination } = header {
                    *ends = Ends {
                        peer: source.ip().to_canonical(),
                        peer_port: source.port(),
                        local: Some(destination),
                    };
                }
                let _ = bytes.split_to(len);
                break;
            }
            Err(error) => {
                tracing::debug!(peer = %ends.peer, %error, "PROXY header refused");
                return Err(Failure::Closed(Closing::ProxyHeaderInvalid));
            }
        }
    }
    raw.put_back(bytes);
    Ok(())
}

/// What a client of a TLS listener begins with.
pub(super) enum Hello {
    /// TLS, or nothing that is worth an answer.
    Tls,
    /// A request in clear.
    Http(BytesMut),
}

/// Looks at the first bytes on a TLS listener, and leaves them there unless
/// they are a request.
pub(super) async fn hello(raw: &mut Raw) -> io::Result<Hello> {
    let mut bytes = BytesMut::with_capacity(BUFFER);
    if raw.read_buf(&mut bytes).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // A record of a handshake begins with 22 (RFC 8446 §5.1), a method with a letter.
    if bytes[0].is_ascii_uppercase() {
        return Ok(Hello::Http(bytes));
    }
    raw.put_back(bytes);
    Ok(Hello::Tls)
}
