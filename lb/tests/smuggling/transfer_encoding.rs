//! Transfer-Encoding so written that one reader sees chunks and another does not:
//! TE.TE. The only coding is `chunked`, in a field that stands once, by HTTP/1.1.

use crate::case::{Case, End, SMUGGLED, case, post, posted, smuggled};

/// Field lines that hide the coding from one reader or another. There is no
/// Content-Length beside them that would be reason enough to refuse.
const REFUSED: &[(&str, &[u8])] = &[
    ("a letter before", b"Transfer-Encoding: xchunked"),
    ("a letter missing", b"Transfer-Encoding: chunke"),
    ("identity", b"Transfer-Encoding: identity"),
    ("empty", b"Transfer-Encoding:"),
    ("only spaces", b"Transfer-Encoding:   "),
    ("gzip", b"Transfer-Encoding: gzip"),
    ("gzip before chunked", b"Transfer-Encoding: gzip, chunked"),
    ("gzip after chunked", b"Transfer-Encoding: chunked, gzip"),
    ("identity before chunked", b"Transfer-Encoding: identity, chunked"),
    ("identity after chunked", b"Transfer-Encoding: chunked, identity"),
    ("chunked twice", b"Transfer-Encoding: chunked, chunked"),
    ("chunked twice without a comma", b"Transfer-Encoding: chunked chunked"),
    ("a comma behind", b"Transfer-Encoding: chunked,"),
    ("a comma before", b"Transfer-Encoding: ,chunked"),
    ("only a comma", b"Transfer-Encoding: ,"),
    ("a parameter", b"Transfer-Encoding: chunked;a=b"),
    ("an empty parameter", b"Transfer-Encoding: chunked;"),
    ("double quotes", b"Transfer-Encoding: \"chunked\""),
    ("single quotes", b"Transfer-Encoding: 'chunked'"),
    ("two lines, both chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("two lines, chunked first", b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow"),
    ("two lines, chunked last", b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
    ("two lines, an empty one last", b"Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
    ("two lines, identity first", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    ("a space before the colon", b"Transfer-Encoding : chunked"),
    ("a tab before the colon", b"Transfer-Encoding\t: chunked"),
    ("a vertical tab before the colon", b"Transfer-Encoding\x0b: chunked"),
    ("a NUL before the colon", b"Transfer-Encoding\0: chunked"),
    ("a line feed before the colon", b"Transfer-Encoding\n: chunked"),
    ("a line end before the colon", b"Transfer-Encoding\r\n : chunked"),
    ("a second colon", b"Transfer-Encoding:: chunked"),
    ("no colon", b"Transfer-Encoding chunked"),
    ("an equals sign", b"Transfer-Encoding= chunked"),
    ("a space for the hyphen", b"Transfer Encoding: chunked"),
    ("a soft hyphen", b"Transfer\xadEncoding: chunked"),
    ("a long s in the name", b"Tran\xc5\xbffer-Encoding: chunked"),
    ("a NUL before the name", b"\0Transfer-Encoding: chunked"),
    ("a byte order mark before the name", b"\xef\xbb\xbfTransfer-Encoding: chunked"),
    ("a space before the name", b"A: b\r\n Transfer-Encoding: chunked"),
    ("a vertical tab before the name", b"A: b\r\n\x0bTransfer-Encoding: chunked"),
    ("behind a bare line feed", b"A: b\nTransfer-Encoding: chunked"),
    ("behind a bare carriage return", b"A: b\rTransfer-Encoding: chunked"),
    ("behind a NUL", b"A: b\0Transfer-Encoding: chunked"),
    ("a vertical tab before the coding", b"Transfer-Encoding: \x0bchunked"),
    ("a vertical tab behind the coding", b"Transfer-Encoding: chunked\x0b"),
    ("a form feed behind the coding", b"Transfer-Encoding: chunked\x0c"),
    ("a NUL before the coding", b"Transfer-Encoding: \0chunked"),
    ("a NUL behind the coding", b"Transfer-Encoding: chunked\0"),
    ("a NUL and more behind the coding", b"Transfer-Encoding: chunked\0x"),
    ("a no-break space before the coding", b"Transfer-Encoding: \xa0chunked"),
    ("a no-break space behind the coding", b"Transfer-Encoding: chunked\xa0"),
    ("a byte over 127 before the coding", b"Transfer-Encoding: \xffchunked"),
    ("the sign for kelvin", b"Transfer-Encoding: chun\xe2\x84\xaaed"),
    ("a carriage return before the coding", b"Transfer-Encoding:\rchunked"),
    ("a carriage return behind the coding", b"Transfer-Encoding: chunked\r"),
    ("a line feed before the coding", b"Transfer-Encoding:\nchunked"),
    ("folded by a space", b"Transfer-Encoding:\r\n chunked"),
    ("folded by a tab", b"Transfer-Encoding:\r\n\tchunked"),
    ("folded inside the coding", b"Transfer-Encoding: chun\r\n ked"),
    ("folded behind the coding", b"Transfer-Encoding: chunked\r\n , identity"),
    ("an escaped letter", b"Transfer-Encoding: %63hunked"),
];

/// Spellings that are the same to everybody (RFC 9110 §5.6.3, RFC 9112 §7).
const LEGAL: &[(&str, &[u8])] = &[
    ("no space", b"Transfer-Encoding:chunked"),
    ("a tab before the coding", b"Transfer-Encoding:\tchunked"),
    ("spaces around the coding", b"Transfer-Encoding:  \t chunked \t "),
    ("another case of the name", b"tRANSFER-eNCODING: chunked"),
    ("another case of the coding", b"Transfer-Encoding: CHUNKED"),
];

/// Fields that look like it. What they say is nobody's length.
const LOOK_ALIKES: &[(&str, &[u8])] = &[
    ("an underscore for the hyphen", b"Transfer_Encoding: chunked"),
    ("another name before", b"X-Transfer-Encoding: chunked"),
    ("another name behind", b"Transfer-Encoding-X: chunked"),
    ("without a hyphen", b"TransferEncoding: chunked"),
];

/// Ends the message for a reader of chunks; another request follows.
fn body() -> Vec<u8> {
    [b"3\r\nabc\r\n0\r\n\r\n", SMUGGLED].concat()
}

pub fn cases() -> Vec<Case> {
    let refused = REFUSED.iter().map(|(name, line)| case(*name, posted(line, body())).refused());
    let legal = LEGAL.iter().map(|(name, line)| {
        case(*name, posted(line, body())).forwarded(&[post("/@", "abc"), smuggled()])
    });
    let beside_a_length = LOOK_ALIKES.iter().map(|(name, line)| {
        let fields = [line, &b"\r\nContent-Length: 13"[..]].concat();
        case(format!("{name}, beside a length"), posted(fields, "3\r\nabc\r\n0\r\n\r\n"))
            .forwarded(&[post("/@", "3\r\nabc\r\n0\r\n\r\n")])
    });
    // Without a length there is no body: what follows is read as a request.
    let alone = LOOK_ALIKES.iter().map(|(name, line)| {
        case(format!("{name}, alone"), posted(line, body()))
            .forwarded_then(&[post("/@", "")], End::Refused(&[400]))
    });
    let old =
        [("HTTP/1.0", "HTTP/1.0"), ("HTTP/1.0 that stays", "HTTP/1.0\r\nConnection: keep-alive")]
            .map(|(name, version)| {
                let head =
                    format!("POST /@ {version}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                case(name, [head.as_bytes(), &body()].concat()).refused()
            });
    refused.chain(legal).chain(beside_a_length).chain(alone).chain(old).collect()
}
