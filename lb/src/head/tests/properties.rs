use proptest::prelude::*;

use super::{
    super::{Framing, HeadLimits, Scanner, Slots, parse, parse::reads_by_the_lines},
    LIMITS, verdict,
};

/// Field lines that are in order or nearly so.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[A-Za-z0-9-]{1,20}:[ \t]{0,3}[ -~\u{e9}]{0,40}[ \t]{0,3}\r\n",
        1 => "(Content-Length: 0{0,3}[0-9]{1,19}|Transfer-Encoding:\tChunked )\r\n",
        1 => "(Host: a|Connection: close, |Expect: 100-continue|Upgrade: x)\r\n",
        1 => "[A-Za-z :\t\r\n\u{0}\u{7f}]{0,10}(:| :|)[a-z \t\r\u{b}]{0,5}(\r\n|\n|\r\n )",
    ]
}

/// Heads that are in order or nearly so.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let request_line = prop_oneof![
        4 => "(GET|POST|QUERY) /[!-\"$-~]{0,20} HTTP/1\\.[01]",
        1 => "(OPTIONS \\*|CONNECT a:1|GET HTTP://a[/?][a-z]{0,3}) HTTP/1.1",
        1 => "[A-Z(]{0,3}[ ]{0,2}[/a-z\u{e9}#]{0,3}[ ]{0,2}HTTP/[0-9.]{0,3}",
    ];
    ("(|\r\n)", request_line, proptest::collection::vec(line(), 0..6)).prop_map(
        |(before, request_line, lines)| {
            [&before, &request_line, "\r\n", &lines.concat(), "\r\n"].concat().into_bytes()
        },
    )
}

/// What a head means, however it is spelt.
#[derive(Debug, PartialEq)]
struct Meaning {
    request_line: String,
    host: Option<Vec<u8>>,
    fields: Vec<(String, Vec<u8>)>,
    framing: Framing,
    flags: [bool; 3],
}

fn meaning(bytes: &[u8]) -> Option<Meaning> {
    let mut slots = Slots::new();
    let head = parse(bytes, &mut slots, &LIMITS).ok()?;
    let fields = head.fields().map(|field| {
        // How these two are spelt is up to us; what they say is in `framing`.
        let framed = ["content-length", "transfer-encoding"]
            .into_iter()
            .any(|name| field.name.eq_ignore_ascii_case(name));
        let value = if framed { b"" } else { field.value };
        (field.name.to_owned(), value.to_vec())
    });
    Some(Meaning {
        request_line: format!("{} {} {}", head.method, head.target, head.version.as_str()),
        host: head.host().map(<[u8]>::to_vec),
        fields: fields.collect(),
        framing: head.framing,
        flags: [head.keep_alive, head.expect_continue, head.upgrade],
    })
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, &mut Slots::new(), &LIMITS);
        let with_line = [b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat();
        let _ = parse(&with_line, &mut Slots::new(), &LIMITS);
    }

    #[test]
    fn the_canonical_form_means_the_same_and_is_stable(bytes in head()) {
        let Some(sent) = meaning(&bytes) else { return Ok(()) };
        let mut slots = Slots::new();
        let mut canonical = Vec::new();
        parse(&bytes, &mut slots, &LIMITS).unwrap().write_canonical(&mut canonical);
        prop_assert_eq!(verdict(&canonical), Ok(()), "within the same limits");
        prop_assert_eq!(meaning(&canonical), Some(sent));

        let mut again = Vec::new();
        let mut slots = Slots::new();
        parse(&canonical, &mut slots, &LIMITS).unwrap().write_canonical(&mut again);
        prop_assert_eq!(again, canonical);
    }

    #[test]
    fn what_is_parsed_is_what_was_scanned(bytes in head()) {
        if parse(&bytes, &mut Slots::new(), &LIMITS).is_ok() {
            prop_assert_eq!(Scanner::default().find_end(&bytes, &LIMITS), Ok(Some(bytes.len())));
        }
    }

    /// Two readers, httparse and the one that explains its refusals, take the
    /// same heads: neither has a lenience that the other does not have.
    #[test]
    fn both_readers_agree(bytes in head()) {
        let limits = HeadLimits { header_size: 9999, headers: 256, uri: 9999 };
        if Scanner::default().find_end(&bytes, &limits) != Ok(Some(bytes.len())) {
            return Ok(());
        }
        let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(&bytes);
        let mut storage = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut storage);
        let taken = request.parse(bytes).is_ok_and(|status| status.is_complete());
        // The one known difference: UTF-8 in a target.
        let taken = taken && request.path.is_some_and(str::is_ascii);
        prop_assert_eq!(taken, reads_by_the_lines(bytes), "{}", bytes.escape_ascii());
    }
}
