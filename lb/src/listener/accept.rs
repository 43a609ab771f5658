//! Accepting: from a socket to a connection that an engine carries.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use prometheus::{IntCounter, IntGauge};
use tokio::sync::{mpsc, watch};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::gate::{Admission, Gate};
use super::greeting::{self, Failure, Hello};
use super::socket::{Accepted, Socket};
use super::transport::{Raw, Transport};
use super::{http1, http2, linger};
use crate::engine::{Connection, Ends, Engine, Era, Stage, refuse};
use crate::observe::{Closings, Handshake, Metrics};
use crate::response::{Cause, Closing};
use crate::snapshot::Connections;
use crate::tls::{ClientIdentity, client_identity};

/// How long accepting rests when it fails and nobody can be refused either.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long nobody must be refused for descriptors before they are enough again.
const CALM: Duration = Duration::from_secs(1);

/// What connections of one listener need, on one worker.
pub struct AcceptContext {
    era: Arc<Era>,
    tls: Option<TlsAcceptor>,
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Connections,
    gate: Arc<Gate>,
    closings: Arc<Closings>,
    accepted: IntCounter,
    open: IntGauge,
    handshakes: [IntCounter; 3],
    /// Held by every connection: the worker waits for the last one to end.
    alive: mpsc::Sender<()>,
}

/// What all workers share of a listener.
#[derive(Debug, Clone)]
pub struct ListenerShare {
    /// What its connections hear of changes by.
    pub era: Arc<Era>,
    /// How many connections are let in.
    pub gate: Arc<Gate>,
    /// Why connections were closed.
    pub closings: Arc<Closings>,
}

impl AcceptContext {
    /// Gathers it.
    pub fn new(
        listener: &crate::snapshot::Listener,
        share: &ListenerShare,
        engine: Arc<Engine>,
        metrics: &Metrics,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let (accepted, open) = metrics.listener(&listener.name);
        let handshakes = [Handshake::Full, Handshake::Resumed, Handshake::Failed]
            .map(|result| metrics.handshake(&listener.name, result));
        Self {
            era: Arc::clone(&share.era),
            tls: listener.tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.server.config))),
            engine,
            settings: listener.connections.clone(),
            gate: Arc::clone(&share.gate),
            closings: Arc::clone(&share.closings),
            accepted,
            open,
            handshakes,
            alive,
        }
    }
}

impl AcceptContext {
    /// Whether it is what would be made anew.
    pub fn is_for(&self, listener: &crate::snapshot::Listener, share: &ListenerShare) -> bool {
        let tls = listener.tls.as_ref().map(|tls| Arc::as_ptr(&tls.server.config));
        Arc::ptr_eq(&self.era, &share.era)
            && Arc::ptr_eq(&self.gate, &share.gate)
            && self.tls.as_ref().map(|acceptor| Arc::as_ptr(acceptor.config())) == tls
            && self.settings == listener.connections
    }

    fn connection(
        &self,
        ends: Ends,
        tls: bool,
        identity: Option<ClientIdentity>,
    ) -> Arc<Connection> {
        Arc::new(Connection::new(Arc::clone(&self.era), ends, tls, identity))
    }
}

/// What becomes of what a socket accepts.
#[derive(Clone)]
pub enum Accepting {
    /// It is served so.
    Into(Arc<AcceptContext>),
    /// The socket is closed, after everybody who waits at it was let in.
    Close,
    /// The socket is closed here. Others accept at it.
    Leave,
}

/// Accepts until told not to. It begins with `context`; what `orders` has had before
/// it was subscribed to is not asked.
pub async fn accept(
    socket: Socket,
    mut context: Arc<AcceptContext>,
    mut orders: watch::Receiver<Accepting>,
) {
    let mut spare = Spare::new();
    let mut shortage = Shortage::default();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            changed = orders.changed() => {
                // Err: nobody is left who could say so, which says it too.
                let now = changed.map_or(Accepting::Close, |()| orders.borrow_and_update().clone());
                match now {
                    Accepting::Into(other) => context = other,
                    Accepting::Close => return let_in_all(&socket, &context),
                    Accepting::Leave => return,
                }
                continue;
            }
        };
        match accepted {
            Ok(accepted) => match let_in(accepted, &context) {
                Err(Closing::DescriptorsExhausted) => {
                    shortage.goes_on(&context, &"the last descriptors are not for clients");
                }
                _ => shortage.may_be_over(&context),
            },
            Err(error) if is_about_the_connection(&error) => {}
            Err(error) => {
                shortage.goes_on(&context, &error);
                // Refused rather than kept waiting without anybody knowing for
                // how long. Without a spare descriptor there is only waiting.
                if spare.give_up()
                    && let Ok(Ok(refused)) = timeout(Duration::ZERO, socket.accept()).await
                {
                    let peer = refused.ends().peer;
                    drop(refused);
                    context.closings.record(Closing::DescriptorsExhausted, peer);
                }
                if !spare.take() {
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// The socket is about to be closed. Who waits at it would be reset.
fn let_in_all(socket: &Socket, context: &Arc<AcceptContext>) {
    loop {
        match socket.accept_now() {
            // Err: refused, and counted.
            Ok(accepted) => drop(let_in(accepted, context)),
            Err(error) if is_about_the_connection(&error) => {}
            Err(_) => return,
        }
    }
}

/// Resolves when the connections of an era have to go on to a stage.
pub(super) async fn reached(stages: &mut watch::Receiver<Stage>, stage: Stage) {
    // Err: nobody is left who could say so, which says it too.
    let _ = stages.wait_for(|now| *now >= stage).await;
}

/// A time in which descriptors are short: its begin and its end are said, not
/// what comes and goes between.
#[derive(Debug, Default)]
struct Shortage {
    /// When somebody was refused last.
    last: Option<Instant>,
}

impl Shortage {
    fn goes_on(&mut self, context: &AcceptContext, error: &dyn Display) {
        if self.last.replace(Instant::now()).is_none() {
            tracing::error!(
                listener = %context.era.name(), %error,
                "cannot accept; new connections are refused until it works again"
            );
        }
    }

    fn may_be_over(&mut self, context: &AcceptContext) {
        if self.last.is_some_and(|last| last.elapsed() >= CALM) {
            self.last = None;
            tracing::info!(listener = %context.era.name(), "accepting again");
        }
    }
}

/// A descriptor that is held so that it can be given up.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Whether there was one.
    fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Whether there is one again.
    fn take(&mut self) -> bool {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
        self.0.is_some()
    }
}

/// The client was gone before we came (accept(2), "Error handling").
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn let_in(accepted: Accepted, context: &Arc<AcceptContext>) -> Result<(), Closing> {
    context.accepted.inc();
    let ends = accepted.ends();
    // Err: dropped, and so closed.
    let admission = context
        .gate
        .admit(accepted.descriptor())
        .inspect_err(|closing| context.closings.record(*closing, ends.peer))?;
    let held = Held { admission, _open: Open::new(&context.open) };
    let mut raw = accepted.into_raw(held);
    if context.tls.is_some() || context.settings.proxy_protocol.is_some() {
        tokio::spawn(serve(raw, ends, Arc::clone(context)));
        return Ok(());
    }
    // Nothing comes before HTTP: its task is the only one.
    context
        .gate
        .admit_client(raw.admission(), ends.peer)
        .inspect_err(|closing| context.closings.record(*closing, ends.peer))?;
    let served = Served {
        connection: context.connection(ends, false, None),
        context: Arc::clone(context),
        _alive: context.alive.clone(),
    };
    tokio::spawn(http1::serve(Transport::Clear(raw), served));
    Ok(())
}

/// Greets, and hands the connection to a task of its own: what greeting needs
/// is gone by the time the connection is idle.
async fn serve(raw: Raw, mut ends: Ends, context: Arc<AcceptContext>) {
    let alive = context.alive.clone();
    let (transport, connection, http2) = match greet(raw, &mut ends, &context).await {
        Ok(greeted) => greeted,
        Err(Failure::Gone) => return,
        Err(Failure::Closed(closing)) => {
            context.closings.record(closing, ends.peer);
            return;
        }
    };
    let served = Served { connection, context, _alive: alive };
    if !http2 {
        tokio::spawn(http1::serve(transport, served));
    } else if let Some(shaken) = http2::shake(transport, &served).await {
        tokio::spawn(http2::serve(shaken, served));
    }
}

/// What a connection takes up for as long as its socket is open: also while it
/// lingers after its last answer.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) admission: Admission,
    _open: Open,
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A connection that is served: who it is, and what its listener says.
pub(super) struct Served {
    pub(super) connection: Arc<Connection>,
    context: Arc<AcceptContext>,
    /// The worker waits for the last of these.
    _alive: mpsc::Sender<()>,
}

impl Deref for Served {
    type Target = AcceptContext;

    fn deref(&self) -> &AcceptContext {
        &self.context
    }
}

impl Served {
    /// Counts why the connection is closed.
    pub(super) fn closed(&self, closing: Closing) {
        self.closings.record(closing, self.connection.ends.peer);
    }
}

/// PROXY header and TLS: what comes before HTTP.
async fn greet(
    mut raw: Raw,
    ends: &mut Ends,
    context: &AcceptContext,
) -> Result<(Transport, Arc<Connection>, bool), Failure> {
    let deadlines = &context.settings.deadlines;
    if let Some(settings) = &context.settings.proxy_protocol {
        let mut begun = false;
        let header = greeting::proxy_header(&mut raw, ends, settings, &mut begun);
        match timeout(deadlines.proxy_header, header).await {
            Ok(read) => read?,
            // A connection that is opened early may be silent.
            Err(_) if !begun && !settings.required => {}
            Err(_) => return Err(Failure::Closed(Closing::ProxyHeaderTimeout)),
        }
    }
    context.gate.admit_client(raw.admission(), ends.peer).map_err(Failure::Closed)?;
    let connection = |tls, identity| context.connection(*ends, tls, identity);
    let Some(acceptor) = &context.tls else {
        return Ok((Transport::Clear(raw), connection(false, None), false));
    };
    let deadline = tokio::time::Instant::now() + deadlines.tls_handshake;
    let [full, resumed, failed] = &context.handshakes;
    let late = || {
        failed.inc();
        Failure::Closed(Closing::TlsHandshakeTimeout)
    };
    match timeout_at(deadline, greeting::hello(&mut raw)).await.map_err(|_| late())?? {
        Hello::Tls => {}
        Hello::Http(seen) => {
            failed.inc();
            let error = "a request in clear on a TLS listener".to_owned();
            let started = (Instant::now(), SystemTime::now());
            let connection = connection(false, None);
            let shared = context.engine.shared();
            let answer = refuse(shared, &connection, started, Cause::WrongProtocol, error, &seen);
            linger::answer_and_close(Transport::Clear(raw), answer.bytes);
            return Err(Failure::Closed(Closing::HttpOnTls));
        }
    }
    match timeout_at(deadline, acceptor.accept(raw)).await.map_err(|_| late())? {
        Ok(stream) => {
            let session = stream.get_ref().1;
            let kind = match session.handshake_kind() {
                Some(rustls::HandshakeKind::Resumed) => resumed,
                _ => full,
            };
            kind.inc();
            let http2 = session.alpn_protocol() == Some(b"h2");
            let identity = session.peer_certificates().and_then(client_identity);
            let connection = connection(true, identity);
            Ok((Transport::Tls(Box::new(stream)), connection, http2))
        }
        Err(error) => {
            failed.inc();
            tracing::debug!(listener = %context.era.name(), client = %ends.peer, %error, "TLS handshake failed");
            Err(Failure::Closed(Closing::TlsHandshakeFailed))
        }
    }
}
