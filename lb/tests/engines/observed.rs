//! What origin and client saw of a case, and where two such views differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use crate::text::{Text, find};
use crate::wire::{Fields, Framing};

/// Everything that was seen of a case behind one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the origin got, by the number of the exchange; more than once where
    /// it was sent again.
    pub requests: BTreeMap<usize, Vec<SeenRequest>>,
    /// What the client got, in order.
    pub responses: Vec<SeenResponse>,
    pub ending: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// Method, target and version.
    pub line: String,
    pub fields: Fields,
    pub framing: Option<Framing>,
    pub body: Text,
    pub trailers: Fields,
    /// Whether the body came to its end.
    pub complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenResponse {
    pub interim: Vec<(String, Fields)>,
    /// Version, status and reason.
    pub line: String,
    pub fields: Fields,
    pub framing: Option<Framing>,
    pub body: Text,
    pub trailers: Fields,
    pub complete: bool,
}

/// What became of the connection of the client behind the last response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It took another request.
    Open,
    /// It was closed.
    Closed,
    /// What came is no response.
    Nonsense(String),
}

/// Something in which two views differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub place: Place,
    pub auto: String,
    pub pingora: String,
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Request(usize, Part),
    Response(usize, Part),
    Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// How often it was seen.
    Times,
    /// The first line.
    Line,
    /// All lines of one name.
    Field(String),
    Framing,
    Body,
    Trailers,
    Complete,
    /// Responses before the final one.
    Interim,
}

impl Observed {
    /// Where this, seen with `engine: auto`, differs from what was seen with
    /// `engine: pingora`.
    pub fn differences(&self, pingora: &Self) -> Vec<Difference> {
        let mut found = Found(Vec::new());
        let exchanges: BTreeSet<_> =
            self.requests.keys().chain(pingora.requests.keys()).copied().collect();
        for exchange in exchanges {
            let all =
                |observed: &Self| observed.requests.get(&exchange).cloned().unwrap_or_default();
            let (a, b) = (all(self), all(pingora));
            let at = |part| Place::Request(exchange, part);
            found.note(|| at(Part::Times), &a.len(), &b.len());
            if let (Some(a), Some(b)) = (a.last(), b.last()) {
                found.note(|| at(Part::Line), &a.line, &b.line);
                found.note(|| at(Part::Framing), &a.framing, &b.framing);
                found.fields(at, &a.fields, &b.fields);
                found.note(|| at(Part::Body), &a.body, &b.body);
                found.note(|| at(Part::Trailers), &a.trailers, &b.trailers);
                found.note(|| at(Part::Complete), &a.complete, &b.complete);
            }
        }
        for index in 0..self.responses.len().max(pingora.responses.len()) {
            let (a, b) = (self.responses.get(index), pingora.responses.get(index));
            let at = |part| Place::Response(index, part);
            found.note(|| at(Part::Times), &a.is_some(), &b.is_some());
            if let (Some(a), Some(b)) = (a, b) {
                found.note(|| at(Part::Interim), &a.interim, &b.interim);
                found.note(|| at(Part::Line), &a.line, &b.line);
                found.note(|| at(Part::Framing), &a.framing, &b.framing);
                found.fields(at, &a.fields, &b.fields);
                found.note(|| at(Part::Body), &a.body, &b.body);
                found.note(|| at(Part::Trailers), &a.trailers, &b.trailers);
                found.note(|| at(Part::Complete), &a.complete, &b.complete);
            }
        }
        found.note(|| Place::Ending, &self.ending, &pingora.ending);
        found.0
    }

    /// Replaces what is another every time: ids, and the addresses of this run.
    pub fn normalised(mut self, names: &[(SocketAddr, &str)]) -> Self {
        for request in self.requests.values_mut().flatten() {
            normalise(&mut request.fields, &mut request.body, names);
        }
        for response in &mut self.responses {
            normalise(&mut response.fields, &mut response.body, names);
        }
        self
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (exchange, requests) in &self.requests {
            requests.iter().try_for_each(|request| writeln!(f, "  > {exchange}: {request:?}"))?;
        }
        self.responses.iter().try_for_each(|response| writeln!(f, "  < {response:?}"))?;
        writeln!(f, "  {:?}", self.ending)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, auto, pingora } = self;
        write!(f, "{place:?}: auto: {auto}, pingora: {pingora}")
    }
}

struct Found(Vec<Difference>);

impl Found {
    fn note<T: PartialEq + std::fmt::Debug>(
        &mut self,
        place: impl FnOnce() -> Place,
        auto: &T,
        pingora: &T,
    ) {
        if auto != pingora {
            let (auto, pingora) = (format!("{auto:?}"), format!("{pingora:?}"));
            self.0.push(Difference { place: place(), auto, pingora });
        }
    }

    fn fields(&mut self, at: impl Fn(Part) -> Place, auto: &Fields, pingora: &Fields) {
        let names: BTreeSet<_> = auto.keys().chain(pingora.keys()).collect();
        for name in names {
            self.note(|| at(Part::Field(name.clone())), &auto.get(name), &pingora.get(name));
        }
    }
}

/// An id is 32 hexadecimal digits of `lb`'s own, unless somebody trusted sent
/// another. Our own pages say it in the body.
fn normalise(fields: &mut Fields, body: &mut Text, names: &[(SocketAddr, &str)]) {
    for id in fields.get_mut("x-request-id").into_iter().flatten() {
        if id.0.len() == 32 && id.0.iter().all(u8::is_ascii_hexdigit) {
            let own = String::from_utf8_lossy(&id.0).into_owned();
            *body = body.replaced(&own, "(id)");
            *id = "(id)".into();
        }
    }
    for date in fields.get_mut("date").into_iter().flatten() {
        // That of an origin is in the last millennium.
        if find(&date.0, b" 20").is_some() {
            *date = "(now)".into();
        }
    }
    for (address, name) in names {
        let (whole, port) = (address.to_string(), format!(":{}", address.port()));
        for value in fields.values_mut().flatten() {
            *value = value.replaced(&whole, name).replaced(&port, name);
        }
    }
}
