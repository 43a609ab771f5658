use proptest::prelude::*;

use super::super::{
    BodyDecoder, BodyError, CHUNK_END, Framing, LAST_CHUNK, Step, write_chunk_header,
};

/// The body, how the decoder ended (`None`: it wants more), and the bytes that
/// were not its own.
type Outcome = (Vec<u8>, Option<Result<(), BodyError>>, Vec<u8>);

/// Decodes `wire`, which comes in pieces that end at `cuts`.
fn decode(framing: Framing, wire: &[u8], cuts: &[usize]) -> Outcome {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut taken) = (Vec::new(), 0);
    for &cut in cuts.iter().chain([&wire.len()]) {
        let arrived = cut.min(wire.len());
        while taken < arrived {
            match decoder.decode(&wire[taken..arrived]) {
                Err(error) => {
                    assert_eq!(decoder.decode(&wire[taken..arrived]), Err(error), "asked again");
                    return (body, Some(Err(error)), Vec::new());
                }
                Ok(Step { consumed, data, done, .. }) => {
                    assert!(data.start <= data.end && data.end <= consumed);
                    body.extend_from_slice(&wire[taken..arrived][data]);
                    taken += consumed;
                    assert_eq!(done, decoder.is_done());
                    if done {
                        return (body, Some(Ok(())), wire[taken..].to_vec());
                    }
                    assert!(consumed > 0, "no progress");
                }
            }
        }
    }
    (body, None, Vec::new())
}

fn chunked(wire: &[u8]) -> Outcome {
    let whole = decode(Framing::Chunked, wire, &[]);
    let each: Vec<usize> = (0..wire.len()).collect();
    assert_eq!(decode(Framing::Chunked, wire, &each), whole, "{}", wire.escape_ascii());
    whole
}

fn refusal(wire: &[u8]) -> Option<BodyError> {
    chunked(wire).1.and_then(Result::err)
}

#[test]
fn a_known_length_ends_by_itself() {
    for framing in [Framing::None, Framing::Length(0)] {
        assert!(BodyDecoder::new(framing).is_done());
        let step = BodyDecoder::new(framing).decode(b"GET").unwrap();
        assert_eq!(step, Step { consumed: 0, data: 0..0, trailers: 0..0, done: true });
    }
    let outcome = decode(Framing::Length(5), b"helloGET", &[1, 2]);
    assert_eq!(outcome, (b"hello".to_vec(), Some(Ok(())), b"GET".to_vec()));
    assert_eq!(decode(Framing::Length(5), b"hell", &[]), (b"hell".to_vec(), None, Vec::new()));
}

#[test]
fn chunks_become_one_body() {
    for (wire, body) in [
        (&b"0\r\n\r\nGET"[..], &b""[..]),
        (b"5\r\nhello\r\n0\r\n\r\nGET", b"hello"),
        (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\nGET", b"hello"),
        (b"0000000000000005\r\nhello\r\n00\r\n\r\nGET", b"hello"),
        (
            b"A\r\n0123456789\r\na\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\nGET",
            b"0123456789\r\n\r\n\r\n\r\n\r\n",
        ),
        (b"5;a=b;c=\"d\te\"\r\nhello\r\n0;x\r\n\r\nGET", b"hello"),
        (b"5;\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\nGET", b"hello"),
    ] {
        let expected = (body.to_vec(), Some(Ok(())), b"GET".to_vec());
        assert_eq!(chunked(wire), expected, "{}", wire.escape_ascii());
    }
}

#[test]
fn one_step_takes_framing_around_the_data() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let step = decoder.decode(b"5\r\nhello\r\n0\r\n\r\nGET").unwrap();
    assert_eq!(step, Step { consumed: 15, data: 3..8, trailers: 13..15, done: true });
}

#[test]
fn sizes_are_hexadecimal_digits_and_nothing_else() {
    use BodyError::*;
    for (wire, error) in [
        (&b"\r\n"[..], MissingChunkSize),
        (b";a\r\n", MissingChunkSize),
        (b" 5\r\n", MissingChunkSize),
        (b"+5\r\n", MissingChunkSize),
        (b"-5\r\n", MissingChunkSize),
        (b"g\r\n", MissingChunkSize),
        (b"0x5\r\n", BadChunkSize),
        (b"5 \r\n", BadChunkSize),
        (b"5\t;a\r\n", BadChunkSize),
        (b"5 ;a\r\n", BadChunkSize),
        (b"5_0\r\n", BadChunkSize),
        (b"5\0\r\n", BadChunkSize),
        (b"\n", BareLf),
        (b"5\nhello", BareLf),
        (b"5\rhello", BareCr),
        (b"5\r\r\n", BareCr),
        (b"10000000000000000\r\n", ChunkSizeTooLong),
        (b"00000000000000005\r\n", ChunkSizeTooLong),
        (b"5;a\nhello", BareLf),
        (b"5;a\rb\r\n", BareCr),
        (b"5;a\x0b\r\n", BadExtension),
        (b"5;a\0\r\n", BadExtension),
        (b"5;a\x7f\r\n", BadExtension),
    ] {
        assert_eq!(refusal(wire), Some(error), "{}", wire.escape_ascii());
    }
    assert_eq!(chunked(b"ffffffffffffffff\r\nhello"), (b"hello".to_vec(), None, Vec::new()));
}

#[test]
fn chunks_end_where_their_size_says() {
    for (wire, error) in [
        (&b"5\r\nhello!\r\n"[..], BodyError::MissingChunkEnd),
        (b"5\r\nhello0\r\n\r\n", BodyError::MissingChunkEnd),
        (b"5\r\nhello\n", BodyError::MissingChunkEnd),
        (b"5\r\nhello\r0\r\n\r\n", BodyError::BareCr),
    ] {
        let outcome = (b"hello".to_vec(), Some(Err(error)), Vec::new());
        assert_eq!(chunked(wire), outcome, "{}", wire.escape_ascii());
    }
}

#[test]
fn extensions_are_bounded() {
    let one = |length: usize| [b"1;", &vec![b'a'; length - 1][..], b"\r\nx\r\n"].concat();
    assert_eq!(refusal(&one(256)), None);
    assert_eq!(refusal(&one(257)), Some(BodyError::ExtensionTooLong));
    assert_eq!(refusal(&one(256).repeat(64)), None);
    let more = [&one(256).repeat(64)[..], b"1;"].concat();
    assert_eq!(refusal(&more), Some(BodyError::TooManyExtensions));
}

#[test]
fn trailers_are_fields_and_bounded() {
    use BodyError::*;
    let long = [b"A:", &[b'a'; 8 * 1024][..]].concat();
    let many = b"A:b\r\n".repeat(65);
    for (trailers, error) in [
        (&b" A: b\r\n"[..], TrailerFold),
        (b"A: b\r\n c\r\n", TrailerFold),
        (b": b\r\n", BadTrailerName),
        (b"A\r\n", BadTrailerName),
        (b"A : b\r\n", BadTrailerName),
        (b"A: b\x0b\r\n", BadTrailerValue),
        (b"A: b\0\r\n", BadTrailerValue),
        (b"A: b\n\r\n", BareLf),
        (b"\n", BareLf),
        (b"A: b\rc", BareCr),
        (b"\r\r\n", BareCr),
        (&long, TrailersTooLarge),
        (&many, TooManyTrailers),
    ] {
        let wire = [b"0\r\n", trailers].concat();
        assert_eq!(refusal(&wire), Some(error), "{}", trailers.escape_ascii());
    }
    let wire = [b"0\r\n", &b"A:b\r\n".repeat(64)[..], b"\r\n"].concat();
    assert_eq!(chunked(&wire).1, Some(Ok(())));
}

#[test]
fn chunk_headers_are_lower_case_and_without_zeros() {
    for (length, header) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0xabcdef, "abcdef\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut out = Vec::new();
        write_chunk_header(length, &mut out);
        assert_eq!(out, header.as_bytes());
    }
}

/// Bytes that are much like chunks.
fn chunk_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "(3\r\nabc\r\n|2;x=y\r\nab\r\n|1\r\n\n\r\n)",
        1 => "(0\r\n|0\r\n\r\n|A: b\r\n|\r\n|\n|\r| |5|;|x)",
        1 => "[0-9a-f\r\n:; \u{0}]{0,6}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_body_is_the_same_however_it_is_split(
        wire in prop_oneof![chunk_like(), proptest::collection::vec(any::<u8>(), 0..60)],
        framing in prop_oneof![
            Just(Framing::Chunked), Just(Framing::None), (0_u64..40).prop_map(Framing::Length)
        ],
        cuts in proptest::collection::vec(0_usize..60, 0..6),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let each: Vec<usize> = (0..wire.len()).collect();
        let whole = decode(framing, &wire, &[]);
        prop_assert_eq!(&decode(framing, &wire, &cuts), &whole);
        prop_assert_eq!(&decode(framing, &wire, &each), &whole);
    }

    #[test]
    fn what_is_encoded_is_decoded(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            write_chunk_header(chunk.len(), &mut wire);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(CHUNK_END);
        }
        wire.extend_from_slice(LAST_CHUNK);
        wire.extend_from_slice(b"GET");
        prop_assert_eq!(chunked(&wire), (chunks.concat(), Some(Ok(())), b"GET".to_vec()));
    }
}
