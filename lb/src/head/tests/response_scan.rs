use super::{
    super::{
        HeadError, MAX_FIELDS, ResponseError, ResponseLimits, ResponseScanner, Slots,
        parse_response,
    },
    response::{LIMITS, read, verdict},
};

/// Feeds `bytes` one by one; gives the verdict and how far it took.
pub(super) fn drip(
    bytes: &[u8],
    limits: &ResponseLimits,
) -> (Result<Option<usize>, ResponseError>, usize) {
    let mut scanner = ResponseScanner::default();
    for fed in 0..=bytes.len() {
        match scanner.find_end(&bytes[..fed], limits) {
            Ok(None) => {}
            verdict => return (verdict, fed),
        }
    }
    (Ok(None), bytes.len())
}

#[test]
fn the_end_is_after_the_blank_line() {
    for (bytes, end) in [
        (&b""[..], None),
        (b"HT", None),
        (b"HTTP/1.1 200 OK\r\n", None),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r", None),
        (b"HTTP/1.1 200\r\n\r\n", Some(16)),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\n\0", Some(25)),
        (b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\n\r\n", Some(17)),
    ] {
        assert_eq!(
            ResponseScanner::default().find_end(bytes, &LIMITS),
            Ok(end),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn hopeless_heads_are_refused_before_they_are_complete() {
    let wide = [b"HTTP/1.1 200 OK\r\nA: ", &[b'a'; 1100][..]].concat();
    let endless = [b"HTTP/1.1 200 ", &[b'a'; 1100][..]].concat();
    let many = [b"HTTP/1.1 200 OK\r\n", &b"A: b\r\n".repeat(17)[..]].concat();
    for (bytes, error, within) in [
        (&b"\r\nHTTP/1.1 200 OK"[..], ResponseError::NotHttp, 1),
        (b"\n", ResponseError::NotHttp, 1),
        (b"\x15\x03\x01", ResponseError::NotHttp, 1),
        (b"http/1.1 200 OK", ResponseError::NotHttp, 1),
        (b"HTTPS/1.1 200 OK", ResponseError::NotHttp, 5),
        (b" HTTP/1.1 200 OK", ResponseError::NotHttp, 1),
        (b"HTTP/1.1 200 OK\nA", HeadError::BareLf.into(), 16),
        (b"HTTP/1.1 200 OK\r\nA: b\nC", HeadError::BareLf.into(), 22),
        (b"HTTP/1.1 200 OK\r\n\nbody", HeadError::BareLf.into(), 18),
        (b"HTTP/1.1 2\0", HeadError::Nul.into(), 11),
        (b"HTTP/1.1 200 OK\r\nA\0", HeadError::Nul.into(), 19),
        (&wide, HeadError::HeadTooLarge.into(), 1024),
        (&endless, HeadError::HeadTooLarge.into(), 1024),
        (&many, HeadError::TooManyFields.into(), 17 + 17 * 6),
    ] {
        let whole = ResponseScanner::default().find_end(bytes, &LIMITS);
        assert_eq!(whole, Err(error), "{}", bytes.escape_ascii());
        assert_eq!(drip(bytes, &LIMITS), (whole, within), "{}", bytes.escape_ascii());
    }
}

#[test]
fn limits_are_exact() {
    let sized =
        |size: usize| [b"HTTP/1.1 200 \r\nA: ", &vec![b'a'; size - 22][..], b"\r\n\r\n"].concat();
    assert_eq!(verdict(&sized(1024)), Ok(()));
    assert_eq!(verdict(&sized(1025)), Err(HeadError::HeadTooLarge.into()));
    assert_eq!(read(&sized(1025), |_| ()), Err(HeadError::HeadTooLarge.into()));

    let lines = |count| [b"HTTP/1.1 200 \r\n", &b"A: b\r\n".repeat(count)[..], b"\r\n"].concat();
    assert_eq!(verdict(&lines(16)), Ok(()));
    assert_eq!(verdict(&lines(17)), Err(HeadError::TooManyFields.into()));
    assert_eq!(read(&lines(17), |_| ()), Err(HeadError::TooManyFields.into()));

    let beyond = ResponseLimits { fields: 1000, ..ResponseLimits::DEFAULT };
    for (count, expected) in
        [(MAX_FIELDS, Ok(())), (MAX_FIELDS + 1, Err(HeadError::TooManyFields.into()))]
    {
        let bytes = lines(count);
        let scanned = ResponseScanner::default().find_end(&bytes, &beyond);
        assert_eq!(scanned.map(|_| ()), expected);
        let parsed = parse_response(&bytes, &mut Slots::new(), &beyond).map(|_| ());
        assert_eq!(parsed, expected);
    }
}

#[test]
fn a_dripped_head_is_looked_at_once() {
    let line = [b"A: ", &[b'a'; 123][..], b"\r\n"].concat();
    let head = [b"HTTP/1.1 200 OK\r\n", &line.repeat(256)[..], b"\r\n"].concat();
    let mut scanner = ResponseScanner::default();
    for fed in 0..head.len() {
        assert_eq!(scanner.find_end(&head[..fed], &ResponseLimits::DEFAULT), Ok(None));
    }
    let end = scanner.find_end(&head, &ResponseLimits::DEFAULT);
    assert_eq!(end, Ok(Some(head.len())));
    assert_eq!(scanner.lines.examined + 1, head.len(), "all but the last byte, which ended it");
}
