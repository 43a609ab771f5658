//! An origin that answers by script and keeps what it got.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use proptest::sample::Index;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::barrier::Barrier;
use crate::case::CASE;
use crate::observed::SeenRequest;
use crate::script::{Script, Then};
use crate::support::RawOrigin;
use crate::wire::{Broken, Fields, Framing, Head, Reader, framing};

/// The answer to the request that asks whether a connection goes on.
pub const SENTINEL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsentinel";

/// Which exchange of which case a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub case: usize,
    /// `None`: the sentinel.
    pub exchange: Option<usize>,
}

impl Id {
    pub fn text(self) -> String {
        let Self { case, exchange } = self;
        exchange.map_or_else(|| format!("{case}-s"), |exchange| format!("{case}-{exchange}"))
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        let values = fields.remove(&CASE.to_ascii_lowercase())?;
        let [value] = &values[..] else { return None };
        let (case, exchange) = std::str::from_utf8(&value.0).ok()?.split_once('-')?;
        let exchange = if exchange == "s" { None } else { Some(exchange.parse().ok()?) };
        Some(Self { case: case.parse().ok()?, exchange })
    }
}

pub struct Origin {
    pub address: SocketAddr,
    book: Arc<Mutex<Book>>,
    _origin: RawOrigin,
}

#[derive(Default)]
struct Book {
    scripts: HashMap<Id, Script>,
    seen: HashMap<Id, Vec<SeenRequest>>,
    /// What may not come at all.
    strange: Vec<String>,
}

impl Origin {
    pub async fn start(barrier: Arc<Barrier>) -> Self {
        let book = Arc::<Mutex<Book>>::default();
        let kept = Arc::clone(&book);
        let origin = RawOrigin::start(move |stream| {
            let connection = Connection::new(stream, Arc::clone(&kept), Arc::clone(&barrier));
            async move {
                // Err: the other side has gone.
                let _ = connection.serve().await;
            }
        })
        .await;
        Self { address: origin.address, book, _origin: origin }
    }

    pub fn expect(&self, id: Id, script: Script) {
        self.book.lock().unwrap().scripts.insert(id, script);
    }

    /// What came of a case until now; what comes later is strange, unless
    /// `may_be_late`.
    pub fn take(&self, case: usize, may_be_late: bool) -> BTreeMap<usize, Vec<SeenRequest>> {
        let mut book = self.book.lock().unwrap();
        let mut seen = BTreeMap::new();
        let ids: Vec<Id> = book.scripts.keys().copied().filter(|id| id.case == case).collect();
        for id in ids {
            if let (Some(requests), Some(exchange)) = (book.seen.remove(&id), id.exchange) {
                seen.insert(exchange, requests);
            }
            if !may_be_late {
                book.scripts.remove(&id);
            }
        }
        seen
    }

    pub fn strange(&self) -> Vec<String> {
        std::mem::take(&mut self.book.lock().unwrap().strange)
    }
}

struct Connection {
    reader: Reader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    book: Arc<Mutex<Book>>,
    barrier: Arc<Barrier>,
}

impl Connection {
    fn new(stream: TcpStream, book: Arc<Mutex<Book>>, barrier: Arc<Barrier>) -> Self {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self { reader: Reader::new(reader), writer, book, barrier }
    }

    async fn serve(mut self) -> std::io::Result<()> {
        let mut then = Then::Keeps;
        while then != Then::Closes && self.reader.begins().await {
            let head = match self.reader.head().await {
                Ok(Some(head)) => head,
                Err(Broken::Malformed(why)) => {
                    self.strange(why);
                    return Ok(());
                }
                // Cut off: it is no request, and nobody acts on it.
                Ok(None) | Err(_) => return Ok(()),
            };
            if then == Then::IsSpoilt {
                self.strange(format!("{:?} on a connection with bytes of its own", head.line));
            }
            then = self.exchange(head).await?;
        }
        Ok(())
    }

    async fn exchange(&mut self, mut head: Head) -> std::io::Result<Then> {
        let Some(id) = Id::of(&mut head.fields) else {
            self.strange(format!("{:?} belongs to no case", head.line));
            return Ok(Then::Closes);
        };
        let framing = match framing(&mut head.fields) {
            Ok(framing) => framing,
            Err(why) => {
                self.strange(format!("{id:?}: {why:?}"));
                return Ok(Then::Closes);
            }
        };
        let method = head.line.split(' ').next().unwrap_or_default().to_owned();
        if id.exchange.is_none() {
            let body = if method == "HEAD" { "" } else { SENTINEL };
            self.writer.write_all(body.as_bytes()).await?;
            return Ok(Then::Keeps);
        }
        let script = self.book.lock().unwrap().scripts.get(&id).cloned();
        let Some(script) = script else {
            self.strange(format!("{:?} of {id:?} comes late", head.line));
            return Ok(Then::Closes);
        };
        for interim in script.interims.iter().filter(|interim| interim.first) {
            self.write(&interim.write(), &[], false).await?;
        }
        let (answer, then) = script.play(&method);
        // What nobody asked for is there when the response ends, or nobody could know.
        let cuts = if then == Then::IsSpoilt { &[] } else { &script.cuts[..] };
        if script.early {
            self.write(&answer, cuts, script.apart).await?;
        }
        if !self.keep(id, head, framing).await {
            return Ok(Then::Closes);
        }
        if !script.early {
            for interim in script.interims.iter().filter(|interim| !interim.first) {
                self.write(&interim.write(), &[], false).await?;
            }
            self.write(&answer, cuts, script.apart).await?;
        }
        Ok(then)
    }

    /// Reads the rest of a request and keeps it; whether it is complete.
    async fn keep(&mut self, id: Id, head: Head, framing: Option<Framing>) -> bool {
        let body = self.reader.body(framing.unwrap_or(Framing::Length(0))).await;
        if let Err(Broken::Malformed(why)) = &body.end {
            self.strange(format!("{id:?}: {why}"));
        }
        let complete = body.end.is_ok();
        self.book.lock().unwrap().seen.entry(id).or_default().push(SeenRequest {
            line: head.line,
            fields: head.fields,
            framing,
            body: body.bytes[..].into(),
            trailers: body.trailers,
            complete,
        });
        complete
    }

    async fn write(&mut self, bytes: &[u8], cuts: &[Index], apart: bool) -> std::io::Result<()> {
        for piece in crate::client::pieces(bytes, cuts) {
            self.writer.write_all(piece).await?;
            if apart {
                self.barrier.pass().await;
            }
        }
        Ok(())
    }

    fn strange(&self, what: String) {
        self.book.lock().unwrap().strange.push(what);
    }
}
