//! What the origin answers, and how.

use proptest::sample::Index;

use crate::case::{Chunks, Line};
use crate::text::Text;

/// The answer to one request.
#[derive(Debug, Clone)]
pub struct Script {
    /// Responses before the final one.
    pub interims: Vec<Interim>,
    /// The final one is sent before the body of the request is read.
    pub early: bool,
    pub response: Response,
    pub flaw: Option<Flaw>,
    /// Where what it writes is cut.
    pub cuts: Vec<Index>,
    /// Whether a piece is written only when the one before was read.
    pub apart: bool,
}

#[derive(Debug, Clone)]
pub struct Interim {
    /// Status and reason.
    pub status: &'static str,
    pub lines: Vec<Line>,
    /// Sent before the body of the request is read.
    pub first: bool,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub version: &'static str,
    /// Status and reason.
    pub status: &'static str,
    pub lines: Vec<Line>,
    pub body: Body,
    pub framed_at: Index,
    /// What it says of the connection.
    pub connection: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub enum Body {
    /// None, and nothing is said about it.
    Unsaid,
    Length(Text),
    Chunked(Chunks),
    UntilClose(Text),
}

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The connection is closed instead.
    Nothing,
    /// Nothing but this, and the end of the connection.
    Raw(&'static str),
    /// This is the first line.
    FirstLine(&'static str),
    /// Field lines that are none, or that contradict others.
    Lines(&'static str),
    /// A body in chunks, and this in the middle of it.
    Chunks(&'static str),
    /// The connection is closed in the head.
    HalfHead,
    /// The connection is closed in the body.
    Short,
    /// This follows, and nobody asked for it.
    Behind(&'static str),
}

/// What becomes of the connection when the answer was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It takes the next request.
    Keeps,
    /// It is closed.
    Closes,
    /// A request on it is a mistake: nobody can know whose the next answer is.
    IsSpoilt,
}

impl Script {
    /// The final response to a request with this method, and what follows.
    pub fn play(&self, method: &str) -> (Vec<u8>, Then) {
        let Self { response, flaw, .. } = self;
        let mut head = response.head(*flaw);
        let body = response.body(method, *flaw);
        let then = if response.persists(method) { Then::Keeps } else { Then::Closes };
        match *flaw {
            Some(Flaw::Nothing) => (Vec::new(), Then::Closes),
            Some(Flaw::Raw(raw)) => (raw.as_bytes().to_vec(), Then::Closes),
            Some(Flaw::HalfHead) => {
                head.truncate(head.len() * 2 / 3);
                (head, Then::Closes)
            }
            Some(Flaw::Short) if body.len() > 1 => {
                (([&head[..], &body[..body.len() / 2]]).concat(), Then::Closes)
            }
            Some(Flaw::Behind(more)) if then == Then::Keeps => {
                ([&head[..], &body, more.as_bytes()].concat(), Then::IsSpoilt)
            }
            _ => ([head, body].concat(), then),
        }
    }
}

impl Interim {
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {}\r\n", self.status).into_bytes();
        self.lines.iter().for_each(|line| line.write(&mut bytes));
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

impl Response {
    fn head(&self, flaw: Option<Flaw>) -> Vec<u8> {
        let mut head = match flaw {
            Some(Flaw::FirstLine(line)) => line.as_bytes().to_vec(),
            _ => format!("{} {}\r\n", self.version, self.status).into_bytes(),
        };
        let framing = match &self.body {
            Body::Unsaid | Body::UntilClose(_) => String::new(),
            Body::Length(body) => format!("Content-Length: {}\r\n", body.0.len()),
            Body::Chunked(chunks) => format!("Transfer-Encoding: {}\r\n", chunks.coding),
        };
        let at = self.framed_at.index(self.lines.len() + 1);
        self.lines[..at].iter().for_each(|line| line.write(&mut head));
        head.extend_from_slice(framing.as_bytes());
        if let Some(options) = self.connection {
            head.extend_from_slice(format!("Connection: {options}\r\n").as_bytes());
        }
        self.lines[at..].iter().for_each(|line| line.write(&mut head));
        if let Some(Flaw::Lines(lines)) = flaw {
            head.extend_from_slice(lines.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    fn body(&self, method: &str, flaw: Option<Flaw>) -> Vec<u8> {
        if self.is_bodiless(method) {
            return Vec::new();
        }
        match &self.body {
            Body::Unsaid => Vec::new(),
            Body::Length(body) | Body::UntilClose(body) => body.0.clone(),
            Body::Chunked(chunks) => {
                let mut body = Vec::new();
                match flaw {
                    Some(Flaw::Chunks(wrong)) => chunks.write_with(wrong, &mut body),
                    _ => chunks.write(&mut body),
                }
                body
            }
        }
    }

    fn is_bodiless(&self, method: &str) -> bool {
        method == "HEAD" || self.status.starts_with("204") || self.status.starts_with("304")
    }

    /// Whether the connection goes on behind it.
    fn persists(&self, method: &str) -> bool {
        let says = |option| {
            self.connection.is_some_and(|options| {
                options.split(',').any(|one| one.trim().eq_ignore_ascii_case(option))
            })
        };
        let ends_with_it =
            matches!(self.body, Body::Unsaid | Body::UntilClose(_)) && !self.is_bodiless(method);
        !ends_with_it && !says("close") && (self.version == "HTTP/1.1" || says("keep-alive"))
    }
}
