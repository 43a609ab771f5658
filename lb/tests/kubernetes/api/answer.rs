//! What the API server says, as JSON.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::Verb;
use super::store::{Kind, List};

/// Bodies of answers; an error cuts the connection.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// A `Status` that says no.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn forbidden(user: &str, verb: Verb, namespace: &str) -> Self {
        let verb = verb.name();
        let message = format!(
            "endpointslices.discovery.k8s.io is forbidden: User {user:?} cannot {verb} resource \
             \"endpointslices\" in API group \"discovery.k8s.io\" in the namespace {namespace:?}"
        );
        Self::new(403, "Forbidden", message)
    }

    pub fn too_old(version: u64, newest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {version} ({newest})"))
    }

    pub fn expired_list() -> Self {
        let message = "The provided continue parameter is too old to display a consistent list \
                       result. You can start a new list without the continue parameter.";
        Self::new(410, "Expired", message)
    }

    pub fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn not_found() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }

    pub fn response(&self) -> Response<Body> {
        respond(self.code, self.status().to_string())
    }
}

/// A whole answer.
pub fn respond(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    streamed(status, Full::new(body.into()).map_err(|never| match never {}).boxed())
}

/// An answer whose body is still to come.
pub fn streamed(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// A body that begins, and never goes on.
pub fn stalled() -> Body {
    let begin = stream::iter([Ok(Frame::data(Bytes::from("{\"kind\":")))]);
    BodyExt::boxed(StreamBody::new(begin.chain(stream::pending())))
}

/// A body that has no end, in one line that says nothing.
pub fn endless() -> Body {
    let spaces = Bytes::from(vec![b' '; 256 * 1024]);
    BodyExt::boxed(StreamBody::new(stream::repeat_with(move || Ok(Frame::data(spaces.clone())))))
}

/// A list, or a page of one that goes on at the token.
pub fn list(list: &List, more: Option<(String, usize)>) -> Value {
    let mut metadata = json!({ "resourceVersion": list.version.to_string() });
    if let Some((token, remaining)) = more {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(remaining);
    }
    // Items of a list do not say what they are: the list does.
    let items = list.items.iter().map(|item| {
        let mut item = object(item);
        item.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
        item
    });
    json!({
        "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata, "items": items.collect::<Vec<_>>(),
    })
}

/// A line of a watch: something happened to an object.
pub fn event(kind: Kind, slice: &EndpointSlice) -> String {
    let kind = match kind {
        Kind::Added => "ADDED",
        Kind::Modified => "MODIFIED",
        Kind::Deleted => "DELETED",
    };
    line(kind, object(slice))
}

/// Empty lists are `null`, as Go has them.
fn object(slice: &EndpointSlice) -> Value {
    let mut object = json!(slice);
    for list in ["endpoints", "ports"] {
        let is_empty = object[list].as_array().is_none_or(Vec::is_empty);
        if is_empty {
            object[list] = Value::Null;
        }
    }
    object
}

/// A line of a watch: everything up to this version was said.
pub fn bookmark(version: u64, ends_initial_events: bool) -> String {
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if ends_initial_events {
        metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    let object = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata, "addressType": "", "endpoints": null, "ports": null,
    });
    line("BOOKMARK", object)
}

/// A line of a watch: it cannot go on.
pub fn error(refusal: &Refusal) -> String {
    line("ERROR", refusal.status())
}

fn line(kind: &str, object: Value) -> String {
    format!("{}\n", json!({ "type": kind, "object": object }))
}
