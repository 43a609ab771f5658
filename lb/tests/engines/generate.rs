//! Cases: what is made of the parts.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::case::{Body, Case, Chunks, Exchange, Expect, Fault, Line, Piece};
use crate::requests::{self, FAULTY_CHUNKS, FAULTY_LINES};
use crate::responses;
use crate::script::{Body as Content, Flaw, Script};
use crate::text::Text;

/// Requests as they should be, and answers as they should be.
pub fn sound() -> impl Strategy<Value = Case> {
    case(vec(exchange(responses::script()), 1..=3), Just(false))
}

/// The last answer is not what it should be.
pub fn unsound_responses() -> impl Strategy<Value = Case> {
    let flawed =
        (responses::script(), responses::flaw()).prop_map(|(script, flaw)| flawed(script, flaw));
    let last = exchange(flawed);
    let before = vec(exchange(responses::script()), 0..=1);
    case(
        (before, last).prop_map(|(mut all, last)| {
            all.push(last);
            all
        }),
        Just(false),
    )
}

/// The last request is not what it should be, or its client does not stay.
pub fn unsound_requests() -> impl Strategy<Value = Case> {
    let last = (exchange(responses::script()), fault())
        .prop_map(|(exchange, fault)| faulty(exchange, fault));
    let before = vec(exchange(responses::script()), 0..=1);
    case(
        (before, last).prop_map(|(mut all, last)| {
            all.push(last);
            all
        }),
        any::<bool>(),
    )
}

/// The origin answers before it has read the request.
pub fn early_answers() -> impl Strategy<Value = Case> {
    let last =
        (exchange(responses::script()), requests::body()).prop_map(|(mut exchange, body)| {
            exchange.script.early = true;
            // Whether it is over the limit, or answered, is a matter of chance.
            exchange.request.target = exchange.request.target.replace("/small", "/large");
            exchange.request.body = body;
            exchange
        });
    case(last.prop_map(|last| vec![last]), Just(false))
}

fn case(
    exchanges: impl Strategy<Value = Vec<Exchange>>,
    leaves: impl Strategy<Value = bool>,
) -> impl Strategy<Value = Case> {
    let cuts = vec(any::<Index>(), 0..=4);
    (exchanges, prop::bool::weighted(0.2), cuts, any::<bool>(), leaves).prop_map(
        |(exchanges, trusted, cuts, apart, leaves)| {
            let leaves = leaves || exchanges.iter().any(Exchange::is_unfinished);
            Case { exchanges, trusted, cuts, apart, leaves }
        },
    )
}

fn exchange(script: impl Strategy<Value = Script>) -> impl Strategy<Value = Exchange> {
    (requests::request(), script).prop_map(|(mut request, script)| {
        let told = script.early || script.interims.iter().any(|interim| interim.first);
        if request.expect == Expect::AndWaits && !(told && request.version == "HTTP/1.1") {
            request.expect = Expect::AndGoesOn;
        }
        Exchange { request, script }
    })
}

/// With a body in which the flaw has a place.
fn flawed(mut script: Script, flaw: Flaw) -> Script {
    let chunked = matches!(script.response.body, Content::Chunked(_));
    let length = matches!(script.response.body, Content::Length(_));
    let content = Text::from("0123456789");
    if matches!(flaw, Flaw::Chunks(_)) && !chunked {
        script.response.body = Content::Chunked(Chunks::plain(content));
    } else if flaw == Flaw::Short && !chunked && !length {
        script.response.body = Content::Length(content);
    }
    if matches!(script.response.body, Content::Unsaid | Content::UntilClose(_)) {
        // The origin closes behind it, also where the flaw says how long it is.
        script.response.connection = Some("close");
        script.response.lines.retain(|line| line.name != "Connection");
    }
    script.flaw = Some(flaw);
    script
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    weighted(
        0.8,
        prop_oneof![
            select(FAULTY_LINES).prop_map(Fault::Lines),
            select(FAULTY_CHUNKS).prop_map(Fault::Chunks),
            Just(Fault::Unfinished),
        ],
    )
}

fn faulty(mut exchange: Exchange, fault: Option<Fault>) -> Exchange {
    let request = &mut exchange.request;
    let content = Text::from("0123456789");
    match fault {
        Some(Fault::Chunks(_)) if !matches!(request.body, Body::Chunked(_)) => {
            request.body = Body::Chunked(Chunks::plain(content));
        }
        Some(Fault::Unfinished) if !request.has_body() => request.body = Body::Length(content),
        _ => {}
    }
    request.fault = fault;
    exchange
}

impl Chunks {
    fn plain(data: Text) -> Self {
        let piece = Piece { data, zeros: "", upper_case: false, extension: "" };
        Self { pieces: vec![piece], last: "0", trailers: Vec::new(), coding: "chunked" }
    }
}

/// Bytes of a body: mostly few, now and then more than any buffer holds.
pub fn content() -> impl Strategy<Value = Text> {
    let length = prop_oneof![
        4 => 0..40_usize,
        2 => 1000..9000_usize,
        1 => prop::sample::select(&[4096, 8192, 16_384, 65_536, 100_000][..]),
    ];
    (length, any::<u8>()).prop_map(|(length, first)| {
        // Not all the same, so that what is lost or moved shows.
        Text((0..length).map(|at| first.wrapping_add((at % 251) as u8)).collect())
    })
}

pub fn chunks() -> impl Strategy<Value = Chunks> {
    let piece = (
        content(),
        select(&["", "", "", "0", "00000"][..]),
        any::<bool>(),
        select(&["", "", "", ";a", ";a=b", ";a=\"b;c\"", ";a=b;c"][..]),
    )
        .prop_map(|(data, zeros, upper_case, extension)| Piece {
            data,
            zeros,
            upper_case,
            extension,
        });
    let last = select(&["0", "0", "000", "0;a=b"][..]);
    let coding = select(&["chunked", "chunked", "Chunked", "CHUNKED"][..]);
    (vec(piece, 0..=4), last, vec(trailer(), 0..=2), coding).prop_map(
        |(mut pieces, last, trailers, coding)| {
            // A chunk of no bytes would be the last.
            pieces.retain(|piece| !piece.data.0.is_empty());
            Chunks { pieces, last, trailers, coding }
        },
    )
}

/// A field line, spelt in some way, of one of these.
pub fn line(pool: &'static [(&'static str, &'static [u8])]) -> impl Strategy<Value = Line> {
    let before = select(&["", " ", " ", " ", "  ", "\t"][..]);
    let after = select(&["", "", "", " ", "\t "][..]);
    (select(pool), before, after).prop_map(|((name, value), before, after)| Line {
        name,
        before,
        value: value.into(),
        after,
    })
}

fn trailer() -> impl Strategy<Value = Line> {
    line(&[
        ("X-Checksum", b"abc"),
        ("x-checksum", b"def"),
        ("X-Empty", b""),
        ("X-Bytes", b"\xe9\xff"),
        ("Server-Timing", b"db;dur=53"),
        // Not where it may stand.
        ("Content-Length", b"3"),
        ("Transfer-Encoding", b"chunked"),
        ("Host", b"b.test"),
        ("Authorization", b"Basic eA=="),
        ("X-Forwarded-For", b"192.0.2.66"),
        ("X_Forwarded_For", b"192.0.2.66"),
        ("X-Request-ID", b"mine"),
        ("Set-Cookie", b"a=b"),
        ("Connection", b"close"),
        ("X-A", b"trailer"),
    ])
}
