//! The decoder of chunked bodies, trailers included.
#![no_main]

use lb::head::{
    BodyDecoder, BodyError, CHUNK_END, ResponseFraming, may_pass_in_trailer, trailer_fields,
    write_chunk_header, write_field,
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Default, PartialEq)]
struct Decoded {
    body: Vec<u8>,
    trailers: Vec<u8>,
    done: bool,
    taken: usize,
    error: Option<BodyError>,
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let whole = decode(bytes, bytes.len().max(1));
    for piece in [1, 2, 3, usize::from(choice).max(1)] {
        assert_eq!(decode(bytes, piece), whole);
    }
    if !whole.done {
        return;
    }
    assert!(whole.trailers.ends_with(b"\r\n") && bytes[..whole.taken].ends_with(&whole.trailers));

    // As it is passed on: framed anew, without what may not pass.
    let mut wire = Vec::new();
    for chunk in whole.body.chunks(usize::from(choice).max(1)) {
        write_chunk_header(chunk.len(), &mut wire);
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(CHUNK_END);
    }
    wire.extend_from_slice(b"0\r\n");
    let passed = || trailer_fields(&whole.trailers).filter(|field| may_pass_in_trailer(field.name));
    for field in passed() {
        write_field(field.name, field.value, &mut wire);
    }
    wire.extend_from_slice(b"\r\n");
    let again = decode(&wire, wire.len());
    if again.error == Some(BodyError::TrailersTooLarge) {
        // A space after each colon makes them longer.
        return;
    }
    assert!(again.done && again.taken == wire.len());
    assert_eq!(again.body, whole.body);
    assert!(trailer_fields(&again.trailers).eq(passed()));
});

/// Decodes `bytes`, which come in pieces of `piece`.
fn decode(bytes: &[u8], piece: usize) -> Decoded {
    let mut decoder = BodyDecoder::for_response(ResponseFraming::Chunked);
    let mut decoded = Decoded::default();
    for arrived in (0..bytes.len()).step_by(piece).map(|at| bytes.len().min(at + piece)) {
        while decoded.taken < arrived && !decoder.is_done() {
            let input = &bytes[decoded.taken..arrived];
            match decoder.decode(input) {
                Ok(step) => {
                    assert!(step.consumed > 0 && step.data.end <= step.consumed);
                    assert_eq!(step.trailers.end, step.consumed);
                    decoded.body.extend_from_slice(&input[step.data]);
                    decoded.trailers.extend_from_slice(&input[step.trailers]);
                    decoded.taken += step.consumed;
                }
                // How much framing before the error was taken depends on the cuts.
                Err(error) => {
                    return Decoded {
                        body: decoded.body,
                        error: Some(error),
                        ..Decoded::default()
                    };
                }
            }
        }
    }
    decoded.done = decoder.is_done();
    assert_eq!(decoder.finish(), decoded.done);
    decoded
}
