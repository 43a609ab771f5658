//! A client: writes a case, reads what comes back.

use std::net::{IpAddr, SocketAddr};

use proptest::sample::Index;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use crate::barrier::Barrier;
use crate::case::{Case, Expect};
use crate::observed::{Ending, SeenResponse};
use crate::origin::Id;
use crate::wire::{Broken, Framing, Head, Reader, framing, malformed};

/// What the client saw: the responses, and what became of the connection.
pub type Seen = Result<(Vec<SeenResponse>, Ending), String>;

/// Runs a case against a listener.
pub async fn run(case: &Case, number: usize, address: SocketAddr, barrier: &Barrier) -> Seen {
    let socket = TcpSocket::new_v4().unwrap();
    let source: IpAddr = if case.trusted { [127, 0, 0, 2] } else { [127, 0, 0, 1] }.into();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut reader = Reader::new(reader);
    let (progress, heads) = watch::channel(0);
    let write = async {
        // Err: whoever refuses early need not take the rest.
        let _ = write(case, number, &mut writer, heads, barrier).await;
        if case.leaves {
            let _ = writer.shutdown().await;
        }
    };
    let mut responses = Vec::new();
    let read = read(case, &mut reader, progress, &mut responses);
    let ending = match tokio::join!(write, read).1 {
        Ok(()) => ask(&mut reader, &mut writer, number).await?,
        Err(Broken::Ended | Broken::Reset) => Ending::Closed,
        Err(Broken::Malformed(why)) => Ending::Nonsense(why),
        Err(Broken::Silent) => return Err(format!("silence after {responses:?}")),
    };
    Ok((responses, ending))
}

/// Writes the requests one behind the other, cut in pieces.
async fn write(
    case: &Case,
    number: usize,
    writer: &mut OwnedWriteHalf,
    mut heads: watch::Receiver<usize>,
    barrier: &Barrier,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    // How many bytes to write before which exchange has to have an answer.
    let mut waits = Vec::new();
    for (exchange, one) in case.exchanges.iter().enumerate() {
        let (head, body) = one.request.write(&Id { case: number, exchange: Some(exchange) }.text());
        bytes.extend_from_slice(&head);
        if one.request.expect == Expect::AndWaits {
            waits.push((bytes.len(), exchange));
        }
        bytes.extend_from_slice(&body);
    }
    waits.push((bytes.len(), 0));
    let mut written = 0;
    for (until, exchange) in waits {
        for piece in pieces(&bytes[written..until], &case.cuts) {
            writer.write_all(piece).await?;
            if case.apart {
                barrier.pass().await;
            }
        }
        written = until;
        if written < bytes.len() {
            // Err: there will be none.
            let _ = heads.wait_for(|heads| *heads > exchange).await;
        }
    }
    Ok(())
}

/// `bytes` in pieces, none of them empty.
pub fn pieces<'b>(bytes: &'b [u8], cuts: &[Index]) -> impl Iterator<Item = &'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let ends: Vec<usize> = cuts.iter().skip(1).copied().collect();
    cuts.into_iter().zip(ends).map(|(start, end)| &bytes[start..end])
}

/// Responses until there are as many as requests, if nothing ends the connection
/// before.
async fn read(
    case: &Case,
    reader: &mut Reader<OwnedReadHalf>,
    progress: watch::Sender<usize>,
    responses: &mut Vec<SeenResponse>,
) -> Result<(), Broken> {
    for (exchange, one) in case.exchanges.iter().enumerate() {
        let response = response(one.request.method, exchange, reader, &progress).await?;
        let ended = !response.complete || response.framing == Some(Framing::UntilClose);
        responses.push(response);
        if ended {
            return Err(Broken::Ended);
        }
    }
    // A client that has left has nothing to ask.
    if case.leaves {
        return Err(match reader.head().await? {
            None => Broken::Ended,
            Some(head) => malformed(&format!("another response: {head:?}")),
        });
    }
    Ok(())
}

/// One final response, with those before it.
async fn response(
    method: &str,
    exchange: usize,
    reader: &mut Reader<OwnedReadHalf>,
    progress: &watch::Sender<usize>,
) -> Result<SeenResponse, Broken> {
    let mut interim = Vec::new();
    let mut head = loop {
        let head = reader.head().await?.ok_or(Broken::Ended)?;
        progress.send_replace(exchange + 1);
        if status(&head)? >= 200 {
            break head;
        }
        interim.push((head.line, head.fields));
    };
    let status = status(&head)?;
    let said = framing(&mut head.fields)?;
    let bodiless = method == "HEAD" || matches!(status, 204 | 304);
    let framing = if bodiless { said } else { said.or(Some(Framing::UntilClose)) };
    let read = if bodiless { None } else { framing };
    let body = reader.body(read.unwrap_or(Framing::Length(0))).await;
    if let Err(broken @ (Broken::Malformed(_) | Broken::Silent)) = body.end {
        return Err(broken);
    }
    Ok(SeenResponse {
        interim,
        line: head.line,
        fields: head.fields,
        framing,
        body: body.bytes[..].into(),
        trailers: body.trailers,
        complete: body.end.is_ok(),
    })
}

fn status(head: &Head) -> Result<u16, Broken> {
    head.line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| malformed(&format!("a status line that is none: {:?}", head.line)))
}

/// Whether the connection takes another request, and answers that and no other.
async fn ask(
    reader: &mut Reader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    number: usize,
) -> Result<Ending, String> {
    let id = Id { case: number, exchange: None }.text();
    let request = format!("GET /sentinel HTTP/1.1\r\nHost: a.test\r\nX-Case: {id}\r\n\r\n");
    // Err: it is closed, which reading tells, too.
    let _ = writer.write_all(request.as_bytes()).await;
    let mut head = match reader.head().await {
        Ok(None) | Err(Broken::Reset) => return Ok(Ending::Closed),
        Ok(Some(head)) => head,
        Err(broken) => return Err(format!("the sentinel: {broken:?}")),
    };
    let framing = framing(&mut head.fields).ok().flatten();
    let body = reader.body(framing.unwrap_or(Framing::Length(0))).await;
    if head.line.starts_with("HTTP/1.1 200 ") && body.bytes == b"sentinel" {
        Ok(Ending::Open)
    } else {
        Err(format!("the sentinel is answered with {head:?} {body:?}"))
    }
}
