//! WebSockets: an echo, or a member of a broadcast room.
//!
//! Backpressure is the client's own: while it does not read, nothing more is
//! read from it. In a room it misses messages instead, and is told so:
//! `{"type":"lagged","missed":N}`.

use std::error::Error;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use http::Version;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::Invalid;
use crate::error::{ApiError, FieldErrors};
use crate::http::extract::QueryParameters;
use crate::rooms::{self, Membership, Received, RoomName};
use crate::services::Shared;
use crate::shutdown::Lifecycle;

/// Longest message, and longest frame.
const MAX_MESSAGE_SIZE: usize = 64 * 1024;

/// What is buffered at once of what the client sends. One for all messages of
/// usual size; the library's 128 KiB for every idle socket would be waste.
const READ_BUFFER_SIZE: usize = 8 * 1024;

/// How long the other side has to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a socket stays open after the client broke the rules: what it has
/// sent meanwhile is not read, and closing over unread data would reset the
/// connection before the client has seen why it is closed.
const LINGER: Duration = Duration::from_secs(1);

/// Parameters of [`connect`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConnectParameters {
    /// Whose messages to get; without it, one's own come back.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$", nullable = false)]
    room: Option<String>,
}

/// A WebSocket: an echo, or with `room` a member of that room, on all instances.
/// A member that reads too slowly misses messages, and is told so:
/// `{"type":"lagged","missed":N}`.
#[utoipa::path(
    get,
    path = "/ws",
    operation_id = "connect_websocket",
    tag = "websocket",
    params(ConnectParameters),
    responses(
        (status = 101, description = "Messages follow, of 64 KiB at most."),
        (status = 400, description = "The handshake or the query is malformed."),
        (status = 422, description = "The room has no name for one."),
        (status = 426, description = "The request is none for a WebSocket over HTTP/1.1."),
        (status = 503, description = "There are too many rooms."),
    )
)]
pub async fn connect(
    State(services): State<Shared>,
    QueryParameters(parameters): QueryParameters<ConnectParameters>,
    version: Version,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    let room = parameters.room.map(|text| parse_room(&text)).transpose();
    let Some(room) = errors.collect("room", room) else {
        return Err(errors.into());
    };
    let upgrade = upgrade.map_err(|rejection| refuse(&rejection, version))?;
    // Joined before the upgrade, while there is still a response to refuse with.
    let membership = match room {
        Some(name) => Some(services.rooms.join(name).await?),
        None => None,
    };

    let lifecycle = services.lifecycle.clone();
    let tunnel = lifecycle.tunnel();
    Ok(upgrade
        .max_message_size(MAX_MESSAGE_SIZE)
        .max_frame_size(MAX_MESSAGE_SIZE)
        .read_buffer_size(READ_BUFFER_SIZE)
        .on_upgrade(async move |socket| {
            serve(socket, membership, &lifecycle).await;
            drop(tunnel);
        }))
}

/// Why a conversation is over.
enum End {
    /// The client sent a close frame, which the library answers with the same
    /// code.
    ClosedByClient,
    /// The connection is gone.
    Lost,
    /// The client broke the rules.
    Violation(CloseFrame),
    /// The process stops.
    Stopping,
}

async fn serve(mut socket: WebSocket, membership: Option<Membership>, lifecycle: &Lifecycle) {
    let end = tokio::select! {
        end = converse(&mut socket, membership) => end,
        () = lifecycle.closing() => End::Stopping,
    };
    let closing = async {
        match end {
            End::Lost => {}
            End::ClosedByClient => drain(&mut socket).await,
            End::Stopping => {
                let frame = close_frame(close_code::AWAY, "the server is going away");
                if socket.send(Message::Close(Some(frame))).await.is_ok() {
                    drain(&mut socket).await;
                }
            }
            End::Violation(frame) => {
                if socket.send(Message::Close(Some(frame))).await.is_ok() {
                    tokio::time::sleep(LINGER).await;
                }
            }
        }
    };
    // A client that does not take part in the handshake is left.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
}

async fn converse(socket: &mut WebSocket, mut membership: Option<Membership>) -> End {
    loop {
        let outgoing = tokio::select! {
            incoming = socket.recv() => match incoming {
                None => return End::Lost,
                Some(Err(error)) => return violation(error).map_or(End::Lost, End::Violation),
                Some(Ok(Message::Close(_))) => return End::ClosedByClient,
                // The library has answered the ping already.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(text))) => {
                    match pass_on(membership.as_ref(), rooms::Message::Text(text)) {
                        Some(echo) => echo,
                        None => continue,
                    }
                }
                Some(Ok(Message::Binary(bytes))) => {
                    match pass_on(membership.as_ref(), rooms::Message::Binary(bytes)) {
                        Some(echo) => echo,
                        None => continue,
                    }
                }
            },
            received = receive(&mut membership) => match received {
                Received::Message(message) => frame(message),
                Received::Missed(count) => {
                    Message::text(format!(r#"{{"type":"lagged","missed":{count}}}"#))
                }
            },
        };
        if socket.send(outgoing).await.is_err() {
            return End::Lost;
        }
    }
}

/// Sends to the room; without one, what is sent comes back.
fn pass_on(membership: Option<&Membership>, message: rooms::Message) -> Option<Message> {
    match membership {
        Some(membership) => {
            membership.send(message);
            None
        }
        None => Some(frame(message)),
    }
}

fn frame(message: rooms::Message) -> Message {
    match message {
        rooms::Message::Text(text) => Message::Text(text),
        rooms::Message::Binary(bytes) => Message::Binary(bytes),
    }
}

/// What comes from the room; never anything without one.
async fn receive(membership: &mut Option<Membership>) -> Received {
    match membership {
        Some(membership) => membership.receive().await,
        None => std::future::pending().await,
    }
}

/// Reads to the end of the closing handshake; what comes before it is late.
async fn drain(socket: &mut WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}

/// The close frame that tells the client what it did wrong; `None` if it did
/// nothing, and the connection broke.
fn violation(error: axum::Error) -> Option<CloseFrame> {
    use tungstenite::Error as Cause;
    use tungstenite::error::ProtocolError;

    let error = error.into_inner();
    match error.downcast_ref::<Cause>()? {
        Cause::Capacity(_) => Some(close_frame(close_code::SIZE, "the message is too large")),
        Cause::Utf8(_) => Some(close_frame(close_code::INVALID, "the text is not UTF-8")),
        Cause::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Cause::Protocol(_) => {
            Some(close_frame(close_code::PROTOCOL, "the protocol was not followed"))
        }
        other => {
            tracing::debug!(error = %other as &dyn Error, "websocket ended");
            None
        }
    }
}

fn close_frame(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}

fn refuse(rejection: &WebSocketUpgradeRejection, version: Version) -> ApiError {
    use WebSocketUpgradeRejection as Rejection;
    match rejection {
        Rejection::WebSocketKeyHeaderMissing(_) | Rejection::InvalidWebSocketVersionHeader(_) => {
            ApiError::Malformed("the WebSocket handshake is incomplete".into())
        }
        _ => ApiError::WebSocketOnly(version),
    }
}

fn parse_room(text: &str) -> Result<RoomName, Invalid> {
    RoomName::parse(text).ok_or(Invalid("must be 1 to 64 letters, digits, hyphens or underscores"))
}
