//! A case: what a client writes, and what the origin answers.

use std::fmt;

use proptest::sample::Index;

use crate::script::Script;
use crate::text::Text;
use crate::wire::Fields;

/// The field that tells the origin which exchange a request belongs to.
pub const CASE: &str = "X-Case";

/// One connection of a client.
#[derive(Debug, Clone)]
pub struct Case {
    /// Requests that are sent without waiting for responses.
    pub exchanges: Vec<Exchange>,
    /// Whether it comes from an address whose X-Forwarded-* are believed.
    pub trusted: bool,
    /// Where what it writes is cut.
    pub cuts: Vec<Index>,
    /// Whether a piece is written only when the one before was read.
    pub apart: bool,
    /// Whether the client closes its side behind its last request.
    pub leaves: bool,
}

#[derive(Debug, Clone)]
pub struct Exchange {
    pub request: Request,
    pub script: Script,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    /// `HTTP/1.1`, or something else.
    pub version: &'static str,
    pub host: Option<&'static str>,
    pub lines: Vec<Line>,
    pub body: Body,
    /// Among `lines`, where the field stands that frames the body.
    pub framed_at: Index,
    pub expect: Expect,
    pub fault: Option<Fault>,
}

impl Case {
    /// Whether everything has been answered when the client is done: nothing can
    /// reach the origin any more.
    pub fn is_orderly(&self) -> bool {
        !self.leaves && self.exchanges.iter().all(Exchange::is_orderly)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.exchanges {
            let (head, body) = one.request.write("(id)");
            let (answer, then) = one.script.play(one.request.method);
            writeln!(f, "  > {:?} {:?} {:?}", Text(head), Text(body), one.request.expect)?;
            for interim in &one.script.interims {
                writeln!(f, "  < {:?} first: {}", Text(interim.write()), interim.first)?;
            }
            writeln!(f, "  < {:?} {then:?}, early: {}", Text(answer), one.script.early)?;
        }
        let Self { trusted, cuts, apart, leaves, .. } = self;
        let cuts = cuts.len();
        writeln!(f, "  trusted: {trusted}, cuts: {cuts}, apart: {apart}, leaves: {leaves}")
    }
}

impl Exchange {
    /// Whether the request has reached the origin when it is answered.
    pub fn is_orderly(&self) -> bool {
        // Of what is over the limit a part may pass.
        let limited = self.request.target.contains("/small");
        self.request.fault.is_none() && !self.script.early && !limited
    }

    pub fn is_unfinished(&self) -> bool {
        self.request.fault == Some(Fault::Unfinished)
    }
}

/// A field line, as it is spelt.
#[derive(Debug, Clone)]
pub struct Line {
    pub name: &'static str,
    pub before: &'static str,
    pub value: Text,
    pub after: &'static str,
}

impl Line {
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self { name, before, value, after } = self;
        for part in [name.as_bytes(), b":", before.as_bytes(), &value.0, after.as_bytes(), b"\r\n"]
        {
            out.extend_from_slice(part);
        }
    }
}

#[derive(Debug, Clone)]
pub enum Body {
    None,
    Length(Text),
    Chunked(Chunks),
}

#[derive(Debug, Clone)]
pub struct Chunks {
    pub pieces: Vec<Piece>,
    /// The last chunk: zeros, and extensions.
    pub last: &'static str,
    pub trailers: Vec<Line>,
    /// How the coding is spelt.
    pub coding: &'static str,
}

#[derive(Debug, Clone)]
pub struct Piece {
    pub data: Text,
    /// Zeros before the size.
    pub zeros: &'static str,
    pub upper_case: bool,
    pub extension: &'static str,
}

impl Chunks {
    /// The trailers, as a reader sees them.
    pub fn trailer_fields(&self) -> Fields {
        let mut fields = Fields::new();
        for Line { name, value, .. } in &self.trailers {
            fields.entry(name.to_ascii_lowercase()).or_default().push(value.0.trim_ascii().into());
        }
        fields
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with("", out);
    }

    /// With something before the last chunk.
    pub fn write_with(&self, wrong: &str, out: &mut Vec<u8>) {
        for Piece { data, zeros, upper_case, extension } in &self.pieces {
            let size = data.0.len();
            let size = if *upper_case { format!("{size:X}") } else { format!("{size:x}") };
            out.extend_from_slice(format!("{zeros}{size}{extension}\r\n").as_bytes());
            out.extend_from_slice(&data.0);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(wrong.as_bytes());
        out.extend_from_slice(self.last.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.trailers.iter().for_each(|line| line.write(out));
        out.extend_from_slice(b"\r\n");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Nothing,
    /// 100 (Continue), but the body is sent at once.
    AndGoesOn,
    /// 100 (Continue), and the body is sent when something was answered.
    AndWaits,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Field lines that are none, or that contradict others.
    Lines(&'static str),
    /// A body in chunks, and this in the middle of it.
    Chunks(&'static str),
    /// The body ends before its end, and the client has gone.
    Unfinished,
}

impl Request {
    pub fn has_body(&self) -> bool {
        match &self.body {
            Body::None => false,
            Body::Length(body) => !body.0.is_empty(),
            Body::Chunked(_) => true,
        }
    }

    pub fn body_length(&self) -> usize {
        match &self.body {
            Body::None => 0,
            Body::Length(body) => body.0.len(),
            Body::Chunked(chunks) => chunks.pieces.iter().map(|piece| piece.data.0.len()).sum(),
        }
    }

    /// Whether the connection may be closed behind it because of what it says.
    pub fn may_be_the_last(&self) -> bool {
        let says = |line: &Line| line.name.eq_ignore_ascii_case("connection");
        self.version == "HTTP/1.0" || self.lines.iter().any(says)
    }

    /// The head and the body, as they are written.
    pub fn write(&self, id: &str) -> (Vec<u8>, Vec<u8>) {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if let Some(host) = self.host {
            head += &format!("Host: {host}\r\n");
        }
        head += &format!("{CASE}: {id}\r\n");
        let mut head = head.into_bytes();
        let (framing, body) = self.framed();
        let at = self.framed_at.index(self.lines.len() + 1);
        self.lines[..at].iter().for_each(|line| line.write(&mut head));
        head.extend_from_slice(framing.as_bytes());
        self.lines[at..].iter().for_each(|line| line.write(&mut head));
        if self.expect != Expect::Nothing {
            head.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        if let Some(Fault::Lines(lines)) = self.fault {
            head.extend_from_slice(lines.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        (head, body)
    }

    fn framed(&self) -> (String, Vec<u8>) {
        let (framing, mut body) = match &self.body {
            Body::None => (String::new(), Vec::new()),
            Body::Length(body) => (format!("Content-Length: {}\r\n", body.0.len()), body.0.clone()),
            Body::Chunked(chunks) => {
                let mut body = Vec::new();
                let wrong = match self.fault {
                    Some(Fault::Chunks(wrong)) => wrong,
                    _ => "",
                };
                chunks.write_with(wrong, &mut body);
                (format!("Transfer-Encoding: {}\r\n", chunks.coding), body)
            }
        };
        if self.fault == Some(Fault::Unfinished) {
            body.truncate(body.len().saturating_sub(1) * 2 / 3);
        }
        (framing, body)
    }
}
