//! In what the engines may differ, and why.
//!
//! Not listed, because no view keeps it: the letter case of field names and the
//! order of fields with different names (RFC 9110 §5.1, §5.3), how a message is
//! cut into segments and a body into chunks (RFC 9112 §7.1), chunk extensions,
//! and what is another with every request, which is X-Request-ID and the time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use crate::case::{Body, Case, Chunks};
use crate::observed::{Difference, Ending, Observed, Part, Place, SeenResponse};
use crate::script::{Body as Content, Flaw};
use crate::seen::{Pair, Seen, end_to_end};
use crate::wire::{Fields, Framing};

/// One allowed difference.
pub struct Allowed {
    pub name: &'static str,
    pub reason: &'static str,
    covers: fn(&Seen<'_>) -> bool,
}

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        name: "trailers",
        reason: "Pingora drops the trailers of HTTP/1 messages; the lane passes those on that \
            may stand in a trailer section",
        covers: |seen| match seen.place {
            Place::Request(exchange, Part::Trailers) => {
                let last =
                    |seen: &Observed| Some(seen.requests.get(exchange)?.last()?.trailers.clone());
                let Body::Chunked(chunks) = &seen.case.exchanges[*exchange].request.body else {
                    return false;
                };
                are_passed(chunks, last(seen.auto)) && last(seen.pingora) == Some(Fields::new())
            }
            Place::Response(_, Part::Trailers) => seen.response().is_some_and(|pair| {
                let Content::Chunked(chunks) = &pair.exchange.script.response.body else {
                    return false;
                };
                are_passed(chunks, Some(pair.auto.trailers.clone()))
                    && pair.pingora.trailers.is_empty()
            }),
            _ => false,
        },
    },
    Allowed {
        name: "trailer-announced",
        reason: "the Trailer field goes the way of the trailers",
        covers: |seen| {
            let Some(Part::Field(name)) = seen.part() else { return false };
            let silent = match seen.place {
                Place::Request(exchange, _) => seen.pingora.requests[exchange]
                    .iter()
                    .all(|request| !request.fields.contains_key(name)),
                _ => seen.response().is_some_and(|pair| !pair.pingora.fields.contains_key(name)),
            };
            name == "trailer" && silent
        },
    },
    Allowed {
        name: "half-closed",
        reason: "a client that has closed its side may still read: the lane answers it, Pingora \
            takes it for gone when it notices",
        covers: |seen| {
            // The first response that Pingora did not give whole.
            let first = seen.pingora.responses.iter().take_while(|one| one.complete).count();
            let unanswered = match seen.place {
                Place::Response(index, _) | Place::Request(index, _) => *index >= first,
                Place::Ending => false,
            };
            seen.case.leaves && unanswered && seen.auto.responses.len() > first
        },
    },
    Allowed {
        name: "unfinished",
        reason: "of a request that breaks off, or that is answered before its end, an endpoint \
            gets what was passed on until then, if anything",
        covers: |seen| {
            let part = matches!(
                seen.part(),
                Some(Part::Times | Part::Body | Part::Trailers | Part::Complete)
            );
            part && seen.request().is_some_and(|exchange| !exchange.is_orderly())
        },
    },
    Allowed {
        name: "early-end",
        reason: "behind an answer that came before the end of its request, the connection goes \
            on if the rest of the request was there in time",
        covers: |seen| seen.goes_on_behind(|pair| pair.exchange.script.early),
    },
    Allowed {
        name: "unwanted-body",
        reason: "behind an answer of lb's own, the connection goes on if the body that came with \
            the request is read past within 64 KiB, or little more",
        covers: |seen| {
            seen.goes_on_behind(|pair| {
                pair.is_ours() && pair.exchange.request.body_length() > 60_000
            })
        },
    },
    Allowed {
        name: "kept-after-failure",
        reason: "behind an answer of lb's own to what an endpoint did, Pingora closes the \
            connection to the client; the lane keeps it where nothing is in doubt",
        covers: |seen| seen.goes_on_behind(|pair| pair.is_ours() && pair.auto.line.contains(" 50")),
    },
    Allowed {
        name: "connection-options",
        reason: "Pingora understands what a client says in Connection only where it is one \
            option in one line",
        covers: |seen| seen.goes_on_behind(|pair| pair.says_much_of_connection()),
    },
    Allowed {
        name: "keep-alive",
        reason: "on HTTP/1.1 it says what goes without saying (RFC 9112 §9.3)",
        covers: |seen| {
            let says_nothing = |response: &SeenResponse| {
                let values = response.fields.get("connection").into_iter().flatten();
                values.into_iter().all(|value| value.0 == b"keep-alive")
            };
            seen.is_field("connection")
                && seen.response().is_some_and(|pair| {
                    pair.exchange.request.version == "HTTP/1.1"
                        && says_nothing(pair.auto)
                        && says_nothing(pair.pingora)
                })
        },
    },
    Allowed {
        name: "date",
        reason: "Pingora puts its own time in the place of an endpoint's Date",
        covers: |seen| {
            let date = |response: &SeenResponse| response.fields.get("date").cloned();
            seen.is_field("date")
                && seen.response().is_some_and(|pair| {
                    date(pair.auto).is_some() && date(pair.pingora) == Some(vec!["(now)".into()])
                })
        },
    },
    Allowed {
        name: "coding-without-body",
        reason: "Pingora passes on how the body would be coded that an answer to HEAD or a 304 \
            has not; the lane leaves that out (RFC 9112 §6.1 allows both)",
        covers: |seen| {
            seen.part() == Some(&Part::Framing)
                && seen.response().is_some_and(|pair| {
                    pair.auto.framing.is_none() && pair.pingora.framing == Some(Framing::Chunked)
                })
        },
    },
    Allowed {
        name: "chunks-for-http10",
        reason: "Pingora passes chunks on to clients that speak HTTP/1.0, which has none \
            (RFC 9112 §6.1); the lane ends the body with the connection",
        covers: |seen| {
            let framing = seen.part() == Some(&Part::Framing);
            framing && seen.response().is_some_and(|pair| is_for_http10(&pair))
                || seen.goes_on_behind(is_for_http10)
        },
    },
    Allowed {
        name: "cut-for-http10",
        reason: "a client that gets no chunks does not learn that its body breaks off",
        covers: |seen| {
            matches!(seen.part(), Some(Part::Body | Part::Complete))
                && seen.response().is_some_and(|pair| {
                    pair.exchange.script.flaw.is_some() && is_for_http10(&pair) && pair.is_one_cut()
                })
        },
    },
    Allowed {
        name: "cut-body",
        reason: "of a body that breaks off, a client gets what was passed on until then, and \
            learns that it is not all",
        covers: |seen| {
            seen.part() == Some(&Part::Body)
                && seen.response().is_some_and(|pair| {
                    !pair.auto.complete && !pair.pingora.complete && pair.is_one_cut()
                })
        },
    },
    Allowed {
        name: "broken-off",
        reason: "a response that breaks off is 502 with the lane, as long as it can say so \
            because nothing was sent yet; Pingora sends what there is",
        covers: |seen| {
            seen.comes_of(|pair| pair.auto_says("upstream_incomplete") && !pair.pingora.complete)
        },
    },
    Allowed {
        name: "stricter",
        reason: "of what an endpoint sends, the lane refuses what two readers may understand in \
            two ways; Pingora makes something of it",
        covers: |seen| {
            seen.comes_of(|pair| {
                let refused = pair.auto_says("upstream_invalid_response") || !pair.auto.complete;
                pair.exchange.script.flaw.is_some() && refused
            })
        },
    },
    Allowed {
        name: "nonsense",
        reason: "Pingora passes on a Content-Length that is no number; the lane answers 502",
        covers: |seen| {
            let first = seen.pingora.responses.len();
            let after = match seen.place {
                Place::Response(index, _) => *index >= first,
                Place::Request(exchange, _) => *exchange > first,
                Place::Ending => true,
            };
            let refused = |response: &SeenResponse| response.line.contains(" 502 ");
            after
                && matches!(seen.pingora.ending, Ending::Nonsense(_))
                && seen.auto.responses.get(first).is_some_and(refused)
        },
    },
    Allowed {
        name: "interim-lost",
        reason: "what an endpoint sent before its final response may be lost when that cannot be \
            read, or the request cannot: which comes first is a matter of chance",
        covers: |seen| {
            seen.part() == Some(&Part::Interim)
                && seen.response().is_some_and(|pair| pair.is_ours())
        },
    },
    Allowed {
        name: "interim-connection",
        reason: "Pingora passes on fields of its own connection in responses before the final \
            one (RFC 9110 §7.6.1)",
        covers: |seen| {
            seen.part() == Some(&Part::Interim)
                && seen.response().is_some_and(|pair| {
                    let interim = pair.pingora.interim.iter();
                    let less = interim.map(|(line, fields)| (line.clone(), end_to_end(fields)));
                    less.eq(pair.auto.interim.iter().cloned())
                })
        },
    },
    Allowed {
        name: "reason-phrase",
        reason: "of a reason phrase with bytes beyond ASCII, Pingora passes on nothing",
        covers: |seen| {
            seen.part() == Some(&Part::Line)
                && seen.response().is_some_and(|pair| {
                    let line = &pair.auto.line;
                    !line.is_ascii() && line.starts_with(&pair.pingora.line)
                })
        },
    },
    Allowed {
        name: "sent-behind-the-end",
        reason: "a client that goes on sending when the connection is closed behind a response \
            may be reset, and lose what it has not read yet",
        covers: |seen| {
            let goes_on = |index: usize| index + 1 < seen.case.exchanges.len();
            let cut = |pair: Pair<'_>| pair.exchange.request.may_be_the_last() && pair.is_one_cut();
            match seen.place {
                Place::Response(index, Part::Body | Part::Trailers | Part::Complete) => {
                    goes_on(*index) && seen.response().is_some_and(cut)
                }
                _ => false,
            }
        },
    },
    Allowed {
        name: "sent-again",
        reason: "a request whose connection from the pool ends without an answer is sent once \
            more than others, and which connection is from the pool is a matter of chance",
        covers: |seen| match seen.place {
            Place::Request(exchange, Part::Times) => {
                let flaw = seen.case.exchanges[*exchange].script.flaw;
                let times = |seen: &Observed| seen.requests.get(exchange).map_or(0, Vec::len);
                matches!(flaw, Some(Flaw::Nothing | Flaw::HalfHead | Flaw::Raw(_)))
                    && times(seen.auto).abs_diff(times(seen.pingora)) <= 1
            }
            _ => false,
        },
    },
    Allowed {
        name: "empty-again",
        reason: "chunks that hold nothing are no body any more when Pingora sends them again",
        covers: |seen| match seen.place {
            Place::Request(exchange, Part::Framing) => {
                let pingora = &seen.pingora.requests[exchange];
                let all = seen.auto.requests[exchange].iter().chain(pingora);
                pingora.len() > 1 && all.clone().all(|request| request.body.0.is_empty())
            }
            _ => false,
        },
    },
];

/// Whether the body that Pingora sends in chunks ends with the connection, for a
/// client that knows none.
fn is_for_http10(pair: &Pair<'_>) -> bool {
    pair.exchange.request.version == "HTTP/1.0"
        && pair.auto.framing == Some(Framing::UntilClose)
        && pair.pingora.framing == Some(Framing::Chunked)
}

/// Whether trailers are some of those that were sent, and none that must not be.
fn are_passed(sent: &Chunks, passed: Option<Fields>) -> bool {
    let sent = sent.trailer_fields();
    let harmless = ["x-checksum", "x-empty", "x-bytes", "server-timing", "x-a"];
    passed.is_some_and(|passed| {
        passed.iter().all(|(name, values)| {
            harmless.contains(&name.as_str()) && sent.get(name) == Some(values)
        })
    })
}

pub fn entries() -> impl Iterator<Item = &'static Allowed> {
    ALLOWED.iter()
}

/// The entry that allows a difference.
pub fn entry(
    difference: &Difference,
    case: &Case,
    auto: &Observed,
    pingora: &Observed,
) -> Option<&'static Allowed> {
    let seen = Seen { place: &difference.place, case, auto, pingora };
    entries().find(|allowed| (allowed.covers)(&seen))
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
            let entry = entries().find(|entry| entry.name == *name);
            writeln!(f, "{count:6} {name}: {}", entry.map_or("", |entry| entry.reason))
        })
    }
}
