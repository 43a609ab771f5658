use super::{
    super::{Field, Framing, HeadError, Slots, Version, parse},
    LIMITS, verdict,
};

/// The verdict on a POST of HTTP/1.1 with these field lines.
fn fields(lines: &str) -> Result<(), HeadError> {
    verdict(format!("POST / HTTP/1.1\r\n{lines}\r\n").as_bytes())
}

fn framing(lines: &str) -> Result<Framing, HeadError> {
    let head = format!("POST / HTTP/1.1\r\n{lines}\r\n");
    parse(head.as_bytes(), &mut Slots::new(), &LIMITS).map(|head| head.framing)
}

#[test]
fn an_ordinary_head_is_read() {
    let bytes = b"\r\nPATCH /a?b=c HTTP/1.1\r\nHost: example.com\r\nX-Two:\t a  b \t\r\nx-two:\r\n\
                  Expect: 100-Continue\r\nConnection: x,, Upgrade\r\nUpgrade: websocket\r\n\
                  Content-Length: 007\r\n\r\n";
    let mut slots = Slots::new();
    let head = parse(bytes, &mut slots, &LIMITS).unwrap();
    assert_eq!((head.method, head.target, head.version), ("PATCH", "/a?b=c", Version::Http11));
    assert_eq!(head.framing, Framing::Length(7));
    assert!(head.keep_alive && head.expect_continue && head.upgrade);
    assert_eq!(head.host(), Some(&b"example.com"[..]));
    assert_eq!(head.first("x-TWO"), Some(&b"a  b"[..]));
    assert_eq!(head.first("absent"), None);
    assert_eq!(head.fields().nth(2), Some(Field { name: "x-two", value: b"" }));

    let mut canonical = Vec::new();
    head.write_canonical(&mut canonical);
    assert_eq!(
        canonical.escape_ascii().to_string(),
        b"PATCH /a?b=c HTTP/1.1\r\nHost: example.com\r\nX-Two: a  b\r\nx-two: \r\n\
          Expect: 100-Continue\r\nConnection: x,, Upgrade\r\nUpgrade: websocket\r\n\
          Content-Length: 7\r\n\r\n"
            .escape_ascii()
            .to_string()
    );
}

#[test]
fn request_lines_are_held_to_the_grammar() {
    use HeadError::*;
    let long = format!("{} / HTTP/1.1", "M".repeat(33));
    let longest = format!("{} / HTTP/1.1", "M".repeat(32));
    for (line, expected) in [
        ("GET / HTTP/1.1", Ok(())),
        ("get / HTTP/1.0", Ok(())),
        ("M-SEARCH / HTTP/1.1", Ok(())),
        (&longest, Ok(())),
        (&long, Err(MethodTooLong)),
        ("GE(T / HTTP/1.1", Err(BadMethod)),
        ("G\u{e9}T / HTTP/1.1", Err(BadMethod)),
        ("GET\t/ HTTP/1.1", Err(BadMethod)),
        ("GET  / HTTP/1.1", Err(BadRequestLine)),
        ("GET /  HTTP/1.1", Err(BadRequestLine)),
        ("GET / HTTP/1.1 ", Err(BadRequestLine)),
        ("GET /a b HTTP/1.1", Err(BadRequestLine)),
        ("GET /", Err(BadRequestLine)),
        ("GET", Err(BadRequestLine)),
        ("GET / ", Err(BadRequestLine)),
        ("GET  HTTP/1.1", Err(BadRequestLine)),
        ("GET / HTTP/1.1\r", Err(BareCr)),
        ("GET /\r HTTP/1.1", Err(BareCr)),
        ("GET /\t HTTP/1.1", Err(BadTargetByte)),
        ("GET /\u{7f} HTTP/1.1", Err(BadTargetByte)),
        ("GET /\u{e9} HTTP/1.1", Err(BadTargetByte)),
        ("GET / HTTP/1.2", Err(UnsupportedVersion)),
        ("GET / HTTP/0.9", Err(UnsupportedVersion)),
        ("GET / HTTP/2.0", Err(UnsupportedVersion)),
        ("GET / HTTP/1.10", Err(BadVersion)),
        ("GET / HTTP/1", Err(BadVersion)),
        ("GET / HTTP/2", Err(BadVersion)),
        ("GET / http/1.1", Err(BadVersion)),
        ("GET / HTTP/1,1", Err(BadVersion)),
        ("GET / HTTPS/1.1", Err(BadVersion)),
        ("GET / HTTP/+1.1", Err(BadVersion)),
    ] {
        assert_eq!(verdict(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()), expected, "{line:?}");
    }
    assert_eq!(verdict(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(BadTargetByte));
}

#[test]
fn proxy_is_no_method() {
    let expected = Err(HeadError::UnexpectedProxyHeader);
    for head in [&b"PROXY / HTTP/1.1\r\n\r\n"[..], b"\r\nPROXY / HTTP/1.1\r\n\r\n"] {
        assert_eq!(verdict(head), expected);
        assert_eq!(parse(head, &mut Slots::new(), &LIMITS).map(|_| ()), expected);
    }
}

#[test]
fn targets_suit_their_method() {
    use HeadError::*;
    for (line, expected) in [
        ("GET /a//b/../%2e;x?y=/@", Ok(())),
        ("GET //example.com/", Ok(())),
        ("OPTIONS *", Ok(())),
        ("OPTIONS /", Ok(())),
        ("GET *", Err(AsteriskWithoutOptions)),
        ("OPTIONS **", Err(BadTargetForm)),
        ("GET a", Err(BadTargetForm)),
        ("GET ?a", Err(BadTargetForm)),
        ("GET /a#b", Err(FragmentInTarget)),
        ("GET http://a/#", Err(FragmentInTarget)),
        ("GET http://a/", Ok(())),
        ("GET HTTPS://a:443/b?c@d", Ok(())),
        ("GET http://a", Ok(())),
        ("GET http://a?b", Ok(())),
        ("GET http://[2001:db8::1]:80/", Ok(())),
        ("GET http://a:/", Ok(())),
        ("GET http:///b", Err(BadAuthority)),
        ("GET http://", Err(BadAuthority)),
        ("GET http://:80/", Err(BadAuthority)),
        ("GET http://a:b/", Err(BadAuthority)),
        ("GET http://a:80:80/", Err(BadAuthority)),
        ("GET http://a:65536/", Err(BadAuthority)),
        ("GET http://a:+80/", Err(BadAuthority)),
        ("GET http://a\\b/", Err(BadAuthority)),
        ("GET http://[::1/", Err(BadAuthority)),
        ("GET http://[]/", Err(BadAuthority)),
        ("GET http://[::1]b/", Err(BadAuthority)),
        ("GET http://u@a/", Err(UserInfoInTarget)),
        ("GET http://u:p@a/", Err(UserInfoInTarget)),
        ("GET http:a", Err(BadTargetForm)),
        ("GET http:/a", Err(BadTargetForm)),
        ("GET ftp://a/", Err(BadTargetForm)),
        ("GET a:80", Err(BadTargetForm)),
        ("CONNECT a:80", Ok(())),
        ("CONNECT [::1]:80", Ok(())),
        ("CONNECT a", Err(BadConnectTarget)),
        ("CONNECT a:", Err(BadConnectTarget)),
        ("CONNECT /", Err(BadConnectTarget)),
        ("CONNECT *", Err(BadConnectTarget)),
        ("CONNECT http://a:80/", Err(BadConnectTarget)),
        ("CONNECT u@a:80", Err(BadConnectTarget)),
    ] {
        assert_eq!(verdict(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()), expected, "{line:?}");
    }
}

#[test]
fn host_is_one_and_agrees_with_the_target() {
    let absolute = |lines: &str| {
        verdict(format!("GET http://Example.com:8080/ HTTP/1.1\r\n{lines}\r\n").as_bytes())
    };
    assert_eq!(absolute(""), Ok(()));
    assert_eq!(absolute("Host: example.COM:8080\r\n"), Ok(()));
    for host in ["example.com", "other.com:8080", "", "example.com:8080."] {
        let expected = Err(HeadError::HostContradictsTarget);
        assert_eq!(absolute(&format!("Host: {host}\r\n")), expected, "{host:?}");
    }
    for other in ["a", "b", ""] {
        let lines = format!("Host: a\r\nX: y\r\nhOST: {other}\r\n");
        assert_eq!(fields(&lines), Err(HeadError::RepeatedHost), "{other:?}");
    }
    // Left to the layer that routes by it.
    assert_eq!(fields(""), Ok(()));
    assert_eq!(fields("Host:\r\n"), Ok(()));
    let mut slots = Slots::new();
    let head = parse(b"GET http://a:1/ HTTP/1.1\r\n\r\n", &mut slots, &LIMITS).unwrap();
    assert_eq!(head.host(), Some(&b"a:1"[..]));
}

#[test]
fn field_lines_are_held_to_the_grammar() {
    use HeadError::*;
    for (lines, expected) in [
        ("A:b\r\n", Ok(())),
        ("A: \t b\tc \u{e9} \t\r\n", Ok(())),
        ("!#$%&'*+-.^_`|~09azAZ: x\r\n", Ok(())),
        ("A: b:c\r\n", Ok(())),
        (" A: b\r\n", Err(SpaceBeforeFirstField)),
        ("\tA: b\r\n", Err(SpaceBeforeFirstField)),
        (" \r\n", Err(SpaceBeforeFirstField)),
        ("A: b\r\n c\r\n", Err(ObsFold)),
        ("A: b\r\n\tc\r\n", Err(ObsFold)),
        ("A: b\r\n \r\n", Err(ObsFold)),
        ("A : b\r\n", Err(SpaceBeforeColon)),
        ("A\t: b\r\n", Err(SpaceBeforeColon)),
        ("Transfer-Encoding : chunked\r\n", Err(SpaceBeforeColon)),
        (": b\r\n", Err(EmptyFieldName)),
        ("A\r\n", Err(BadFieldName)),
        ("A b: c\r\n", Err(BadFieldName)),
        ("A(: b\r\n", Err(BadFieldName)),
        ("A\u{e9}: b\r\n", Err(BadFieldName)),
        ("A\x0b: b\r\n", Err(BadFieldName)),
        ("A: b\rc\r\n", Err(BareCr)),
        ("A: b\r\r\n", Err(BareCr)),
        ("A\r: b\r\n", Err(BareCr)),
        ("\rA: b\r\n", Err(BareCr)),
        ("A: b\nC: d\r\n", Err(BareLf)),
        ("A: b\n", Err(BareLf)),
        ("A: b\0\r\n", Err(Nul)),
        ("A: \x0b\r\n", Err(ControlInValue)),
        ("A: \x1b[m\r\n", Err(ControlInValue)),
        ("A: b\x7f\r\n", Err(ControlInValue)),
    ] {
        assert_eq!(fields(lines), expected, "{lines:?}");
    }
    for byte in (0..=0x1f).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')) {
        for value in [vec![byte], vec![b'a', byte], [&[b'a'; 60][..], &[byte, b'a']].concat()] {
            let head = [b"GET / HTTP/1.1\r\nA: ", &value[..], b"\r\n\r\n"].concat();
            assert!(verdict(&head).is_err(), "{byte:#x}");
        }
    }
}

#[test]
fn lengths_are_plain_digits() {
    for (value, length) in
        [("0", 0), ("5", 5), (" \t5\t ", 5), ("0005", 5), ("18446744073709551615", u64::MAX)]
    {
        let line = format!("Content-Length:{value}\r\n");
        assert_eq!(framing(&line), Ok(Framing::Length(length)), "{value:?}");
    }
    for value in [
        "",
        "+5",
        "-5",
        "-0",
        "5 5",
        "5,5",
        "3, 3",
        "5,",
        ",5",
        "0x5",
        "5a",
        "1_000",
        "5.0",
        "1e3",
        "\"5\"",
        "5;a",
        "\u{664}",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        let line = format!("Content-Length: {value}\r\n");
        assert_eq!(framing(&line), Err(HeadError::BadLength), "{value:?}");
    }
    for second in ["5", "6"] {
        let lines = format!("Content-Length: 5\r\nA: b\r\ncontent-length: {second}\r\n");
        assert_eq!(framing(&lines), Err(HeadError::RepeatedLength));
    }
}

#[test]
fn the_only_coding_is_chunked() {
    for value in ["chunked", "Chunked", "CHUNKED", " \tchunked \t"] {
        let line = format!("Transfer-Encoding:{value}\r\n");
        assert_eq!(framing(&line), Ok(Framing::Chunked), "{value:?}");
    }
    for value in [
        "",
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunk ed",
        "chunked chunked",
        "\u{a0}chunked",
    ] {
        let line = format!("Transfer-Encoding: {value}\r\n");
        assert_eq!(framing(&line), Err(HeadError::BadCoding), "{value:?}");
    }
    assert_eq!(framing("Transfer-Encoding: \x0bchunked\r\n"), Err(HeadError::ControlInValue));
    let twice = "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n";
    assert_eq!(framing(twice), Err(HeadError::RepeatedCoding));
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(framing(lines), Err(HeadError::LengthAndCoding), "{lines:?}");
    }
    assert_eq!(
        verdict(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(HeadError::CodingOnHttp10)
    );
    assert_eq!(framing(""), Ok(Framing::None));
}

#[test]
fn connection_options_are_tokens_and_strip_nothing_that_matters() {
    for value in ["", ",", "close", "a, ,b,", "keep-alive, TE", "Upgrade"] {
        assert_eq!(fields(&format!("Connection: {value}\r\n")), Ok(()), "{value:?}");
    }
    for value in ["a b", "\"close\"", "close;q", "a,b c", "cl\u{f6}se"] {
        let line = format!("Connection: {value}\r\n");
        assert_eq!(fields(&line), Err(HeadError::BadConnectionOption), "{value:?}");
    }
    for name in [
        "content-length",
        "Transfer-Encoding",
        "HOST",
        "x-forwarded-for",
        "X-Forwarded-Host",
        "x-forwarded-proto",
        "x-real-ip",
        "Forwarded",
    ] {
        let line = format!("Connection: close,{name}\r\n");
        assert_eq!(fields(&line), Err(HeadError::NominatedField), "{name:?}");
    }
}

#[test]
fn options_name_fields_in_any_case() {
    let bytes = b"GET / HTTP/1.1\r\nX-Hop: a\r\nConnection: x-HOP,, close\r\nconnection: Y\r\n\r\n";
    let mut slots = Slots::new();
    let head = parse(bytes, &mut slots, &LIMITS).unwrap();
    for name in ["X-Hop", "x-hop", "y", "Close"] {
        assert!(head.is_nominated(name), "{name:?}");
    }
    for name in ["keep-alive", "upgrade", "x-ho", "", "connection"] {
        assert!(!head.is_nominated(name), "{name:?}");
    }
}

#[test]
fn versions_differ_in_what_the_connection_becomes() {
    for (version, lines, keep_alive, expect_continue, upgrade) in [
        ("1.1", "", true, false, false),
        ("1.1", "Connection: close\r\n", false, false, false),
        ("1.1", "Connection: a\r\nConnection: b , CLOSE\r\n", false, false, false),
        ("1.1", "Connection: keep-alive, close\r\n", false, false, false),
        ("1.0", "", false, false, false),
        ("1.0", "Connection: Keep-Alive\r\n", true, false, false),
        ("1.0", "Connection: keep-alive, close\r\n", false, false, false),
        ("1.1", "Expect: 100-continue\r\n", true, true, false),
        ("1.1", "Expect: other\r\n", true, false, false),
        ("1.0", "Expect: 100-continue\r\n", false, false, false),
        ("1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n", true, false, true),
        ("1.1", "Connection: upgrade\r\n", true, false, false),
        ("1.1", "Upgrade: h2c\r\n", true, false, false),
        ("1.0", "Connection: upgrade\r\nUpgrade: h2c\r\n", false, false, false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\n{lines}\r\n");
        let mut slots = Slots::new();
        let head = parse(bytes.as_bytes(), &mut slots, &LIMITS).unwrap();
        assert_eq!(
            (head.keep_alive, head.expect_continue, head.upgrade),
            (keep_alive, expect_continue, upgrade),
            "{version} {lines:?}"
        );
    }
}

#[test]
fn less_or_more_than_one_head_is_refused() {
    for bytes in [
        &b""[..],
        b"\r\n",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n",
        b"GET / HTTP/1.1\r\n\r\nbody",
        b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        let verdict = parse(bytes, &mut Slots::new(), &LIMITS).map(|_| ());
        assert_eq!(verdict, Err(HeadError::NotOneHead), "{}", bytes.escape_ascii());
    }
    let verdict = parse(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", &mut Slots::new(), &LIMITS).map(|_| ());
    assert_eq!(verdict, Err(HeadError::LeadingEmptyLines));
}
