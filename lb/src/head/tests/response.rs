use super::super::{
    Field, HeadError, ResponseError, ResponseFraming, ResponseHead, ResponseLimits,
    ResponseScanner, Slots, Version, parse_response, write_status_line,
};

pub(super) const LIMITS: ResponseLimits = ResponseLimits { head_size: 1024, fields: 16 };

/// The verdict on `head` of scanner and parser together; they agree on the end.
pub(super) fn verdict(head: &[u8]) -> Result<(), ResponseError> {
    let end = ResponseScanner::default().find_end(head, &LIMITS)?;
    assert_eq!(end, Some(head.len()), "{}", head.escape_ascii());
    read(head, |_| ())
}

pub(super) fn read<T>(
    head: &[u8],
    look: impl FnOnce(ResponseHead<'_, '_>) -> T,
) -> Result<T, ResponseError> {
    parse_response(head, &mut Slots::new(), &LIMITS).map(look)
}

/// What `look` sees in a response with this status and these field lines.
fn look<T>(
    status: &str,
    lines: &str,
    look: impl FnOnce(ResponseHead<'_, '_>) -> T,
) -> Result<T, ResponseError> {
    read(format!("HTTP/1.1 {status}\r\n{lines}\r\n").as_bytes(), look)
}

fn fields(lines: &str) -> Result<(), ResponseError> {
    verdict(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes())
}

#[test]
fn an_ordinary_head_is_read() {
    let bytes = b"HTTP/1.1 200 All right\r\nServer:\t a  b \t\r\nX-Two:\r\nx-two: c\r\n\
                  Connection: x,, Keep-Alive\r\nContent-Length: 007\r\n\r\n";
    assert_eq!(verdict(bytes), Ok(()));
    let mut slots = Slots::new();
    let head = parse_response(bytes, &mut slots, &LIMITS).unwrap();
    assert_eq!((head.version, head.status, head.reason), (Version::Http11, 200, &b"All right"[..]));
    assert!(head.keep_alive && !head.upgrade && !head.is_interim());
    assert_eq!(head.framing("GET"), ResponseFraming::Length(7));
    assert_eq!(head.first("SERVER"), Some(&b"a  b"[..]));
    assert_eq!(head.first("absent"), None);
    assert_eq!(head.fields().nth(2), Some(Field { name: "x-two", value: b"c" }));
    assert_eq!(head.fields().next_back().map(|field| field.name), Some("Content-Length"));
}

#[test]
fn status_lines_are_held_to_the_grammar() {
    use HeadError::{BadVersion, BareCr, NotOneHead, UnsupportedVersion};
    use ResponseError::{BadReason, BadStatus, Head, NotHttp};
    for (line, expected) in [
        ("HTTP/1.1 200 OK", Ok(())),
        ("HTTP/1.0 200 OK", Ok(())),
        ("HTTP/1.1 200 ", Ok(())),
        ("HTTP/1.1 200", Ok(())),
        ("HTTP/1.1 100", Ok(())),
        ("HTTP/1.1 999 ?", Ok(())),
        ("HTTP/1.1 200  two\tspaces ", Ok(())),
        ("HTTP/1.1 200 \u{e9}", Ok(())),
        ("HTTP/1.1 099 OK", Err(BadStatus)),
        ("HTTP/1.1 000 OK", Err(BadStatus)),
        ("HTTP/1.1 20 OK", Err(BadStatus)),
        ("HTTP/1.1 2000 OK", Err(BadStatus)),
        ("HTTP/1.1 20x OK", Err(BadStatus)),
        ("HTTP/1.1 +20 OK", Err(BadStatus)),
        ("HTTP/1.1 -20 OK", Err(BadStatus)),
        ("HTTP/1.1 2.0 OK", Err(BadStatus)),
        ("HTTP/1.1  200 OK", Err(BadStatus)),
        ("HTTP/1.1 200\tOK", Err(BadStatus)),
        ("HTTP/1.1 200OK", Err(BadStatus)),
        ("HTTP/1.1 OK", Err(BadStatus)),
        ("HTTP/1.1 ", Err(BadStatus)),
        ("HTTP/1.1", Err(BadStatus)),
        ("HTTP/1.1 200 \x0b", Err(BadReason)),
        ("HTTP/1.1 200 O\x7fK", Err(BadReason)),
        ("HTTP/1.1 200 \x1b[31m", Err(BadReason)),
        ("HTTP/1.1 200 O\rK", Err(Head(BareCr))),
        ("HTTP/1.1 200 OK\r", Err(Head(BareCr))),
        ("HTTP/1.1 200\r", Err(Head(BareCr))),
        ("HTTP/1.2 200 OK", Err(Head(UnsupportedVersion))),
        ("HTTP/0.9 200 OK", Err(Head(UnsupportedVersion))),
        ("HTTP/2.0 200 OK", Err(Head(UnsupportedVersion))),
        ("HTTP/2 200 OK", Err(Head(BadVersion))),
        ("HTTP/1 200 OK", Err(Head(BadVersion))),
        ("HTTP/1.10 200 OK", Err(Head(BadVersion))),
        ("HTTP/1,1 200 OK", Err(Head(BadVersion))),
        ("HTTP/ 200 OK", Err(Head(BadVersion))),
        ("HTTP/1.1\t200 OK", Err(Head(BadVersion))),
        ("http/1.1 200 OK", Err(NotHttp)),
        ("ICY 200 OK", Err(NotHttp)),
        ("\r\nHTTP/1.1 200 OK", Err(NotHttp)),
        ("", Err(NotHttp)),
    ] {
        let head = format!("{line}\r\nA: b\r\n\r\n");
        assert_eq!(verdict(head.as_bytes()), expected, "{line:?}");
    }
    for bytes in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nA: b\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nbody",
        b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\n\r\n",
    ] {
        assert_eq!(read(bytes, |_| ()), Err(Head(NotOneHead)), "{}", bytes.escape_ascii());
    }
    assert_eq!(read(b"", |_| ()), Err(NotHttp));
}

#[test]
fn reasons_are_kept_as_they_were_sent() {
    for (rest, reason) in [
        ("", ""),
        (" ", ""),
        (" OK", "OK"),
        (" Not Found ", "Not Found "),
        ("  a\tb", " a\tb"),
        (" caf\u{e9}", "caf\u{e9}"),
    ] {
        let head = format!("HTTP/1.1 200{rest}\r\nA: b\r\n\r\n");
        let found = read(head.as_bytes(), |head| head.reason.to_vec());
        assert_eq!(found, Ok(reason.as_bytes().to_vec()), "{rest:?}");
    }
    let found = read(b"HTTP/1.1 200 \xff\x80\r\n\r\n", |head| head.reason.to_vec());
    assert_eq!(found, Ok(b"\xff\x80".to_vec()));
}

#[test]
fn field_lines_are_held_to_the_grammar() {
    use HeadError::*;
    for (lines, expected) in [
        ("A:b\r\n", Ok(())),
        ("A: \t b\tc \u{e9} \t\r\n", Ok(())),
        ("!#$%&'*+-.^_`|~09azAZ: x\r\n", Ok(())),
        (" A: b\r\n", Err(SpaceBeforeFirstField)),
        ("A: b\r\n c\r\n", Err(ObsFold)),
        ("A: b\r\n\tc\r\n", Err(ObsFold)),
        ("A : b\r\n", Err(SpaceBeforeColon)),
        ("Content-Length\t: 5\r\n", Err(SpaceBeforeColon)),
        (": b\r\n", Err(EmptyFieldName)),
        ("A\r\n", Err(BadFieldName)),
        ("A b: c\r\n", Err(BadFieldName)),
        ("A\u{e9}: b\r\n", Err(BadFieldName)),
        ("A: b\rc\r\n", Err(BareCr)),
        ("A: b\r\r\n", Err(BareCr)),
        ("A: b\nC: d\r\n", Err(BareLf)),
        ("A: b\0\r\n", Err(Nul)),
        ("A: \x0b\r\n", Err(ControlInValue)),
        ("A: b\x7f\r\n", Err(ControlInValue)),
    ] {
        assert_eq!(fields(lines), expected.map_err(ResponseError::Head), "{lines:?}");
    }
    for byte in (0..=0x1f).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')) {
        for value in [vec![byte], vec![b'a', byte], [&[b'a'; 60][..], &[byte, b'a']].concat()] {
            let head = [b"HTTP/1.1 200 OK\r\nA: ", &value[..], b"\r\n\r\n"].concat();
            assert!(verdict(&head).is_err(), "{byte:#x}");
        }
    }
}

#[test]
fn contradictory_framing_is_refused() {
    use HeadError::*;
    for (lines, error) in [
        ("Content-Length:\r\n", BadLength),
        ("Content-Length: +5\r\n", BadLength),
        ("Content-Length: 5, 5\r\n", BadLength),
        ("Content-Length: 0x5\r\n", BadLength),
        ("Content-Length: 18446744073709551616\r\n", BadLength),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", RepeatedLength),
        ("Content-Length: 5\r\nA: b\r\nContent-Length: 6\r\n", RepeatedLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", LengthAndCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", BadCoding),
        ("Transfer-Encoding: identity\r\n", BadCoding),
        ("Transfer-Encoding: chunked, chunked\r\n", BadCoding),
        ("Transfer-Encoding:\r\n", BadCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", RepeatedCoding),
    ] {
        assert_eq!(fields(lines), Err(error.into()), "{lines:?}");
        // Also where there is no body: the next reader may look for one.
        assert_eq!(look("204 ", lines, |_| ()), Err(error.into()), "{lines:?}");
    }
    let chunked = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(verdict(chunked), Err(HeadError::CodingOnHttp10.into()));
}

#[test]
fn framing_follows_status_and_method_before_the_fields() {
    use ResponseFraming::*;
    let (length, chunked) = ("Content-Length: 5\r\n", "transfer-encoding: CHUNKED\r\n");
    for (method, status, lines, framing) in [
        ("GET", "200", "", UntilClose),
        ("GET", "200", length, Length(5)),
        ("GET", "200", "Content-Length: 0\r\n", Length(0)),
        ("GET", "200", chunked, Chunked),
        ("POST", "404", chunked, Chunked),
        ("GET", "205", length, Length(5)),
        ("GET", "999", length, Length(5)),
        ("HEAD", "200", "", None),
        ("HEAD", "200", length, None),
        ("HEAD", "200", chunked, None),
        ("HEAD", "404", length, None),
        // Methods are told apart by case (RFC 9110 §9.1).
        ("head", "200", length, Length(5)),
        ("GET", "204", "", None),
        ("GET", "204", length, None),
        ("GET", "204", chunked, None),
        ("GET", "304", "", None),
        ("GET", "304", length, None),
        ("GET", "304", chunked, None),
        ("GET", "100", "", None),
        ("GET", "101", "", None),
        ("GET", "103", "Content-Length: 0\r\n", None),
        ("CONNECT", "200", length, None),
        ("CONNECT", "299", chunked, None),
        ("CONNECT", "404", length, Length(5)),
    ] {
        let found = look(status, lines, |head| head.framing(method));
        assert_eq!(found, Ok(framing), "{method} {status} {lines:?}");
    }
}

#[test]
fn a_1xx_announces_no_body() {
    for status in ["100", "101", "103", "199"] {
        for lines in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
            let verdict = look(status, lines, |_| ());
            assert_eq!(verdict, Err(ResponseError::InterimBody), "{status} {lines:?}");
        }
    }
    for (status, interim) in [("100", true), ("101", false), ("102", true), ("199", true)] {
        assert_eq!(look(status, "", |head| head.is_interim()), Ok(interim), "{status}");
    }
    for status in ["200", "204", "304", "500", "999"] {
        assert_eq!(look(status, "", |head| head.is_interim()), Ok(false), "{status}");
    }
}

#[test]
fn the_head_says_what_becomes_of_the_connection() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (status_line, lines, keep_alive, upgrade) in [
        ("1.1 200", "", true, false),
        ("1.1 200", "Connection: close\r\n", false, false),
        ("1.1 200", "Connection: a\r\nConnection: b , CLOSE\r\n", false, false),
        ("1.1 200", "Connection: keep-alive, close\r\n", false, false),
        ("1.1 200", "Connection: , ,\r\n", true, false),
        ("1.0 200", "", false, false),
        ("1.0 200", "Connection: Keep-Alive\r\n", true, false),
        ("1.0 200", "Connection: keep-alive, close\r\n", false, false),
        ("1.1 101", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true, true),
        ("1.1 101", "Connection: upgrade\r\n", true, false),
        ("1.1 101", "Upgrade: websocket\r\n", true, false),
        ("1.0 101", "Connection: upgrade\r\nUpgrade: websocket\r\n", false, false),
        // Some option was meant; it may have been `close`.
        ("1.1 200", "Connection: close;\r\n", false, false),
        ("1.1 200", "Connection: keep alive\r\n", false, false),
        ("1.1 200", "Connection: a, \"b\"\r\n", false, false),
        // The body that must not be there may follow.
        ("1.1 204", chunked, false, false),
        ("1.1 204", "Content-Length: 5\r\n", false, false),
        ("1.1 204", "Content-Length: 0\r\n", true, false),
        ("1.1 304", chunked, true, false),
        ("1.1 304", "Content-Length: 5\r\n", true, false),
    ] {
        let head = format!("HTTP/{status_line}\r\n{lines}\r\n");
        let found = read(head.as_bytes(), |head| (head.keep_alive, head.upgrade));
        assert_eq!(found, Ok((keep_alive, upgrade)), "{status_line} {lines:?}");
    }
}

#[test]
fn options_name_fields_in_any_case_but_not_the_framing() {
    let lines = "X-Hop: a\r\nConnection: x-HOP,, Keep-Alive\r\nconnection: y, content-length\r\n\
                 Connection: Transfer-Encoding, b c\r\nContent-Length: 5\r\n";
    for (name, nominated) in [
        ("x-hop", true),
        ("X-Hop", true),
        ("Y", true),
        ("keep-alive", true),
        ("close", false),
        ("upgrade", false),
        ("x-ho", false),
        ("b", false),
        ("", false),
        ("Content-Length", false),
        ("transfer-encoding", false),
    ] {
        assert_eq!(look("200", lines, |head| head.is_nominated(name)), Ok(nominated), "{name:?}");
    }
    assert_eq!(look("200", "A: b\r\n", |head| head.is_nominated("a")), Ok(false));
    let known = "Connection: close, upgrade\r\n";
    assert_eq!(look("200", known, |head| head.is_nominated("Upgrade")), Ok(true));
    assert_eq!(look("200", known, |head| head.is_nominated("keep-alive")), Ok(false));
}

#[test]
fn status_lines_are_written_in_our_version() {
    for (status, reason, line) in [
        (200, &b"OK"[..], &b"HTTP/1.1 200 OK\r\n"[..]),
        (999, b"", b"HTTP/1.1 999 \r\n"),
        (404, b"\xff", b"HTTP/1.1 404 \xff\r\n"),
    ] {
        let mut out = Vec::new();
        write_status_line(status, reason, &mut out);
        assert_eq!(out, line);
    }
}
