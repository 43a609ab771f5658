//! Content-Length that is no number, or more than one: RFC 9110 §8.6. Equal ones
//! might be merged; nobody honest sends them.

use crate::case::{Case, End, SMUGGLED, case, get, gotten, post, posted, smuggled};

/// All before the body `abc`.
const REFUSED: &[(&str, &[u8])] = &[
    ("a plus", b"Content-Length: +3"),
    ("a minus", b"Content-Length: -3"),
    ("minus zero", b"Content-Length: -0"),
    ("empty", b"Content-Length:"),
    ("only spaces", b"Content-Length:   "),
    ("hexadecimal", b"Content-Length: 0x3"),
    ("an underscore inside", b"Content-Length: 3_0"),
    ("a space inside", b"Content-Length: 3 0"),
    ("a tab inside", b"Content-Length: 3\t0"),
    ("a fraction", b"Content-Length: 3.0"),
    ("an exponent", b"Content-Length: 3e0"),
    ("letters behind", b"Content-Length: 3abc"),
    ("letters before", b"Content-Length: abc3"),
    ("a parameter", b"Content-Length: 3;a=b"),
    ("quotes", b"Content-Length: \"3\""),
    ("a list of equal numbers", b"Content-Length: 3, 3"),
    ("a list of two numbers", b"Content-Length: 3,4"),
    ("a comma behind", b"Content-Length: 3,"),
    ("a comma before", b"Content-Length: ,3"),
    ("two equal lines", b"Content-Length: 3\r\nContent-Length: 3"),
    ("two lines, the smaller first", b"Content-Length: 3\r\nContent-Length: 5"),
    ("two lines, the larger first", b"Content-Length: 5\r\nContent-Length: 3"),
    ("two lines, zero first", b"Content-Length: 0\r\nContent-Length: 3"),
    ("two lines, an empty one last", b"Content-Length: 3\r\nContent-Length:"),
    ("two lines in two cases", b"Content-Length: 3\r\ncontent-length: 3"),
    ("three lines", b"Content-Length: 3\r\nContent-Length: 3\r\nContent-Length: 3"),
    ("2 to the 64th and 3", b"Content-Length: 18446744073709551619"),
    ("a vertical tab before", b"Content-Length: \x0b3"),
    ("a vertical tab behind", b"Content-Length: 3\x0b"),
    ("a form feed behind", b"Content-Length: 3\x0c"),
    ("a NUL before", b"Content-Length: \x003"),
    ("a NUL behind", b"Content-Length: 3\0"),
    ("a no-break space before", b"Content-Length: \xa03"),
    ("an Arabic digit", b"Content-Length: \xd9\xa3"),
    ("a full-width digit", b"Content-Length: \xef\xbc\x93"),
    ("a carriage return behind", b"Content-Length: 3\r"),
    ("a space before the colon", b"Content-Length : 3"),
    ("a tab before the colon", b"Content-Length\t: 3"),
    ("a NUL before the colon", b"Content-Length\0: 3"),
    ("a second colon", b"Content-Length:: 3"),
    ("no colon", b"Content-Length 3"),
    ("a space before the name", b"A: b\r\n Content-Length: 3"),
    ("behind a bare line feed", b"A: b\nContent-Length: 3"),
    ("behind a bare carriage return", b"A: b\rContent-Length: 3"),
    ("folded", b"Content-Length:\r\n 3"),
    ("folded by a tab", b"Content-Length:\r\n\t3"),
    ("folded inside", b"Content-Length: 3\r\n 0"),
    ("a line feed before the number", b"Content-Length:\n3"),
];

/// Numbers that are numbers (`1*DIGIT`), before the body `abc`.
const LEGAL: &[(&str, &[u8])] = &[
    ("no space", b"Content-Length:3"),
    ("spaces around", b"Content-Length: \t 3 \t"),
    ("a zero before", b"Content-Length: 03"),
    ("zeros before", b"Content-Length: 0003"),
    ("another case of the name", b"cONTENT-lENGTH: 3"),
];

/// Lengths hidden from one of two readers before a request without a body: 0.CL.
const HIDDEN: &[(&str, &[u8])] = &[
    ("0.CL, a space before the colon", b"Content-Length : 40"),
    ("0.CL, folded", b"Content-Length:\r\n 40"),
    ("0.CL, a fold before", b"A: b\r\n Content-Length: 40"),
    ("0.CL, a line feed behind the colon", b"Content-Length:\n 40"),
    ("0.CL, a plus", b"Content-Length: +40"),
    ("0.CL, a bare line feed before", b"A: b\nContent-Length: 40"),
];

pub fn cases() -> Vec<Case> {
    let refused = REFUSED.iter().map(|(name, line)| case(*name, posted(line, "abc")).refused());
    let legal = LEGAL.iter().map(|(name, line)| {
        case(*name, posted(line, [b"abc", SMUGGLED].concat()))
            .forwarded(&[post("/@", "abc"), smuggled()])
    });
    let hidden = HIDDEN.iter().map(|(name, line)| case(*name, gotten(line, SMUGGLED)).refused());
    let others = [
        case("an underscore for the hyphen", gotten("Content_Length: 40", SMUGGLED))
            .forwarded(&[get("/@"), smuggled()]),
        case("another name before", gotten("X-Content-Length: 40", SMUGGLED))
            .forwarded(&[get("/@"), smuggled()]),
        case("2 to the 32nd and 3", posted("Content-Length: 4294967299", "abc")).refused_as(&[413]),
        case("2 to the 63rd and 3", posted("Content-Length: 9223372036854775811", "abc"))
            .refused_as(&[400, 413]),
        case("a hundred digits", posted(format!("Content-Length: {}", "9".repeat(100)), "abc"))
            .refused(),
        case(
            "HTTP/1.0 with two",
            "POST /@ HTTP/1.0\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        )
        .refused(),
        case(
            "the second request has two",
            [
                SMUGGLED,
                b"POST /@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            ]
            .concat(),
        )
        .forwarded_then(&[smuggled()], End::Refused(&[400])),
    ];
    refused.chain(legal).chain(hidden).chain(others).collect()
}
