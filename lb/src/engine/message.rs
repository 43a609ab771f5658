//! The head of a request, however it came: what arriving reads of it.

use ::pingora::http::RequestHeader;
use http::{HeaderName, Version};

use super::record::Facts;
use crate::head;
use crate::policy::HeaderFields;

/// Read access to the head of a request.
pub(super) trait Message: HeaderFields {
    /// The method as sent.
    fn method(&self) -> &str;
    /// The target as sent.
    fn target(&self) -> &[u8];
    /// The version of the message.
    fn version(&self) -> Version;
    /// HTTP/2's `:authority`.
    fn authority(&self) -> Option<&str>;
    /// Every value of a field, the last line first.
    fn last_first<'m>(&'m self, name: &'m HeaderName) -> impl Iterator<Item = &'m [u8]>;
    /// Bytes and lines of the header.
    fn size(&self) -> (usize, usize);
}

impl HeaderFields for head::Head<'_, '_> {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        head::Head::first(self, name.as_str())
    }

    fn names(&self, visit: &mut dyn FnMut(&HeaderName)) {
        for field in self.fields() {
            // The parser has let tokens through only.
            if let Ok(name) = HeaderName::from_bytes(field.name.as_bytes()) {
                visit(&name);
            }
        }
    }
}

impl Message for head::Head<'_, '_> {
    fn method(&self) -> &str {
        self.method
    }

    fn target(&self) -> &[u8] {
        self.target.as_bytes()
    }

    fn version(&self) -> Version {
        match self.version {
            head::Version::Http10 => Version::HTTP_10,
            head::Version::Http11 => Version::HTTP_11,
        }
    }

    fn authority(&self) -> Option<&str> {
        None
    }

    fn last_first<'m>(&'m self, name: &'m HeaderName) -> impl Iterator<Item = &'m [u8]> {
        self.fields()
            .rev()
            .filter(|field| field.name.eq_ignore_ascii_case(name.as_str()))
            .map(|field| field.value)
    }

    fn size(&self) -> (usize, usize) {
        // The parser's own limits were these.
        (0, 0)
    }
}

/// What the log says of a request head.
pub(super) fn facts<'h>(head: &'h head::Head<'_, '_>) -> Facts<'h> {
    let field =
        |name: HeaderName| head::Head::first(head, name.as_str()).map(String::from_utf8_lossy);
    Facts {
        method: head.method.into(),
        host: field(http::header::HOST),
        raw_target: head.target.into(),
        protocol: head.version.as_str(),
        user_agent: field(http::header::USER_AGENT),
        referer: field(http::header::REFERER),
    }
}

impl HeaderFields for RequestHeader {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.first(name)
    }

    fn names(&self, visit: &mut dyn FnMut(&HeaderName)) {
        self.headers.names(visit);
    }
}

impl Message for RequestHeader {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn target(&self) -> &[u8] {
        self.raw_path()
    }

    fn version(&self) -> Version {
        self.version
    }

    fn authority(&self) -> Option<&str> {
        self.uri.authority().map(http::uri::Authority::as_str)
    }

    fn last_first<'m>(&'m self, name: &'m HeaderName) -> impl Iterator<Item = &'m [u8]> {
        self.headers.get_all(name).iter().rev().map(http::HeaderValue::as_bytes)
    }

    fn size(&self) -> (usize, usize) {
        let bytes =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        (bytes, self.headers.len())
    }
}
