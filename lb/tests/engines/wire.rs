//! Reads messages off a connection as no lenient reader would. Shares nothing
//! with `lb`: what it finds on the wire is what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::text::Text;

/// Nothing that comes at all takes this long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Values by name, in lower case. Values of one name keep their order; what
/// order different names have means nothing (RFC 9110 §5.3).
pub type Fields = BTreeMap<String, Vec<Text>>;

/// Why reading did not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The other side closed the connection in the middle.
    Ended,
    Reset,
    /// Nothing came any more, and the connection was not closed.
    Silent,
    /// What came is no message.
    Malformed(String),
}

#[derive(Debug, Clone)]
pub struct Head {
    pub line: String,
    pub fields: Fields,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub trailers: Fields,
    /// Whether it ended as its framing says.
    pub end: Result<(), Broken>,
}

/// A connection, and what was read of it and not used.
pub struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads a head; `None` when the connection ends before it begins.
    pub async fn head(&mut self) -> Result<Option<Head>, Broken> {
        if self.buffer.is_empty() {
            match self.fill().await {
                Ok(()) => {}
                Err(Broken::Ended) => return Ok(None),
                Err(broken) => return Err(broken),
            }
        }
        let line = self.line().await?;
        let line = String::from_utf8(line).map_err(|error| malformed(&error.to_string()))?;
        Ok(Some(Head { line, fields: self.fields().await? }))
    }

    /// Waits for the first byte of a head, however long that takes; `false`:
    /// none will come.
    pub async fn begins(&mut self) -> bool {
        !self.buffer.is_empty() || matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// Reads a body, as far as it goes.
    pub async fn body(&mut self, framing: Framing) -> Body {
        let mut body = Body { bytes: Vec::new(), trailers: Fields::new(), end: Ok(()) };
        body.end = match framing {
            Framing::Length(length) => self.take(length, &mut body.bytes).await,
            Framing::Chunked => self.chunks(&mut body).await,
            Framing::UntilClose => loop {
                body.bytes.append(&mut self.buffer);
                match self.fill().await {
                    Ok(()) => {}
                    Err(Broken::Ended) => break Ok(()),
                    Err(broken) => break Err(broken),
                }
            },
        };
        body
    }

    async fn chunks(&mut self, body: &mut Body) -> Result<(), Broken> {
        loop {
            let line = self.line().await?;
            let size = std::str::from_utf8(&line).ok().filter(|size| is_canonical(size));
            let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
            let Some(size) = size else {
                return Err(malformed(&format!("a chunk size that is not canonical: {line:?}")));
            };
            if size == 0 {
                body.trailers = self.fields().await?;
                return Ok(());
            }
            self.take(size, &mut body.bytes).await?;
            if !self.line().await?.is_empty() {
                return Err(malformed("a chunk is longer than it says"));
            }
        }
    }

    async fn fields(&mut self) -> Result<Fields, Broken> {
        let mut fields = Fields::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = colon.map(|colon| line.split_at(colon)).unwrap_or_default();
            if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
                return Err(malformed(&format!("a field that is none: {:?}", Text(line))));
            }
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            fields.entry(name).or_default().push(value[1..].trim_ascii().into());
        }
    }

    /// A line without its end, which is CR LF and nothing else.
    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let mut looked = 0;
        loop {
            while looked + 1 < self.buffer.len() {
                match &self.buffer[looked..looked + 2] {
                    b"\r\n" => {
                        let line = self.buffer[..looked].to_vec();
                        self.buffer.drain(..looked + 2);
                        return Ok(line);
                    }
                    [b'\r' | b'\n' | 0..=8 | 0x0b..=0x1f | 0x7f, _] => {
                        let line = Text(self.buffer.clone());
                        return Err(malformed(&format!("a control character in {line:?}")));
                    }
                    _ => looked += 1,
                }
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: u64, into: &mut Vec<u8>) -> Result<(), Broken> {
        let mut left = usize::try_from(length).map_err(|error| malformed(&error.to_string()))?;
        loop {
            let now = left.min(self.buffer.len());
            into.extend(self.buffer.drain(..now));
            left -= now;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Broken> {
        self.buffer.reserve(16 * 1024);
        match tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) => Err(Broken::Ended),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Broken::Reset),
            Err(_) => Err(Broken::Silent),
        }
    }
}

/// What the fields say of the body, if there may be one. Transfer-Encoding is
/// taken away: it has said all it has to say.
pub fn framing(fields: &mut Fields) -> Result<Option<Framing>, Broken> {
    let codings = fields.remove("transfer-encoding").unwrap_or_default();
    let lengths = fields.get("content-length").map_or(&[][..], |lengths| &lengths[..]);
    match (lengths, &codings[..]) {
        ([], []) => Ok(None),
        ([], [coding]) if coding.0.eq_ignore_ascii_case(b"chunked") => Ok(Some(Framing::Chunked)),
        ([length], []) => std::str::from_utf8(&length.0)
            .ok()
            .filter(|length| *length == "0" || !length.starts_with(['0', '+']))
            .and_then(|length| length.parse().ok())
            .map(|length| Some(Framing::Length(length)))
            .ok_or_else(|| malformed(&format!("a length that is none: {length:?}"))),
        both => Err(malformed(&format!("lengths and codings: {both:?}"))),
    }
}

pub fn malformed(why: &str) -> Broken {
    Broken::Malformed(why.to_owned())
}

fn is_canonical(size: &str) -> bool {
    let digits = !size.is_empty() && size.len() <= 8 && size.bytes().all(|b| b.is_ascii_hexdigit());
    digits && (size == "0" || !size.starts_with('0'))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
