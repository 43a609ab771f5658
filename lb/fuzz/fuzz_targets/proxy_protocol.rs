//! The parser and the writer of PROXY protocol headers.
#![no_main]

use lb::request::proxy_protocol::{Parsed, ProxyHeader, parse, write_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    for cut in 0..bytes.len() {
        let part = parse(&bytes[..cut]);
        assert!(part == Ok(Parsed::Incomplete) || part == whole);
    }
    let Ok(Parsed::Complete { len, header }) = whole else { return };
    assert!(len <= bytes.len());
    if let ProxyHeader::Proxied { source, destination } = header {
        let mut written = Vec::new();
        write_v2(&mut written, Some((source, destination)));
        assert_eq!(parse(&written), Ok(Parsed::Complete { len: written.len(), header }));
    }
});
