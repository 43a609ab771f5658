//! A client that writes HTTP/2 frames as it likes (RFC 9113 §4.1).

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::Lb;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No frame takes this long to come when a test passes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// SETTINGS with one parameter each.
pub fn settings(parameters: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in parameters {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A header block of literals without indexing (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name.as_bytes());
        string(&mut bytes, value.as_bytes());
    }
    bytes
}

/// A string of HPACK, not compressed (RFC 7541 §5.2).
pub fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        bytes.push(text.len() as u8);
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text);
}

/// The header block of a request, with more fields behind it.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "api.test"),
        (":path", path),
    ];
    all.extend_from_slice(fields);
    block(&all)
}

/// A GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", path, &[]))
}

/// The head of a POST.
pub fn post(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", path, fields))
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM
            || (matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0)
    }

    /// The code of RST_STREAM.
    pub fn code(&self) -> u32 {
        self.word(0)
    }

    /// Parameters of SETTINGS.
    pub fn parameter(&self, name: u16) -> Option<u32> {
        let mut parameters = self.payload.chunks(6);
        let found = parameters.find(|one| one[..2] == name.to_be_bytes())?;
        Some(u32::from_be_bytes(found[2..].try_into().unwrap()))
    }
}

/// The last GOAWAY of a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Goodbye {
    pub last_stream: u32,
    pub code: u32,
    pub debug: String,
}

/// What came on one stream until it ended.
#[derive(Debug, Default)]
pub struct Answer {
    /// 0 if there was no head.
    pub status: u16,
    pub body: Vec<u8>,
    /// The code of the reset that ended it.
    pub reset: Option<u32>,
}

/// A connection over TLS.
pub struct Client {
    reading: ReadHalf<TlsStream<TcpStream>>,
    writing: WriteHalf<TlsStream<TcpStream>>,
    pub goodbye: Option<Goodbye>,
}

impl Client {
    /// Over TLS, without having said anything.
    pub async fn silent(lb: &Lb) -> Self {
        let stream = TcpStream::connect(lb.address("https")).await.unwrap();
        Self::over(lb, stream).await
    }

    pub async fn over(lb: &Lb, stream: TcpStream) -> Self {
        lb::tls::install_provider();
        let mut roots = rustls::RootCertStore::empty();
        let authority = lb.certificates.authority.as_bytes();
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
        let mut tls =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let name = "api.test".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (reading, writing) = split(stream);
        Self { reading, writing, goodbye: None }
    }

    /// Has said preface and SETTINGS.
    pub async fn open(lb: &Lb) -> Self {
        Self::open_with(lb, &[]).await
    }

    pub async fn open_with(lb: &Lb, parameters: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(lb).await;
        client.send([PREFACE, &settings(parameters)].concat()).await;
        client
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writing.write_all(bytes.as_ref()).await.unwrap();
        self.writing.flush().await.unwrap();
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        let Self { reading, goodbye, .. } = self;
        tokio::time::timeout(PATIENCE, next(reading, goodbye)).await.expect("a frame, or the end")
    }

    /// Reads until the connection ends.
    pub async fn ended(&mut self) -> Option<&Goodbye> {
        while self.frame().await.is_some() {}
        self.goodbye.as_ref()
    }

    /// Acknowledges SETTINGS and pings, as a decent client does.
    async fn acknowledge(&mut self, frame: &Frame) {
        if frame.flags & ACK == 0 && matches!(frame.kind, SETTINGS | PING) {
            let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
            let ack = self::frame(frame.kind, ACK, 0, payload);
            // Err: the other side has gone, which reading will tell.
            let _ = self.writing.write_all(&ack).await;
            let _ = self.writing.flush().await;
        }
    }

    /// Reads until `stream` has ended, or the connection.
    pub async fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        while let Some(frame) = self.frame().await {
            self.acknowledge(&frame).await;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS if answer.status == 0 => answer.status = status(&frame.payload),
                DATA => answer.body.extend_from_slice(&frame.payload),
                RST_STREAM => answer.reset = Some(frame.code()),
                _ => {}
            }
            if frame.ends_stream() {
                break;
            }
        }
        answer
    }

    /// A GET and its answer.
    pub async fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.send(get(stream, path)).await;
        self.answer(stream).await
    }

    /// Sends what `more` makes, as long as it makes any, and reads until the
    /// connection ends.
    pub async fn flood(&mut self, mut more: impl FnMut() -> Option<Vec<u8>>) -> Option<&Goodbye> {
        self.flood_slowly(async || more()).await
    }

    /// The same, `more` taking its time.
    pub async fn flood_slowly(
        &mut self,
        mut more: impl AsyncFnMut() -> Option<Vec<u8>>,
    ) -> Option<&Goodbye> {
        let Self { reading, writing, goodbye } = self;
        let sending = async {
            while let Some(bytes) = more().await {
                // Err: we were shown the door.
                if writing.write_all(&bytes).await.is_err() {
                    break;
                }
                let _ = writing.flush().await;
            }
            pending::<()>().await;
        };
        let receiving = async { while next(reading, goodbye).await.is_some() {} };
        let both = async {
            tokio::select! {
                () = sending => {}
                () = receiving => {}
            }
        };
        tokio::time::timeout(PATIENCE, both).await.expect("the flood is ended");
        self.goodbye.as_ref()
    }
}

/// The next frame; GOAWAY is kept.
async fn next(
    reading: &mut ReadHalf<TlsStream<TcpStream>>,
    goodbye: &mut Option<Goodbye>,
) -> Option<Frame> {
    let mut header = [0; 9];
    reading.read_exact(&mut header).await.ok()?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let mut payload = vec![0; length as usize];
    reading.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes(header[5..].try_into().unwrap()) & (u32::MAX >> 1);
    let frame = Frame { kind: header[3], flags: header[4], stream, payload };
    if frame.kind == GOAWAY {
        *goodbye = Some(Goodbye {
            last_stream: frame.word(0),
            code: frame.word(4),
            debug: String::from_utf8_lossy(&frame.payload[8..]).into_owned(),
        });
    }
    Some(frame)
}

/// The status of the first response on a connection that had it: later ones
/// may refer to a table that we do not keep.
fn status(block: &[u8]) -> u16 {
    match block {
        [first @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)],
        [0x48 | 0x08 | 0x18, length, value @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&value[..usize::from(*length)]).unwrap().parse().unwrap()
        }
        [0x48 | 0x08 | 0x18, length, value @ ..] => digits(&value[..usize::from(length & 0x7f)]),
        _ => u16::MAX,
    }
}

/// Three digits in the Huffman code of RFC 7541, Appendix B.
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut take = |count| (0..count).fold(0, |code, _| code << 1 | bits.next().unwrap());
        let code: u8 = take(5);
        let digit = if code < 3 { code } else { (code << 1 | take(1)) - 0x19 + 3 };
        number = number * 10 + u16::from(digit);
    }
    number
}

#[test]
fn statuses_are_read() {
    assert_eq!(status(&[0x88]), 200);
    assert_eq!(status(&[0x8d]), 404);
    assert_eq!(status(&[0x48, 3, b'4', b'3', b'1']), 431);
    // "302" (RFC 7541 C.6.1) and "307" (C.6.2).
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), 302);
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), 307);
}
