use proptest::prelude::*;

use super::super::{HeadError, HeadLimits, Scanner, Slots, parse};
use super::{LIMITS, verdict};

/// Feeds `bytes` one by one; gives the verdict and how far it took.
fn drip(bytes: &[u8], limits: &HeadLimits) -> (Result<Option<usize>, HeadError>, usize) {
    let mut scanner = Scanner::default();
    for fed in 0..=bytes.len() {
        match scanner.find_end(&bytes[..fed], limits) {
            Ok(None) => {}
            verdict => return (verdict, fed),
        }
    }
    (Ok(None), bytes.len())
}

fn scan(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
    Scanner::default().find_end(bytes, &LIMITS)
}

#[test]
fn the_end_is_after_the_blank_line() {
    for (bytes, end) in [
        (&b""[..], None),
        (b"GET / HTTP/1.1\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", None),
        (b"GET / HTTP/1.1\r\n\r\n", Some(18)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\n\0", Some(27)),
        (b"\r\nGET / HTTP/1.1\r\n\r\nGET", Some(20)),
        (b"\r\n", None),
        // It may still become the signature of PROXY protocol, version 2.
        (b"\r\n\r\n", None),
    ] {
        assert_eq!(scan(bytes), Ok(end), "{}", bytes.escape_ascii());
    }
}

#[test]
fn other_protocols_are_told_apart() {
    for (bytes, error) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], HeadError::TlsOnPlain),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadError::Http2Preface),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", HeadError::UnexpectedProxyHeader),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", HeadError::UnexpectedProxyHeader),
    ] {
        assert_eq!(scan(bytes), Err(error), "{}", bytes.escape_ascii());
        assert_eq!(drip(bytes, &LIMITS).0, Err(error), "{}", bytes.escape_ascii());
    }
    assert_eq!(drip(b"\x16\x03\x01", &LIMITS).1, 2);
    assert_eq!(drip(b"PROXY TCP4", &LIMITS).1, 6);
}

#[test]
fn hopeless_heads_are_refused_before_they_are_complete() {
    let long_target = [b"GET /", &[b'a'; 400][..]].concat();
    let no_method = vec![b'a'; 400];
    let wide = [b"GET / HTTP/1.1\r\nA: ", &[b'a'; 1100][..]].concat();
    let many = [b"GET / HTTP/1.1\r\n", &b"A: b\r\n".repeat(17)[..]].concat();
    for (bytes, error, within) in [
        (&b" GET / HTTP/1.1"[..], HeadError::BadMethod, 1),
        (b"\xef\xbb\xbfGET /", HeadError::BadMethod, 1),
        (b"\x16\x02", HeadError::BadMethod, 2),
        (b"\r\n GET", HeadError::BadMethod, 3),
        (b"\nGET / HTTP/1.1", HeadError::BareLf, 1),
        (b"GET / HTTP/1.1\nHost", HeadError::BareLf, 15),
        (b"GET / HTTP/1.1\r\nA: b\nHost", HeadError::BareLf, 21),
        (b"GET / HTTP/1.1\r\n\nGET", HeadError::BareLf, 17),
        (b"GE\0 / HTTP/1.1", HeadError::Nul, 3),
        (b"GET / HTTP/1.1\r\nA\0", HeadError::Nul, 18),
        (b"\r\n\r\nGET", HeadError::LeadingEmptyLines, 5),
        (&long_target, HeadError::UriTooLong, 256 + 44),
        (&no_method, HeadError::BadRequestLine, 256 + 44),
        (&wide, HeadError::HeadTooLarge, 16 + 1024 + 2),
        (&many, HeadError::TooManyFields, 16 + 17 * 6),
    ] {
        let expected = (Err(error), within);
        assert_eq!(drip(bytes, &LIMITS), expected, "{}", bytes.escape_ascii());
        assert_eq!(scan(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn limits_are_exact() {
    let target = |length: usize| {
        [b"GET /", &vec![b'a'; length - 1][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()
    };
    assert_eq!(verdict(&target(256)), Ok(()));
    assert_eq!(verdict(&target(257)), Err(HeadError::UriTooLong));

    let fields =
        |size: usize| [b"GET / HTTP/1.1\r\nA: ", &vec![b'a'; size - 5][..], b"\r\n\r\n"].concat();
    assert_eq!(verdict(&fields(1024)), Ok(()));
    assert_eq!(verdict(&fields(1025)), Err(HeadError::HeadTooLarge));

    let lines = |count| [b"GET / HTTP/1.1\r\n", &b"A: b\r\n".repeat(count)[..], b"\r\n"].concat();
    assert_eq!(verdict(&lines(16)), Ok(()));
    assert_eq!(verdict(&lines(17)), Err(HeadError::TooManyFields));
    let beyond = HeadLimits { headers: 1000, header_size: 10_000, ..LIMITS };
    assert_eq!(
        Scanner::default().find_end(&lines(257), &beyond),
        Err(HeadError::TooManyFields),
        "more than there are slots"
    );
    assert_eq!(
        parse(&lines(257), &mut Slots::new(), &beyond).map(|_| ()),
        Err(HeadError::TooManyFields)
    );
    assert!(parse(&lines(256), &mut Slots::new(), &beyond).is_ok());
}

#[test]
fn sizes_count_as_fields_are_written() {
    // 5 bytes sent, 6 written: `A: ` and the line end.
    let lines = [b"GET / HTTP/1.1\r\n", &b"A:b\r\n".repeat(10)[..], b"\r\n"].concat();
    let limits = |header_size| HeadLimits { header_size, ..LIMITS };
    let parse = |limits| parse(&lines, &mut Slots::new(), &limits).map(|_| ());
    assert_eq!(parse(limits(60)), Ok(()));
    assert_eq!(parse(limits(59)), Err(HeadError::HeadTooLarge));
}

#[test]
fn a_dripped_head_is_looked_at_once() {
    let limits = HeadLimits { header_size: 40 * 1024, headers: 256, uri: 8 * 1024 };
    let line = [b"A: ", &[b'a'; 123][..], b"\r\n"].concat();
    let head = [b"GET / HTTP/1.1\r\n", &line.repeat(256)[..], b"\r\n"].concat();
    assert!(head.len() > 32 * 1024);
    let mut scanner = Scanner::default();
    for fed in 1..head.len() {
        assert_eq!(scanner.find_end(&head[..fed], &limits), Ok(None));
    }
    assert_eq!(scanner.find_end(&head, &limits), Ok(Some(head.len())));
    assert_eq!(scanner.lines.examined + 1, head.len(), "all but the last byte, which ended it");
}

/// Bytes that are much like a head.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n\0\r\nQUIT\n".to_vec()),
        Just(b"PROXY ".to_vec()),
        Just(b"PRI * HTTP/2.0\r\n".to_vec()),
        Just(b"\x16\x03".to_vec()),
        proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), any::<u8>()],
            0..8
        ),
        proptest::collection::vec(Just(b'a'), 0..40),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_verdict_is_the_same_however_bytes_are_split(
        bytes in head_like(),
        cuts in proptest::collection::vec(0_usize..200, 0..6),
        (header_size, headers, uri) in (0_usize..60, 0_usize..5, 0_usize..40),
    ) {
        let limits = HeadLimits { header_size, headers, uri };
        let whole = Scanner::default().find_end(&bytes, &limits);
        prop_assert_eq!(drip(&bytes, &limits).0, whole);

        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut scanner = Scanner::default();
        let mut verdict = Ok(None);
        for cut in cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([bytes.len()]) {
            verdict = scanner.find_end(&bytes[..cut], &limits);
            if verdict != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(verdict, whole);
    }
}
