//! The scanner and the parser of request heads.
#![no_main]

use lb::head::{Field, Framing, Head, HeadLimits, Scanner, Slots, parse};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits { header_size: 512, headers: 12, uri: 128 };

fuzz_target!(|bytes: &[u8]| {
    let whole = Scanner::default().find_end(bytes, &LIMITS);
    let mut scanner = Scanner::default();
    let dripped = (0..=bytes.len())
        .map(|fed| scanner.find_end(&bytes[..fed], &LIMITS))
        .find(|verdict| *verdict != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(dripped, whole);

    // Also what the scanner would have refused before.
    let mut slots = Slots::new();
    let parsed = parse(bytes, &mut slots, &LIMITS);
    assert!(parsed.is_err() || whole == Ok(Some(bytes.len())));

    let Ok(Some(end)) = whole else { return };
    let mut slots = Slots::new();
    let Ok(sent) = parse(&bytes[..end], &mut slots, &LIMITS) else { return };
    let mut canonical = Vec::new();
    sent.write_canonical(&mut canonical);
    assert_eq!(Scanner::default().find_end(&canonical, &LIMITS), Ok(Some(canonical.len())));
    let mut slots = Slots::new();
    let read = parse(&canonical, &mut slots, &LIMITS).expect("canonical heads are taken");
    assert_same(&sent, &read);
});

fn assert_same(sent: &Head<'_, '_>, read: &Head<'_, '_>) {
    assert_eq!((sent.method, sent.target, sent.version), (read.method, read.target, read.version));
    assert_eq!((sent.framing, sent.keep_alive), (read.framing, read.keep_alive));
    assert_eq!((sent.expect_continue, sent.upgrade), (read.expect_continue, read.upgrade));
    assert_eq!(sent.host(), read.host());
    let name = |field: Field<'_>| field.name.to_owned();
    assert!(sent.fields().map(name).eq(read.fields().map(name)));
    for (sent_field, read_field) in sent.fields().zip(read.fields()) {
        let framed = ["content-length", "transfer-encoding"]
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case(sent_field.name));
        assert!(framed || sent_field.value == read_field.value);
        assert!(!framed || sent.framing != Framing::None);
    }
}
