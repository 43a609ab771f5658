//! A case: what a client writes, and what may come of it.

/// Stands for the target of the case, unique in the corpus.
const PLACE: &[u8] = b"/@";

/// Bytes of a client, and every outcome that is safe. One, wherever the RFC
/// leaves one.
#[derive(Debug, Clone)]
pub struct Case {
    pub family: &'static str,
    pub name: String,
    pub bytes: Vec<u8>,
    pub outcomes: Vec<Outcome>,
    /// Whether the client closes its side when it has written all.
    pub leaves: bool,
}

/// What the origin receives, and how the connection of the client ends.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub forwarded: Vec<Message>,
    pub end: End,
}

/// A request as the origin reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    pub target: String,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing comes after the responses of the origin.
    Quiet,
    /// One answer of the proxy's own, with one of these statuses and a cause,
    /// which says that the connection is closed; then it is.
    Refused(&'static [u16]),
    /// One answer of the proxy's own, with one of these statuses and a cause.
    Answered(&'static [u16]),
    /// As refused, or closed without an answer. The origin may have seen the
    /// beginning of the message, on a connection that is closed then.
    Broken(&'static [u16]),
    /// Closed by the proxy; an answer may come before, but need not.
    Closed,
}

/// `bytes` with `/@` where the target of the case belongs.
pub fn case(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Case {
    Case {
        family: "",
        name: name.into(),
        bytes: bytes.as_ref().to_vec(),
        outcomes: Vec::new(),
        leaves: false,
    }
}

/// Each of these adds an outcome.
impl Case {
    pub fn refused(self) -> Self {
        self.refused_as(&[400])
    }

    pub fn refused_as(self, statuses: &'static [u16]) -> Self {
        self.forwarded_then(&[], End::Refused(statuses))
    }

    pub fn answered(self, statuses: &'static [u16]) -> Self {
        self.forwarded_then(&[], End::Answered(statuses))
    }

    pub fn broken(self) -> Self {
        self.broken_as(&[400])
    }

    pub fn broken_as(self, statuses: &'static [u16]) -> Self {
        self.forwarded_then(&[], End::Broken(statuses))
    }

    pub fn closed(self) -> Self {
        self.forwarded_then(&[], End::Closed)
    }

    pub fn forwarded(self, messages: &[Message]) -> Self {
        self.forwarded_then(messages, End::Quiet)
    }

    pub fn forwarded_then(mut self, messages: &[Message], end: End) -> Self {
        self.outcomes.push(Outcome { forwarded: messages.to_vec(), end });
        self
    }

    /// The client closes its side at the end.
    pub fn leaving(mut self) -> Self {
        self.leaves = true;
        self
    }

    /// Gives the case its family and its target.
    pub fn of(mut self, family: &'static str) -> Self {
        self.family = family;
        let target = self.target();
        self.bytes = placed(&self.bytes, &target);
        for message in self.outcomes.iter_mut().flat_map(|outcome| &mut outcome.forwarded) {
            message.target = String::from_utf8(placed(message.target.as_bytes(), &target)).unwrap();
            message.body = placed(&message.body, &target);
        }
        self
    }

    /// `/family/name`, every byte of it harmless.
    pub fn target(&self) -> String {
        let slug = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
        };
        format!("/{}/{}", self.family, slug(&self.name).to_lowercase())
    }
}

fn placed(text: &[u8], target: &str) -> Vec<u8> {
    let mut placed = Vec::with_capacity(text.len() + target.len());
    let mut rest = text;
    while let Some(at) = rest.windows(PLACE.len()).position(|window| window == PLACE) {
        placed.extend_from_slice(&rest[..at]);
        placed.extend_from_slice(target.as_bytes());
        rest = &rest[at + PLACE.len()..];
    }
    placed.extend_from_slice(rest);
    placed
}

pub fn message(method: &str, target: &str, body: impl AsRef<[u8]>) -> Message {
    Message { method: method.to_owned(), target: target.to_owned(), body: body.as_ref().to_vec() }
}

pub fn get(target: &str) -> Message {
    message("GET", target, "")
}

pub fn post(target: &str, body: impl AsRef<[u8]>) -> Message {
    message("POST", target, body)
}

/// A whole request, as attackers hide one in a body.
pub const SMUGGLED: &[u8] = b"GET /@/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// What is left for a reader that takes the message before for complete.
pub fn smuggled() -> Message {
    get("/@/smuggled")
}

/// `POST /@` with field lines (without the last line end) and a body.
pub fn posted(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST /@ HTTP/1.1\r\nHost: a\r\n", fields.as_ref(), b"\r\n\r\n", body.as_ref()].concat()
}

/// `GET /@` with field lines (without the last line end) and what follows.
pub fn gotten(fields: impl AsRef<[u8]>, then: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET /@ HTTP/1.1\r\nHost: a\r\n", fields.as_ref(), b"\r\n\r\n", then.as_ref()].concat()
}
