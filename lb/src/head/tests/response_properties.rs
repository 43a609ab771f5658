use proptest::prelude::*;

use super::{
    super::{
        Field, ResponseFraming, ResponseLimits, ResponseScanner, Slots, Version, parse_response,
        response::reads_by_the_lines, write_field, write_status_line,
    },
    response::{LIMITS, verdict},
    response_scan::drip,
};

/// Field lines that are in order or nearly so.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[A-Za-z0-9-]{1,20}:[ \t]{0,3}[ -~\u{e9}]{0,40}[ \t]{0,3}\r\n",
        1 => "(Content-Length: 0{0,3}[0-9]{1,19}|Transfer-Encoding:\tChunked )\r\n",
        1 => "(Connection: close, |Connection: a b|Connection: Keep-Alive|Upgrade: x)\r\n",
        1 => "[A-Za-z :\t\r\n\u{0}\u{7f}]{0,10}(:| :|)[a-z \t\r\u{b}]{0,5}(\r\n|\n|\r\n )",
    ]
}

/// Heads that are in order or nearly so.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let status_line = prop_oneof![
        6 => "HTTP/1\\.[01] [1-5][0-9]{2}( [ -~\u{e9}\t]{0,20}|)",
        1 => "HTTP/1\\.1 (100|101|204|304)",
        1 => "HTTP/[0-9.]{0,3}[ \t]{0,2}[0-9x]{0,4}[ \t]{0,2}[A-Z\r\n\u{b}]{0,3}",
        1 => "(\r\n| |h)HTTP/1\\.1 200 OK",
    ];
    (status_line, proptest::collection::vec(line(), 0..6)).prop_map(|(status_line, lines)| {
        [&status_line, "\r\n", &lines.concat(), "\r\n"].concat().into_bytes()
    })
}

/// Bytes that are much like a head, or two.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        2 => Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        2 => Just(b"A: b\r\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), any::<u8>()],
            0..8
        ),
        1 => proptest::collection::vec(Just(b'a'), 0..40),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_verdict_is_the_same_however_bytes_are_split(
        bytes in prop_oneof![head(), head_like()],
        cuts in proptest::collection::vec(0_usize..200, 0..6),
        (head_size, fields) in (prop_oneof![0_usize..100, Just(1024)], 0_usize..5),
    ) {
        let limits = ResponseLimits { head_size, fields };
        let whole = ResponseScanner::default().find_end(&bytes, &limits);
        prop_assert_eq!(drip(&bytes, &limits).0, whole);

        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut scanner = ResponseScanner::default();
        let mut verdict = Ok(None);
        for cut in cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([bytes.len()]) {
            verdict = scanner.find_end(&bytes[..cut], &limits);
            if verdict != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(verdict, whole);
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_response(&bytes, &mut Slots::new(), &LIMITS);
        for before in [&b"HTTP/1.1 200 OK\r\n"[..], b"HTTP/1.1 200 ", b"HTTP/1.1 "] {
            let bytes = [before, &bytes, b"\r\n\r\n"].concat();
            let _ = parse_response(&bytes, &mut Slots::new(), &LIMITS);
        }
    }

    #[test]
    fn what_is_parsed_is_what_was_scanned(bytes in head()) {
        if parse_response(&bytes, &mut Slots::new(), &LIMITS).is_ok() {
            prop_assert_eq!(
                ResponseScanner::default().find_end(&bytes, &LIMITS),
                Ok(Some(bytes.len()))
            );
        }
    }

    #[test]
    fn what_is_written_is_read_and_means_the_same(bytes in head()) {
        let mut slots = Slots::new();
        let Ok(sent) = parse_response(&bytes, &mut slots, &LIMITS) else { return Ok(()) };
        let mut written = Vec::new();
        write_status_line(sent.status, sent.reason, &mut written);
        for Field { name, value } in sent.fields() {
            write_field(name, value, &mut written);
        }
        written.extend_from_slice(b"\r\n");
        prop_assert_eq!(verdict(&written), Ok(()));

        let mut slots = Slots::new();
        let read = parse_response(&written, &mut slots, &LIMITS).unwrap();
        prop_assert_eq!((read.version, read.status), (Version::Http11, sent.status));
        prop_assert_eq!(read.reason, sent.reason);
        prop_assert!(read.fields().eq(sent.fields()));
        for method in ["GET", "HEAD", "CONNECT"] {
            prop_assert_eq!(read.framing(method), sent.framing(method));
        }
        if sent.version == Version::Http11 {
            prop_assert_eq!((read.keep_alive, read.upgrade), (sent.keep_alive, sent.upgrade));
        }
    }

    /// Whatever the head says, a response to HEAD and one without a body by its
    /// status end with the head.
    #[test]
    fn bodiless_responses_have_no_body(bytes in head()) {
        let mut slots = Slots::new();
        let Ok(head) = parse_response(&bytes, &mut slots, &LIMITS) else { return Ok(()) };
        prop_assert_eq!(head.framing("HEAD"), ResponseFraming::None);
        if head.status < 200 || matches!(head.status, 204 | 304) {
            prop_assert_eq!(head.framing("GET"), ResponseFraming::None);
        }
    }

    /// Two readers, httparse and the one that explains its refusals, take the
    /// same heads: neither has a lenience that the other does not have.
    #[test]
    fn both_readers_agree(bytes in head()) {
        if ResponseScanner::default().find_end(&bytes, &ResponseLimits::DEFAULT)
            != Ok(Some(bytes.len()))
        {
            return Ok(());
        }
        let mut storage = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut storage);
        let taken = response.parse(&bytes).is_ok_and(|status| status.is_complete());
        prop_assert_eq!(taken, reads_by_the_lines(&bytes), "{}", bytes.escape_ascii());
    }
}
