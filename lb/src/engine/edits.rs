//! The edits on a response, applied while it is written.

use http::{HeaderMap, header};

use super::exchange::Exchange;
use crate::head::write_field;
use crate::response::HeaderEdits;

/// The edits of listener and route, or of the host where no route was found: what
/// the inner says of a name wins.
pub(super) struct Edits<'e> {
    outer: Option<&'e HeaderEdits>,
    inner: Option<&'e HeaderEdits>,
    /// RFC 6797 §7.2: never over plain HTTP, whoever says it.
    plain: bool,
}

impl<'e> Edits<'e> {
    pub(super) const NONE: Self = Self { outer: None, inner: None, plain: false };

    pub(super) fn of(exchange: &'e Exchange) -> Self {
        let (Some(live), Some(connection)) = (&exchange.live, &exchange.connection) else {
            return Self::NONE;
        };
        Self {
            outer: connection.listener(live).map(|listener| &listener.response_headers),
            inner: match (exchange.route(), exchange.host) {
                (Some(route), _) => Some(&route.response_headers),
                (None, Some(host)) => Some(&live.snapshot.table.host(host).response_headers),
                (None, None) => None,
            },
            plain: !connection.tls,
        }
    }

    /// Applies them to a header.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for edits in [self.outer, self.inner].into_iter().flatten() {
            // Err: more fields than a header can have; the answer goes without.
            let _ = edits.apply(headers);
        }
        if self.plain {
            headers.remove(header::STRICT_TRANSPORT_SECURITY);
        }
    }

    /// Whether a field of the response is taken away.
    pub(super) fn drop(&self, name: &str) -> bool {
        [self.outer, self.inner].into_iter().flatten().any(|edits| edits.speak_of(name))
            || self.is_forbidden(name)
    }

    fn is_forbidden(&self, name: &str) -> bool {
        self.plain && name.eq_ignore_ascii_case(header::STRICT_TRANSPORT_SECURITY.as_str())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let overruled = |name: &str| self.inner.is_some_and(|inner| inner.speak_of(name));
        let fields = |edits: Option<&'e HeaderEdits>| {
            edits.into_iter().flat_map(|edits| edits.set.iter().chain(&edits.add))
        };
        let outer = fields(self.outer).filter(|(name, _)| !overruled(name.as_str()));
        for (name, value) in outer.chain(fields(self.inner)) {
            if !self.is_forbidden(name.as_str()) {
                write_field(name.as_str(), value.as_bytes(), out);
            }
        }
    }
}
