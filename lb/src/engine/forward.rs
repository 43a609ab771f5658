//! What an endpoint is told of a request: which of the client's fields pass, and
//! which are ours.

use http::{HeaderName, Version};

use super::Connection;
use super::arrival::{FORWARDED_FOR, REQUEST_ID};
use super::exchange::Exchange;
use super::message::Message;
use crate::response::HeaderEdits;
use crate::values::EndpointAddress;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Whose certificate the client proved to have.
const CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const CERT_FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");

/// Fields that an endpoint believes, so that nobody else may set them. Spelt
/// with `_` some servers take them for the same (nginx drops those too).
const VOUCHED_FOR: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
    "forwarded",
    "x-client-cert-subject",
    "x-client-cert-fingerprint",
];

/// Fields of proxies that we do not set, and that nobody but a trusted peer may.
const OTHERS_FORWARDED: &[&str] = &[
    "forwarded",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-ssl",
];

/// Takes in fields, however an engine writes them.
pub(super) trait FieldSink {
    /// Why a field could not be taken in.
    type Error;
    /// Adds a field.
    fn field(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Self::Error>;
}

/// The fields of a forwarded request. Those of the connection (`Connection` and
/// what it names, `TE`, `Transfer-Encoding`, ...) are the engines' business.
pub(super) struct Forwarding<'e> {
    exchange: &'e Exchange,
    connection: &'e Connection,
    /// Endpoints are told whose certificate we verified.
    vouches_for_identity: bool,
    edits: &'e HeaderEdits,
    http10: bool,
}

impl<'e> Forwarding<'e> {
    /// For an exchange that is forwarded; `version` is the request's.
    pub(super) fn new(exchange: &'e Exchange, version: Version) -> Option<Self> {
        let connection = exchange.connection.as_deref()?;
        let live = exchange.live.as_ref()?;
        let tls = connection.listener(live).and_then(|listener| listener.tls.as_ref());
        Some(Self {
            exchange,
            connection,
            vouches_for_identity: tls.is_some_and(|tls| tls.forward_identity),
            edits: &exchange.forward()?.request_headers,
            http10: version == Version::HTTP_10,
        })
    }

    /// Whether a field of the client passes. `name` in any letter case.
    pub(super) fn passes(&self, name: &str) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let trusted = self.exchange.peer_trusted;
        let passes = match name.as_bytes().first() {
            Some(b'x' | b'X') => {
                if is("x-forwarded-for") || is("x-real-ip") || is("x-request-id") {
                    false
                } else if is("x-client-cert-subject") || is("x-client-cert-fingerprint") {
                    // Only where we verify none ourselves may a trusted peer,
                    // which did, say so instead.
                    trusted && !self.vouches_for_identity
                } else if is("x-forwarded-proto") || is("x-forwarded-host") {
                    trusted
                } else {
                    trusted || !OTHERS_FORWARDED.iter().any(|other| is(other))
                }
            }
            Some(b'f' | b'F') => trusted || !is("forwarded"),
            // RFC 9110 §10.1.1: it means nothing in HTTP/1.0, and the answer
            // would be wrong.
            Some(b'e' | b'E') => !(self.http10 && is("expect")),
            _ => true,
        };
        passes && !self.edits.speak_of(name) && !self.is_look_alike(name)
    }

    /// Whether a name differs from one of ours, or from one that the route edits,
    /// only by `_` for `-`.
    fn is_look_alike(&self, name: &str) -> bool {
        if !name.as_bytes().contains(&b'_') {
            return false;
        }
        let alike = |other: &str| {
            name.len() == other.len()
                && name
                    .bytes()
                    .zip(other.bytes())
                    .all(|(a, b)| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-'))
        };
        VOUCHED_FOR.iter().any(|other| alike(other))
            || self.edits.spoken().any(|other| alike(other.as_str()))
    }

    /// Whether the endpoint has to be given a Host that the client did not send.
    pub(super) fn lacks_host(&self, message: &impl Message) -> bool {
        message.first(&http::header::HOST).is_none() && !self.edits.speak_of("host")
    }

    /// What we send is HTTP/1.1 or later and must have a Host: the client's, also
    /// where it stood in the target only, or else the endpoint's (nginx:
    /// `$proxy_host`).
    pub(super) fn host(&self) -> String {
        let endpoint = self.exchange.last_endpoint.as_ref().map(|endpoint| endpoint.address());
        match (self.exchange.authority.as_str(), endpoint) {
            ("", None | Some(EndpointAddress::Unix(_))) => "localhost".to_owned(),
            ("", Some(other)) => other.to_string(),
            (authority, _) => authority.to_owned(),
        }
    }

    /// Writes the fields that we add, and those that the route does.
    pub(super) fn write<S: FieldSink>(
        &self,
        message: &impl Message,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let exchange = self.exchange;
        let trusted = exchange.peer_trusted;
        let mut own = |name: &HeaderName, value: &[u8]| {
            // What the route sets or removes is not said twice.
            if self.edits.speak_of(name.as_str()) { Ok(()) } else { sink.field(name, value) }
        };
        let client = exchange.client_text.as_bytes();
        if !trusted {
            own(&FORWARDED_FOR, client)?;
        } else if message.first(&FORWARDED_FOR).is_some() {
            // Appended to what a trusted peer sent, in the order of its lines.
            own(&FORWARDED_FOR, &appended(message, self.connection.peer_text.as_bytes()))?;
        } else {
            own(&FORWARDED_FOR, self.connection.peer_text.as_bytes())?;
        }
        own(&REAL_IP, client)?;
        if !(trusted && message.first(&FORWARDED_PROTO).is_some()) {
            own(&FORWARDED_PROTO, if self.connection.tls { b"https" } else { b"http" })?;
        }
        let is_told = trusted && message.first(&FORWARDED_HOST).is_some();
        if !is_told && !exchange.authority.is_empty() {
            own(&FORWARDED_HOST, exchange.authority.as_bytes())?;
        }
        own(&REQUEST_ID, exchange.request_id.as_bytes())?;
        if let Some(identity) =
            self.connection.identity.as_ref().filter(|_| self.vouches_for_identity)
        {
            own(&CERT_SUBJECT, identity.subject.as_bytes())?;
            own(&CERT_FINGERPRINT, identity.fingerprint.as_bytes())?;
        }
        for (name, value) in self.edits.set.iter().chain(&self.edits.add) {
            sink.field(name, value.as_bytes())?;
        }
        Ok(())
    }
}

fn appended(message: &impl Message, peer: &[u8]) -> Vec<u8> {
    let name = FORWARDED_FOR;
    let mut lines: Vec<&[u8]> = message.last_first(&name).collect();
    lines.reverse();
    lines.push(peer);
    lines.join(&b", "[..])
}
