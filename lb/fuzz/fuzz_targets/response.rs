//! The scanner and the parser of response heads, and the body behind them.
#![no_main]

use lb::head::{
    BodyDecoder, BodyError, ResponseHead, ResponseLimits, ResponseScanner, Slots, Version,
    parse_response, write_field, write_status_line,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: ResponseLimits = ResponseLimits { head_size: 512, fields: 12 };

const METHODS: [&str; 3] = ["GET", "HEAD", "CONNECT"];

fuzz_target!(|bytes: &[u8]| {
    let whole = ResponseScanner::default().find_end(bytes, &LIMITS);
    let mut scanner = ResponseScanner::default();
    let dripped = (0..=bytes.len())
        .map(|fed| scanner.find_end(&bytes[..fed], &LIMITS))
        .find(|verdict| *verdict != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(dripped, whole);

    // Also what the scanner would have refused before.
    let mut slots = Slots::new();
    let parsed = parse_response(bytes, &mut slots, &LIMITS);
    assert!(parsed.is_err() || whole == Ok(Some(bytes.len())));

    let Ok(Some(end)) = whole else { return };
    let mut slots = Slots::new();
    let Ok(sent) = parse_response(&bytes[..end], &mut slots, &LIMITS) else { return };
    let mut written = Vec::new();
    write_status_line(sent.status, sent.reason, &mut written);
    for field in sent.fields() {
        write_field(field.name, field.value, &mut written);
    }
    written.extend_from_slice(b"\r\n");
    // A space after each colon makes it longer.
    let limits = ResponseLimits { head_size: LIMITS.head_size + 16, ..LIMITS };
    let scanned = ResponseScanner::default().find_end(&written, &limits);
    assert_eq!(scanned, Ok(Some(written.len())));
    let mut slots = Slots::new();
    let read = parse_response(&written, &mut slots, &limits).expect("what is written is taken");
    assert_same(&sent, &read);

    for method in METHODS {
        let decoder = BodyDecoder::for_response(sent.framing(method));
        let whole = decode(decoder.clone(), &bytes[end..], bytes.len());
        for piece in [1, 2, 3] {
            assert_eq!(decode(decoder.clone(), &bytes[end..], piece), whole);
        }
    }
});

fn assert_same(sent: &ResponseHead<'_, '_>, read: &ResponseHead<'_, '_>) {
    assert_eq!((sent.status, sent.reason), (read.status, read.reason));
    assert_eq!(read.version, Version::Http11);
    if sent.version == Version::Http11 {
        assert_eq!((sent.keep_alive, sent.upgrade), (read.keep_alive, read.upgrade));
    }
    assert!(sent.fields().eq(read.fields()));
    for method in METHODS {
        assert_eq!(sent.framing(method), read.framing(method));
    }
    for field in sent.fields() {
        assert_eq!(sent.is_nominated(field.name), read.is_nominated(field.name));
    }
}

/// The body that comes in pieces of `piece` until the connection is closed, and
/// whether it was whole then.
fn decode(
    mut decoder: BodyDecoder,
    bytes: &[u8],
    piece: usize,
) -> (Vec<u8>, Result<bool, BodyError>) {
    let (mut body, mut taken) = (Vec::new(), 0);
    for arrived in (0..bytes.len()).step_by(piece).map(|at| bytes.len().min(at + piece)) {
        while taken < arrived && !decoder.is_done() {
            match decoder.decode(&bytes[taken..arrived]) {
                Ok(step) => {
                    assert!(step.consumed > 0 && step.data.end <= step.consumed);
                    body.extend_from_slice(&bytes[taken..arrived][step.data]);
                    taken += step.consumed;
                }
                Err(error) => return (body, Err(error)),
            }
        }
    }
    (body, Ok(decoder.finish()))
}
