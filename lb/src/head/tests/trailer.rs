use proptest::prelude::*;

use super::super::{
    BodyDecoder, BodyError, CHUNK_END, Field, ResponseFraming, may_pass_in_trailer, trailer_fields,
    write_chunk_header, write_field,
};

/// What became of a response body.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    body: Vec<u8>,
    trailers: Vec<u8>,
    /// The bytes that were not its own.
    rest: Vec<u8>,
    error: Option<BodyError>,
    done: bool,
    /// Whether it may end where the bytes end.
    finished: bool,
}

/// Decodes `wire`, which comes in pieces that end at `cuts`; then the connection
/// is closed.
fn decode(framing: ResponseFraming, wire: &[u8], cuts: &[usize]) -> Decoded {
    let mut decoder = BodyDecoder::for_response(framing);
    let mut decoded = Decoded::default();
    let mut taken = 0;
    for &cut in cuts.iter().chain([&wire.len()]) {
        let arrived = cut.min(wire.len());
        while taken < arrived && !decoder.is_done() {
            let input = &wire[taken..arrived];
            match decoder.decode(input) {
                // How many of the trailers came before it depends on the cuts.
                Err(error) => {
                    return Decoded {
                        error: Some(error),
                        body: decoded.body,
                        ..Decoded::default()
                    };
                }
                Ok(step) => {
                    assert!(step.consumed > 0, "no progress");
                    assert!(step.data.end <= step.trailers.start || step.data.is_empty());
                    assert_eq!(step.trailers.end, step.consumed);
                    assert_eq!(step.done, decoder.is_done());
                    decoded.body.extend_from_slice(&input[step.data]);
                    decoded.trailers.extend_from_slice(&input[step.trailers]);
                    taken += step.consumed;
                }
            }
        }
    }
    decoded.rest = wire[taken..].to_vec();
    decoded.done = decoder.is_done();
    decoded.finished = decoder.finish();
    assert_eq!(decoder.is_done(), decoded.finished);
    decoded
}

/// The same however it is cut.
fn decode_evenly(framing: ResponseFraming, wire: &[u8]) -> Decoded {
    let whole = decode(framing, wire, &[]);
    for step in 1..=7 {
        let cuts: Vec<usize> = (0..wire.len()).step_by(step).collect();
        assert_eq!(decode(framing, wire, &cuts), whole, "{} by {step}", wire.escape_ascii());
    }
    whole
}

#[test]
fn bodies_end_as_their_framing_says() {
    for (framing, wire, body, rest, done, finished) in [
        (ResponseFraming::None, "HTTP", "", "HTTP", true, true),
        (ResponseFraming::Length(0), "HTTP", "", "HTTP", true, true),
        (ResponseFraming::Length(5), "helloHTTP", "hello", "HTTP", true, true),
        (ResponseFraming::Length(5), "hell", "hell", "", false, false),
        (ResponseFraming::Chunked, "5\r\nhello\r\n0\r\n\r\nHTTP", "hello", "HTTP", true, true),
        (ResponseFraming::Chunked, "5\r\nhello\r\n", "hello", "", false, false),
        (ResponseFraming::Chunked, "5\r\nhello\r\n0\r\n", "hello", "", false, false),
        (ResponseFraming::Chunked, "", "", "", false, false),
        (ResponseFraming::UntilClose, "hello\r\n0\r\n\r\n", "hello\r\n0\r\n\r\n", "", false, true),
        (ResponseFraming::UntilClose, "", "", "", false, true),
    ] {
        let decoded = decode_evenly(framing, wire.as_bytes());
        let found = (&decoded.body[..], &decoded.rest[..], decoded.done, decoded.finished);
        let expected = (body.as_bytes(), rest.as_bytes(), done, finished);
        assert_eq!(found, expected, "{framing:?} {wire:?}");
    }
    assert_eq!(BodyDecoder::for_response(ResponseFraming::Length(5)).length_left(), Some(5));
    assert_eq!(BodyDecoder::for_response(ResponseFraming::UntilClose).length_left(), None);
}

#[test]
fn trailers_are_pointed_out_with_their_blank_line() {
    for (wire, trailers) in [
        ("0\r\n\r\n", "\r\n"),
        ("0\r\nA: b\r\n\r\nHTTP", "A: b\r\n\r\n"),
        ("1\r\nx\r\n0;e=\"f: g\"\r\nA: b\r\nC:\r\n\r\nHTTP", "A: b\r\nC:\r\n\r\n"),
        ("5\r\n0\r\n\r\n\r\n0\r\nA: b\r\n\r\n", "A: b\r\n\r\n"),
        ("1\r\nx\r\n0\r\nA: b", "A: b"),
        ("1\r\nx\r\n0\r\n", ""),
        ("1\r\nx\r\n", ""),
    ] {
        let decoded = decode_evenly(ResponseFraming::Chunked, wire.as_bytes());
        assert_eq!(decoded.error, None);
        assert_eq!(
            decoded.trailers.escape_ascii().to_string(),
            trailers.as_bytes().escape_ascii().to_string()
        );
    }
}

#[test]
fn one_step_has_data_and_trailers() {
    let mut decoder = BodyDecoder::for_response(ResponseFraming::Chunked);
    let step = decoder.decode(b"2\r\nhi\r\n0\r\nA: b\r\n\r\nHTTP").unwrap();
    assert_eq!((step.consumed, step.data, step.trailers, step.done), (18, 3..5, 10..18, true));
}

#[test]
fn what_is_wrong_in_trailers_is_found_after_the_data_is_delivered() {
    let mut decoder = BodyDecoder::for_response(ResponseFraming::Chunked);
    let wire = b"2\r\nhi\r\n0\r\nA : b\r\n\r\n";
    let step = decoder.decode(wire).unwrap();
    assert_eq!((step.consumed, step.data, step.trailers, step.done), (5, 3..5, 5..5, false));
    assert_eq!(decoder.decode(&wire[5..]), Err(BodyError::BadTrailerName));
    assert!(!decoder.finish());
}

#[test]
fn trailer_fields_are_trimmed() {
    let section = b"A:b\r\nx-Two: \t c:  d \t\r\nEmpty:\r\nA: \xff\r\n\r\n";
    let fields: Vec<Field<'_>> = trailer_fields(section).collect();
    assert_eq!(
        fields,
        [
            Field { name: "A", value: b"b" },
            Field { name: "x-Two", value: b"c:  d" },
            Field { name: "Empty", value: b"" },
            Field { name: "A", value: b"\xff" },
        ]
    );
    assert_eq!(trailer_fields(b"\r\n").count(), 0);
    assert_eq!(trailer_fields(b"").count(), 0);
}

#[test]
fn what_belongs_into_a_head_does_not_pass_in_a_trailer() {
    for name in [
        "Server-Timing",
        "grpc-status",
        "grpc-message",
        "Digest",
        "Content-Digest",
        "ETag",
        "x-checksum",
        "x-forwarded",
        "ifx",
        "Hosts",
        "Dat",
        "Aged",
        "",
    ] {
        assert!(may_pass_in_trailer(name), "{name:?}");
    }
    for name in [
        "content-length",
        "transfer-encoding",
        "trailer",
        "connection",
        "te",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "content-encoding",
        "content-type",
        "content-range",
        "host",
        "authorization",
        "proxy-authorization",
        "www-authenticate",
        "proxy-authenticate",
        "cookie",
        "set-cookie",
        "cache-control",
        "expect",
        "max-forwards",
        "pragma",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "age",
        "date",
        "expires",
        "location",
        "retry-after",
        "vary",
        "warning",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-real-ip",
        "x-request-id",
        "x-client-cert-subject",
        "x-client-cert-fingerprint",
    ] {
        for spelt in [name.to_owned(), name.to_uppercase(), name.replace('-', "_")] {
            assert!(!may_pass_in_trailer(&spelt), "{spelt:?}");
        }
    }
    assert!(!may_pass_in_trailer("X-Forwarded_For"));
}

/// Bytes that are much like a chunked body with trailers.
fn chunk_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "(3\r\nabc\r\n|2;x=y\r\nab\r\n|1\r\n\n\r\n)",
        3 => "(0\r\n|0;x\r\n|0\r\n\r\n|A: b\r\n|c_D:\r\n|\r\n)",
        1 => "[0-9a-f\r\n:; \u{0}]{0,6}",
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_body_and_its_trailers_are_the_same_however_they_are_split(
        wire in prop_oneof![chunk_like(), proptest::collection::vec(any::<u8>(), 0..60)],
        framing in prop_oneof![
            4 => Just(ResponseFraming::Chunked),
            1 => Just(ResponseFraming::None),
            1 => Just(ResponseFraming::UntilClose),
            1 => (0_u64..40).prop_map(ResponseFraming::Length),
        ],
        cuts in proptest::collection::vec(0_usize..60, 0..6),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = decode_evenly(framing, &wire);
        prop_assert_eq!(decode(framing, &wire, &cuts), whole);
    }

    #[test]
    fn what_is_written_is_read(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6),
        fields in proptest::collection::vec(("[!#-'*+.0-9A-Z^-z|~-]{1,12}", "([!-~\u{e9}]([ -~]{0,20}[!-~])?)?"), 0..6),
        cuts in proptest::collection::vec(0_usize..400, 0..6),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut wire = Vec::new();
        for chunk in &chunks {
            write_chunk_header(chunk.len(), &mut wire);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(CHUNK_END);
        }
        wire.extend_from_slice(b"0\r\n");
        for (name, value) in &fields {
            write_field(name, value.as_bytes(), &mut wire);
        }
        wire.extend_from_slice(b"\r\nHTTP");

        let decoded = decode(ResponseFraming::Chunked, &wire, &cuts);
        prop_assert_eq!(decoded.error, None);
        prop_assert!(decoded.done);
        prop_assert_eq!(decoded.body, chunks.concat());
        prop_assert_eq!(decoded.rest, b"HTTP");
        let read: Vec<Field<'_>> = trailer_fields(&decoded.trailers).collect();
        let sent = fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() });
        prop_assert_eq!(read, sent.collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_split_into_fields_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        for field in trailer_fields(&bytes) {
            may_pass_in_trailer(field.name);
        }
    }
}
