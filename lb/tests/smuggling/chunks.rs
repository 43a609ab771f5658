//! Chunks: a size in hexadecimal digits, CR LF, so many bytes, CR LF. RFC 9112
//! §7.1. Where one is broken the head may have passed already; then the message
//! never ends at the origin.

use crate::case::{Case, SMUGGLED, case, post, posted, smuggled};

/// Bodies. Most would be whole to a reader that looks away.
const BROKEN: &[(&str, &[u8])] = &[
    // Sizes.
    ("a size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a capital 0X", b"0X5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a minus", b"-1\r\nhello\r\n0\r\n\r\n"),
    ("a size with an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a fraction", b"5.0\r\nhello\r\n0\r\n\r\n"),
    ("a size with an h behind", b"5h\r\nhello\r\n0\r\n\r\n"),
    ("a size with a space before", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a tab before", b"\t5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a space behind", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("a size with a tab behind", b"5\t\r\nhello\r\n0\r\n\r\n"),
    ("a size with a space inside", b"0 5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a NUL behind", b"5\0\r\nhello\r\n0\r\n\r\n"),
    ("a size with a vertical tab behind", b"5\x0b\r\nhello\r\n0\r\n\r\n"),
    ("a size in quotes", b"\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("a size of letters", b"xyz\r\nhello\r\n0\r\n\r\n"),
    ("a size in full-width digits", b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n"),
    ("no size", b"\r\nhello\r\n0\r\n\r\n"),
    ("no size but an extension", b";a=b\r\nhello\r\n0\r\n\r\n"),
    ("the size of 2 to the 64th and 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size of 17 digits that ends in 5", b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n"),
    ("a size of 17 digits that is 5", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a last size with 0x", b"5\r\nhello\r\n0x0\r\n\r\n"),
    ("a last size with a minus", b"5\r\nhello\r\n-0\r\n\r\n"),
    ("a last size with a space behind", b"5\r\nhello\r\n0 \r\n\r\n"),
    // Line ends of sizes.
    ("a line feed behind a size", b"5\nhello\r\n0\r\n\r\n"),
    ("a carriage return behind a size", b"5\rhello\r\n0\r\n\r\n"),
    ("two carriage returns behind a size", b"5\r\r\nhello\r\n0\r\n\r\n"),
    ("a line feed and a carriage return behind a size", b"5\n\rhello\r\n0\r\n\r\n"),
    ("a carriage return and another byte behind a size", b"5\rXhello\r\n0\r\n\r\n"),
    ("a line feed behind the last size", b"5\r\nhello\r\n0\n\r\n"),
    ("only line feeds", b"5\nhello\n0\n\n"),
    // Line ends of chunks: "funky chunks".
    ("TERM.SPILL: nothing behind a chunk", b"5\r\nhello0\r\n\r\n"),
    ("two other bytes behind a chunk", b"5\r\nhelloXX0\r\n\r\n"),
    ("a byte and a line feed behind a chunk", b"5\r\nhelloX\n0\r\n\r\n"),
    ("ONE.TWO: a line feed behind a chunk", b"5\r\nhello\n0\r\n\r\n"),
    ("a carriage return behind a chunk", b"5\r\nhello\r0\r\n\r\n"),
    ("two carriage returns behind a chunk", b"5\r\nhello\r\r\n0\r\n\r\n"),
    ("a line end twice behind a chunk", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    ("SPILL.TERM: a byte more than the size", b"5\r\nhellos\r\n0\r\n\r\n"),
    ("a byte less than the size", b"5\r\nhell\r\n0\r\n\r\n"),
    ("a line feed for the end", b"5\r\nhello\r\n0\r\n\n"),
    ("a carriage return for the end", b"5\r\nhello\r\n0\r\n\r\r\n"),
    ("two other bytes for the end", b"5\r\nhello\r\n0\r\nXX\r\n\r\n"),
    // Extensions.
    ("TERM.EXT: a line feed in an extension", b"5;\nab\r\nhello\r\n0\r\n\r\n"),
    ("a line feed behind an extension", b"5;a=b\nhello\r\n0\r\n\r\n"),
    ("EXT.TERM: a carriage return in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a carriage return before an extension", b"5\r;a=b\r\nhello\r\n0\r\n\r\n"),
    ("two carriage returns behind an extension", b"5;a=b\r\r\nhello\r\n0\r\n\r\n"),
    ("a NUL in an extension", b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    ("a control character in an extension", b"5;a=\x01\r\nhello\r\n0\r\n\r\n"),
    ("a line end in a quoted extension", b"5;a=\"x\r\ny\"\r\nhello\r\n0\r\n\r\n"),
    ("a line feed in a quoted extension", b"5;a=\"x\ny\"\r\nhello\r\n0\r\n\r\n"),
    ("an escaped line end in a quoted extension", b"5;a=\"\\\r\n\"\r\nhello\r\n0\r\n\r\n"),
    ("a line feed in the last extension", b"5\r\nhello\r\n0;\na\r\n\r\n"),
    ("a comma for an extension", b"5,a\r\nhello\r\n0\r\n\r\n"),
    ("a word for an extension", b"5 a=b\r\nhello\r\n0\r\n\r\n"),
];

/// Bodies of `hello`.
const LEGAL: &[(&str, &str)] = &[
    ("one chunk", "5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk for each byte", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"),
    ("zeros before a size", "005\r\nhello\r\n0\r\n\r\n"),
    ("a last size of many zeros", "5\r\nhello\r\n000\r\n\r\n"),
    ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
    ("an extension without a value", "5;a\r\nhello\r\n0\r\n\r\n"),
    ("a quoted extension", "5;a=\"b;c\\\"d\"\r\nhello\r\n0\r\n\r\n"),
    ("an extension of the last chunk", "5\r\nhello\r\n0;a=b\r\n\r\n"),
];

const CHUNKED: &str = "Transfer-Encoding: chunked";

pub fn cases() -> Vec<Case> {
    let broken = BROKEN
        .iter()
        .map(|(name, body)| case(*name, posted(CHUNKED, [body, SMUGGLED].concat())).broken());
    let legal = LEGAL.iter().map(|(name, body)| {
        case(*name, posted(CHUNKED, [body.as_bytes(), SMUGGLED].concat()))
            .forwarded(&[post("/@", "hello"), smuggled()])
    });
    let capitals = "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n";
    let inside =
        [b"23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n", SMUGGLED].concat();
    let others = [
        case("capital digits", posted(CHUNKED, capitals))
            .forwarded(&[post("/@", "01234567890123456789")]),
        case("a line end inside a chunk", posted(CHUNKED, "4\r\n\r\n\r\n\r\n0\r\n\r\n"))
            .forwarded(&[post("/@", "\r\n\r\n")]),
        case("the end of a message inside a chunk", posted(CHUNKED, "5\r\n0\r\n\r\n\r\n0\r\n\r\n"))
            .forwarded(&[post("/@", "0\r\n\r\n")]),
        case("a request inside a chunk", posted(CHUNKED, inside))
            .forwarded(&[post("/@", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), smuggled()]),
        case("no chunk but the last", posted(CHUNKED, [b"0\r\n\r\n", SMUGGLED].concat()))
            .forwarded(&[post("/@", ""), smuggled()]),
        case("a size of 2 to the 64th less 1", posted(CHUNKED, "ffffffffffffffff\r\nhello"))
            .broken_as(&[400, 413])
            .leaving(),
        case("a size of 2 to the 63rd less 1", posted(CHUNKED, "7fffffffffffffff\r\nhello"))
            .broken_as(&[400, 413])
            .leaving(),
        case("an extension without end", posted(CHUNKED, format!("5;{}", "a".repeat(200_000))))
            .broken_as(&[400, 413, 431]),
        case(
            "an extension on each of many chunks",
            posted(CHUNKED, format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(300) + "0\r\n\r\n"),
        )
        .broken_as(&[400, 413, 431]),
        case("the client leaves in a size", posted(CHUNKED, "5\r\nhello\r\n0")).broken().leaving(),
        case("the client leaves in a chunk", posted(CHUNKED, "5\r\nhel")).broken().leaving(),
        case("the client leaves before the end", posted(CHUNKED, "5\r\nhello\r\n0\r\n"))
            .broken()
            .leaving(),
    ];
    broken.chain(legal).chain(others).collect()
}
