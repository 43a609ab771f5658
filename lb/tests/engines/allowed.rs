//! In what the engines may differ, and why.
//!
//! Not listed, because no view keeps it: the letter case of field names and the
//! order of fields with different names (RFC 9110 §5.1, §5.3), how a message is
//! cut into segments and a body into chunks (§7.1 of RFC 9112), chunk extensions,
//! and what is another with every request, which is X-Request-ID.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use crate::case::Case;
use crate::observed::{Difference, Observed, Part, Place};
use crate::script::Flaw;

/// One allowed difference.
pub struct Allowed {
    pub name: &'static str,
    pub reason: &'static str,
    covers: fn(&Seen<'_>) -> bool,
}

/// A difference and where it was seen.
struct Seen<'s> {
    place: &'s Place,
    case: &'s Case,
    auto: &'s Observed,
    pingora: &'s Observed,
}

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        name: "trailers",
        reason: "Pingora drops the trailers of HTTP/1 messages; the lane passes those on that \
            may stand in a trailer section",
        covers: |seen| {
            let (auto, pingora) = (seen.trailers(seen.auto), seen.trailers(seen.pingora));
            matches!(seen.part(), Some(Part::Trailers)) && pingora == Some(0) && auto > Some(0)
        },
    },
    Allowed {
        name: "half-closed",
        reason: "a client that has closed its side may still read: the lane answers it, Pingora \
            takes it for gone when it notices",
        covers: |seen| seen.case.leaves,
    },
    Allowed {
        name: "unfinished",
        reason: "of a request that breaks off, or that is answered before its end, an endpoint \
            gets what was passed on until then, if anything",
        covers: |seen| match seen.place {
            Place::Request(
                exchange,
                Part::Times | Part::Body | Part::Trailers | Part::Complete,
            ) => !seen.case.exchanges[*exchange].is_orderly(),
            _ => false,
        },
    },
    Allowed {
        name: "interim-lost",
        reason: "what an endpoint sent before its final response may be lost when that cannot be \
            read, or the request cannot: which comes first is a matter of chance",
        covers: |seen| match seen.place {
            Place::Response(index, Part::Interim) => seen.response_is_ours(*index),
            _ => false,
        },
    },
    Allowed {
        name: "early-end",
        reason: "behind an answer that came before the end of its request, the connection goes \
            on if the rest of the request was there in time",
        covers: |seen| {
            let early = seen.case.exchanges.iter().any(|one| one.script.early);
            let field = matches!(seen.part(), Some(Part::Field(name)) if name == "connection");
            early && (field || *seen.place == Place::Ending)
        },
    },
    Allowed {
        name: "keep-alive",
        reason: "on HTTP/1.1 it says what goes without saying (RFC 9112 §9.3)",
        covers: |seen| match seen.place {
            Place::Response(index, Part::Field(name)) if name == "connection" => {
                let says = |observed: &Observed| {
                    let value = observed.responses.get(*index)?.fields.get(name)?;
                    value.iter().any(|value| value.0 != b"keep-alive").then_some(())
                };
                seen.case.exchanges[*index].request.version == "HTTP/1.1"
                    && says(seen.auto).is_none()
                    && says(seen.pingora).is_none()
            }
            _ => false,
        },
    },
    Allowed {
        name: "sent-again",
        reason: "a request whose connection from the pool ends without an answer is sent once \
            more than others, and which connection is from the pool is a matter of chance",
        covers: |seen| match seen.place {
            Place::Request(exchange, Part::Times) => {
                let flaw = seen.case.exchanges[*exchange].script.flaw;
                let times =
                    |observed: &Observed| observed.requests.get(exchange).map_or(0, Vec::len);
                matches!(flaw, Some(Flaw::Nothing))
                    && times(seen.auto).abs_diff(times(seen.pingora)) <= 1
            }
            _ => false,
        },
    },
];

impl Seen<'_> {
    fn part(&self) -> Option<&Part> {
        match self.place {
            Place::Request(_, part) | Place::Response(_, part) => Some(part),
            Place::Ending => None,
        }
    }

    /// Whether both engines give an answer of `lb`'s own.
    fn response_is_ours(&self, index: usize) -> bool {
        [self.auto, self.pingora].iter().all(|observed| {
            let response = observed.responses.get(index);
            response.is_some_and(|response| response.fields.contains_key("proxy-status"))
        })
    }

    /// How many trailers one side saw.
    fn trailers(&self, observed: &Observed) -> Option<usize> {
        match self.place {
            Place::Request(exchange, _) => {
                Some(observed.requests.get(exchange)?.last()?.trailers.len())
            }
            Place::Response(index, _) => Some(observed.responses.get(*index)?.trailers.len()),
            Place::Ending => None,
        }
    }
}

/// The entry that allows a difference.
pub fn entry(
    difference: &Difference,
    case: &Case,
    auto: &Observed,
    pingora: &Observed,
) -> Option<&'static Allowed> {
    let seen = Seen { place: &difference.place, case, auto, pingora };
    ALLOWED.iter().find(|allowed| (allowed.covers)(&seen))
}

/// How often each entry was needed.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, usize>>);

impl Tally {
    pub fn count(&self, name: &'static str) {
        *self.0.lock().unwrap().entry(name).or_default() += 1;
    }
}

/// What was needed of the table.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap();
        counts.iter().try_for_each(|(name, count)| {
            let entry = ALLOWED.iter().find(|entry| entry.name == *name);
            writeln!(f, "{count:6} {name}: {}", entry.map_or("", |entry| entry.reason))
        })
    }
}
