//! The TCP proxy in front of each backend that does what networks and broken
//! services do. Its address is the endpoint's, whatever becomes of the backend.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// What the proxy does with connections, those that are open included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing listens: connections are refused. Those that are open go on for
    /// as long as the backend does.
    Refuse,
    /// None: bytes pass.
    Pass,
    /// What the backend sends comes so much later.
    Delay(Duration),
    /// Every connection is reset at once.
    Reset,
    /// Every connection is reset when so many bytes of the backend have passed.
    ResetAfter(u64),
    /// Connections are accepted (by the kernel), and nothing is read or written.
    Silent,
    /// Every request is answered with 500 and the connection closed, but for
    /// those to the path of the health check if `is_healthy`.
    Fail { is_healthy: bool },
}

/// A proxy; dropping it closes everything.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    backend: watch::Sender<SocketAddr>,
    task: AbortHandle,
}

impl Proxy {
    /// Takes `address`, and refuses connections until told otherwise.
    pub(crate) fn start(address: SocketAddr, health_path: &'static str) -> Self {
        let fault = watch::Sender::new(Fault::Refuse);
        let backend = watch::Sender::new(address);
        let task =
            tokio::spawn(serve(address, fault.subscribe(), backend.subscribe(), health_path));
        Self { address, fault, backend, task: task.abort_handle() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go from now on.
    pub(crate) fn lead_to(&self, backend: SocketAddr) {
        self.backend.send_replace(backend);
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Faults = watch::Receiver<Fault>;

async fn serve(
    address: SocketAddr,
    mut faults: Faults,
    backend: watch::Receiver<SocketAddr>,
    health_path: &'static str,
) {
    loop {
        if faults.wait_for(|fault| *fault != Fault::Refuse).await.is_err() {
            return;
        }
        let Ok(listener) = listen(address) else {
            // Somebody has the port; who picked it made that unlikely.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        while *faults.borrow_and_update() != Fault::Refuse {
            tokio::select! {
                accepted = listener.accept() => if let Ok((client, _)) = accepted {
                    let connection = connection(client, faults.clone(), *backend.borrow(), health_path);
                    tokio::spawn(connection);
                },
                changed = faults.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }
}

/// With SO_REUSEADDR: connections of before may still be closing.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Why a connection ends before both sides have closed it.
enum Cut {
    Reset,
    /// The request is answered by us.
    Answer,
}

async fn connection(
    mut client: TcpStream,
    mut faults: Faults,
    backend: SocketAddr,
    health_path: &'static str,
) {
    let _ = client.set_nodelay(true);
    let fault = *faults.borrow_and_update();
    match fault {
        Fault::Reset => return reset(&client),
        Fault::Silent => {
            let _ = faults.changed().await;
            return reset(&client);
        }
        _ => {}
    }
    let Ok(mut server) = TcpStream::connect(backend).await else { return reset(&client) };
    let _ = server.set_nodelay(true);

    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = upwards(from_client, to_server, faults.clone(), health_path);
        let down = downwards(from_server, to_client, faults);
        tokio::try_join!(up, down).err()
    };
    match cut {
        None => {}
        Some(Cut::Reset) => {
            reset(&client);
            reset(&server);
        }
        Some(Cut::Answer) => answer(&mut client).await,
    }
}

/// A RST instead of a FIN when the socket is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn upwards(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: Faults,
    health_path: &str,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let fault = passable(&mut faults).await?;
        let Some(count) = read(&mut from, &mut buffer, &mut faults).await? else { continue };
        let piece = &buffer[..count];
        if piece.is_empty() {
            let _ = to.shutdown().await;
            return Ok(());
        }
        if let Fault::Fail { is_healthy } = fault
            && let Some(target) = target_of(piece)
            && !(is_healthy && target.starts_with(health_path.as_bytes()))
        {
            return Err(Cut::Answer);
        }
        to.write_all(piece).await.map_err(|_| Cut::Reset)?;
    }
}

async fn downwards(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: Faults,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 16 * 1024];
    // Since the fault began, not since the connection did.
    let mut passed = 0;
    loop {
        let fault = passable(&mut faults).await?;
        if !matches!(fault, Fault::ResetAfter(_)) {
            passed = 0;
        }
        let Some(count) = read(&mut from, &mut buffer, &mut faults).await? else { continue };
        let mut piece = &buffer[..count];
        if piece.is_empty() {
            let _ = to.shutdown().await;
            return Ok(());
        }
        let mut is_last = false;
        match fault {
            Fault::Delay(delay) => sleep(delay).await,
            Fault::ResetAfter(most) => {
                let room = usize::try_from(most - passed).unwrap_or(usize::MAX);
                is_last = piece.len() >= room;
                piece = &piece[..piece.len().min(room)];
                passed += piece.len() as u64;
            }
            _ => {}
        }
        to.write_all(piece).await.map_err(|_| Cut::Reset)?;
        if is_last {
            return Err(Cut::Reset);
        }
    }
}

/// The fault of now, when it lets anything pass.
async fn passable(faults: &mut Faults) -> Result<Fault, Cut> {
    let fault = *faults.borrow_and_update();
    match fault {
        Fault::Reset => Err(Cut::Reset),
        Fault::Silent => {
            // What was swallowed cannot be made up for: as when a machine that
            // was gone comes back and knows nothing of its connections.
            let _ = faults.changed().await;
            Err(Cut::Reset)
        }
        fault => Ok(fault),
    }
}

/// How much has come; `None` if the fault has changed instead.
async fn read(
    from: &mut ReadHalf<'_>,
    buffer: &mut [u8],
    faults: &mut Faults,
) -> Result<Option<usize>, Cut> {
    tokio::select! {
        biased;
        changed = faults.changed() => changed.map(|()| None).map_err(|_| Cut::Reset),
        count = from.read(buffer) => count.map(Some).map_err(|_| Cut::Reset),
    }
}

/// The target, if a piece begins with the head of a request. Frames of
/// WebSockets do not: the first byte of those that are sent is above 127.
fn target_of(piece: &[u8]) -> Option<&[u8]> {
    let line = piece.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next()?;
    let target = words.next()?;
    let is_head = !method.is_empty()
        && method.iter().all(u8::is_ascii_uppercase)
        && words.next().is_some_and(|version| version.starts_with(b"HTTP/1."));
    is_head.then_some(target)
}

async fn answer(client: &mut TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\n\
        Content-Length: 6\r\nConnection: close\r\n\r\nbroken";
    if client.write_all(ANSWER).await.is_err() || client.shutdown().await.is_err() {
        return;
    }
    // What still comes of a body would turn the close into a reset, and that
    // would take the answer away.
    let mut rest = [0; 4096];
    let _ = timeout(Duration::from_secs(2), async {
        while client.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Ports;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A backend that answers every piece with `hello`.
    async fn backend() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        let _ = stream.write_all(b"hello").await;
                    }
                });
            }
        });
        address
    }

    async fn proxy() -> Proxy {
        let proxy = Proxy::start(Ports::new().pick().unwrap(), "/health");
        proxy.lead_to(backend().await);
        proxy.set(Fault::Pass);
        proxy
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        timeout(PATIENCE, async {
            loop {
                if let Ok(stream) = TcpStream::connect(proxy.address()).await {
                    return stream;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap()
    }

    async fn ask(stream: &mut TcpStream, text: &str) -> io::Result<String> {
        stream.write_all(text.as_bytes()).await?;
        let mut buffer = [0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap()?;
        Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    #[tokio::test]
    async fn an_open_connection_is_reset() {
        let proxy = proxy().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(ask(&mut stream, "ping").await.unwrap(), "hello");
        proxy.set(Fault::Reset);
        let error = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_connection_is_reset_after_so_many_bytes() {
        let proxy = proxy().await;
        proxy.set(Fault::ResetAfter(3));
        let mut stream = connect(&proxy).await;
        stream.write_all(b"ping").await.unwrap();
        let mut got = Vec::new();
        // A reset may overtake what came before it.
        let end = timeout(PATIENCE, stream.read_to_end(&mut got)).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(got.is_empty() || got == b"hel", "{got:?}");
    }

    #[tokio::test]
    async fn a_silent_connection_comes_to_an_end_with_the_fault() {
        let proxy = proxy().await;
        proxy.set(Fault::Silent);
        let mut stream = connect(&proxy).await;
        stream.write_all(b"ping").await.unwrap();
        let nothing = timeout(Duration::from_millis(100), stream.read(&mut [0])).await;
        assert!(nothing.is_err());
        proxy.set(Fault::Pass);
        let end = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
        assert!(end.is_err());
    }

    #[tokio::test]
    async fn a_failing_backend_may_still_pass_for_healthy() {
        let proxy = proxy().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(ask(&mut stream, "ping").await.unwrap(), "hello");
        proxy.set(Fault::Fail { is_healthy: true });
        let healthy = ask(&mut stream, "GET /health HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(healthy, "hello");
        assert_eq!(ask(&mut stream, "\u{81}frame").await.unwrap(), "hello");
        let failed = ask(&mut stream, "GET /else HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(failed.starts_with("HTTP/1.1 500 "), "{failed}");

        proxy.set(Fault::Fail { is_healthy: false });
        let mut stream = connect(&proxy).await;
        let failed = ask(&mut stream, "GET /health HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(failed.starts_with("HTTP/1.1 500 "), "{failed}");
    }

    #[tokio::test]
    async fn a_refusing_proxy_listens_again_on_the_same_address() {
        let proxy = proxy().await;
        drop(connect(&proxy).await);
        proxy.set(Fault::Refuse);
        timeout(PATIENCE, async {
            while TcpStream::connect(proxy.address()).await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        proxy.set(Fault::Pass);
        assert_eq!(ask(&mut connect(&proxy).await, "ping").await.unwrap(), "hello");
    }

    #[test]
    fn a_head_is_told_from_other_bytes() {
        assert_eq!(target_of(b"GET /a?b HTTP/1.1\r\nHost: x"), Some(&b"/a?b"[..]));
        assert_eq!(target_of(b"rest of a body"), None);
        assert_eq!(target_of(b"GET /a"), None);
        assert_eq!(target_of(b"\x81\x85\x01\x02\x03\x04"), None);
        assert_eq!(target_of(b""), None);
    }
}
