//! The decoder of request bodies.
#![no_main]

use lb::head::{BodyDecoder, BodyError, Framing};
use libfuzzer_sys::fuzz_target;

/// The body, whether it has ended, how many bytes it took, and the error.
type Outcome = (Vec<u8>, bool, usize, Option<BodyError>);

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let framing = match choice {
        0 => Framing::None,
        1..=15 => Framing::Length(u64::from(choice)),
        _ => Framing::Chunked,
    };
    let whole = decode(framing, bytes, bytes.len().max(1));
    for piece in [1, 2, 3, usize::from(choice).max(1)] {
        assert_eq!(decode(framing, bytes, piece), whole);
    }
});

/// Decodes `bytes`, which come in pieces of `piece`.
fn decode(framing: Framing, bytes: &[u8], piece: usize) -> Outcome {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut taken) = (Vec::new(), 0);
    for arrived in (0..bytes.len()).step_by(piece).map(|at| bytes.len().min(at + piece)) {
        while taken < arrived && !decoder.is_done() {
            match decoder.decode(&bytes[taken..arrived]) {
                Ok(step) => {
                    assert!(step.consumed > 0 && step.data.end <= step.consumed);
                    body.extend_from_slice(&bytes[taken..arrived][step.data]);
                    taken += step.consumed;
                }
                // How much framing before the error was taken depends on the cuts.
                Err(error) => return (body, false, 0, Some(error)),
            }
        }
    }
    (body, decoder.is_done(), taken, None)
}
