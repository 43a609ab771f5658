use proptest::prelude::*;

use super::*;

fn proxied(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Proxied {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

/// A header of version 2.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family][..], &length, block].concat()
}

const V4_BLOCK: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0xdd, 0xd5, 0x01, 0xbb];

#[test]
fn lines_of_version_1_are_read() {
    for (line, header) in [
        ("TCP4 192.0.2.1 192.0.2.2 56789 443", proxied("192.0.2.1:56789", "192.0.2.2:443")),
        ("TCP4 192.0.2.1 192.0.2.2 0 65535", proxied("192.0.2.1:0", "192.0.2.2:65535")),
        ("TCP6 2001:db8::1 ::1 1 2", proxied("[2001:db8::1]:1", "[::1]:2")),
        ("TCP6 ::ffff:192.0.2.1 ::1 1 2", proxied("[::ffff:192.0.2.1]:1", "[::1]:2")),
        ("UNKNOWN", ProxyHeader::Local),
        ("UNKNOWN whatever \u{1} it says", ProxyHeader::Local),
    ] {
        let bytes = format!("PROXY {line}\r\nGET /");
        let len = bytes.len() - "GET /".len();
        assert_eq!(parse(bytes.as_bytes()), Ok(Parsed::Complete { len, header }), "{line:?}");
    }
}

#[test]
fn malformed_lines_of_version_1_are_refused() {
    use ProxyHeaderError::*;
    for (line, error) in [
        ("TCP4 192.0.2.1 192.0.2.2 1 2\n", BadLineEnd),
        ("TCP5 192.0.2.1 192.0.2.2 1 2\r\n", UnknownProtocol),
        ("tcp4 192.0.2.1 192.0.2.2 1 2\r\n", UnknownProtocol),
        (" TCP4 192.0.2.1 192.0.2.2 1 2\r\n", UnknownProtocol),
        ("UNKNOWNX\r\n", UnknownProtocol),
        ("\r\n", UnknownProtocol),
        ("TCP4\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 1\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", BadAddresses),
        ("TCP4  192.0.2.1 192.0.2.2 1 2\r\n", BadAddresses),
        ("TCP4 192.0.2.01 192.0.2.2 1 2\r\n", BadAddresses),
        ("TCP4 192.0.2 192.0.2.2 1 2\r\n", BadAddresses),
        ("TCP4 ::1 ::1 1 2\r\n", BadAddresses),
        ("TCP6 192.0.2.1 192.0.2.2 1 2\r\n", BadAddresses),
        ("TCP6 fe80::1%eth0 ::1 1 2\r\n", BadAddresses),
        ("TCP6 [::1] ::1 1 2\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 01 2\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 0x1 2\r\n", BadAddresses),
        ("TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", BadAddresses),
    ] {
        assert_eq!(parse(format!("PROXY {line}").as_bytes()), Err(error), "{line:?}");
    }
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    let complete = Parsed::Complete { len: 107, header: ProxyHeader::Local };
    assert_eq!(parse(line(107).as_bytes()), Ok(complete));
    assert_eq!(parse(line(108).as_bytes()), Err(LineTooLong));
    assert_eq!(parse(&line(108).as_bytes()[..107]), Err(LineTooLong));
}

#[test]
fn headers_of_version_2_are_read() {
    let v6 = [&[0x20; 16][..], &[0x30; 16], &[0, 1, 0, 2]].concat();
    let v4_with_extension = [V4_BLOCK, &[0x04, 0, 2, 9, 9]].concat();
    let v4 = proxied("192.0.2.1:56789", "192.0.2.2:443");
    for (bytes, header) in [
        (v2(0x21, 0x11, V4_BLOCK), v4),
        (v2(0x21, 0x11, &v4_with_extension), v4),
        (
            v2(0x21, 0x21, &v6),
            proxied(
                "[2020:2020:2020:2020:2020:2020:2020:2020]:1",
                "[3030:3030:3030:3030:3030:3030:3030:3030]:2",
            ),
        ),
        (v2(0x21, 0x31, &[0; 216]), ProxyHeader::Unix),
        (v2(0x21, 0x00, b""), ProxyHeader::Local),
        (v2(0x21, 0x00, b"\xff"), ProxyHeader::Local),
        (v2(0x21, 0x01, V4_BLOCK), ProxyHeader::Local),
        (v2(0x21, 0x10, V4_BLOCK), ProxyHeader::Local),
        (v2(0x20, 0x11, V4_BLOCK), ProxyHeader::Local),
        (v2(0x20, 0xff, b"\xff\xff"), ProxyHeader::Local),
        (v2(0x20, 0x00, &[0; 2032]), ProxyHeader::Local),
    ] {
        let len = bytes.len();
        let followed = [&bytes[..], b"GET /"].concat();
        assert_eq!(parse(&followed), Ok(Parsed::Complete { len, header }), "{bytes:x?}");
    }
}

#[test]
fn malformed_headers_of_version_2_are_refused() {
    use ProxyHeaderError::*;
    let extended = |extension: &[u8]| v2(0x21, 0x11, &[V4_BLOCK, extension].concat());
    for (bytes, error) in [
        (v2(0x11, 0x11, V4_BLOCK), UnsupportedVersion),
        (v2(0x31, 0x11, V4_BLOCK), UnsupportedVersion),
        (v2(0x22, 0x11, V4_BLOCK), UnknownCommand),
        (v2(0x21, 0x41, V4_BLOCK), UnknownFamily),
        (v2(0x21, 0x13, V4_BLOCK), UnknownFamily),
        (v2(0x21, 0x12, V4_BLOCK), Datagram),
        (v2(0x21, 0x32, &[0; 216]), Datagram),
        (v2(0x21, 0x11, &V4_BLOCK[..11]), AddressesCutOff),
        (v2(0x21, 0x21, &[0; 35]), AddressesCutOff),
        (v2(0x21, 0x31, &[0; 215]), AddressesCutOff),
        (v2(0x20, 0x00, &[0; 2033]), HeaderTooLong),
        (extended(&[0x04]), BadExtension),
        (extended(&[0x04, 0]), BadExtension),
        (extended(&[0x04, 0, 1]), BadExtension),
        (extended(&[0x03, 0, 3, 0, 0, 0]), BadExtension),
        (extended(&[0x03, 0, 4, 0, 0, 0, 0]), BadChecksum),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{bytes:x?}");
    }
    let long = v2(0x21, 0x11, &[0; 60_000]);
    assert_eq!(parse(&long[..16]), Err(HeaderTooLong), "as soon as the length is known");
}

#[test]
fn checksums_are_verified() {
    // The check value of CRC32c.
    assert_eq!(!crc32c_update(!0, b"123456789"), 0xe306_9283);

    let checksum = [&[0x04, 0, 1, 0][..], &[0x03, 0, 4, 0, 0, 0, 0], &[0x05, 0, 0]].concat();
    let mut bytes = v2(0x21, 0x11, &[V4_BLOCK, &checksum].concat());
    let crc = !crc32c_update(!0, &bytes);
    let at = V2_FIXED + V4_BLOCK.len() + 4 + 3;
    bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(parse(&bytes), Ok(Parsed::Complete { .. })));
    bytes[V2_FIXED] ^= 1;
    assert_eq!(parse(&bytes), Err(ProxyHeaderError::BadChecksum));
}

#[test]
fn other_first_bytes_are_no_header() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"POST", b"PROXY\r", b"\r\nGET", b"\x16\x03"] {
        assert_eq!(parse(bytes), Ok(Parsed::Absent), "{}", bytes.escape_ascii());
    }
    for bytes in [&b""[..], b"P", b"PROXY", b"PROXY ", b"\r\n", b"\r\n\r\n\0\r\nQUIT\n"] {
        assert_eq!(parse(bytes), Ok(Parsed::Incomplete), "{}", bytes.escape_ascii());
    }
}

#[test]
fn our_own_connections_are_local() {
    let mut bytes = Vec::new();
    write_v2(&mut bytes, None);
    let complete = Parsed::Complete { len: 16, header: ProxyHeader::Local };
    assert_eq!(parse(&bytes), Ok(complete));
}

fn header_like() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        any_bytes(),
        "PROXY (TCP[46]|UNKNOWN) [0-9a-f:. ]{0,40}(\r\n|\n|)".prop_map(String::into_bytes),
        (0x1f..0x24_u8, any::<u8>(), any_bytes()).prop_map(|(a, b, block)| v2(a, b, &block)),
        any_bytes().prop_map(|tlvs| v2(0x21, 0x11, &[V4_BLOCK, &tlvs].concat())),
    ]
}

proptest! {
    #[test]
    fn prefixes_wait_or_give_the_same_verdict(bytes in header_like()) {
        let whole = parse(&bytes);
        for cut in 0..bytes.len() {
            let part = parse(&bytes[..cut]);
            prop_assert!(part == Ok(Parsed::Incomplete) || part == whole, "{cut}: {part:?}");
        }
        if let Ok(Parsed::Complete { len, .. }) = whole {
            prop_assert!(len <= bytes.len());
            prop_assert_eq!(parse(&bytes[..len - 1]), Ok(Parsed::Incomplete));
        }
    }

    #[test]
    fn what_is_written_is_read(
        from in any::<IpAddr>(), to in any::<IpAddr>(), ports in any::<(u16, u16)>(),
    ) {
        let addresses = (SocketAddr::new(from, ports.0), SocketAddr::new(to, ports.1));
        let mut bytes = Vec::new();
        write_v2(&mut bytes, Some(addresses));
        let mapped = |ip| if from.is_ipv4() && to.is_ipv4() { ip } else { as_v6(ip).into() };
        let header = ProxyHeader::Proxied {
            source: SocketAddr::new(mapped(from), ports.0),
            destination: SocketAddr::new(mapped(to), ports.1),
        };
        prop_assert_eq!(parse(&bytes), Ok(Parsed::Complete { len: bytes.len(), header }));
    }
}
