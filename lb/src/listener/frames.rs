//! HTTP/2 frames, counted as they pass: floods of what costs the sender nothing.
//!
//! The h2 library answers every PING and SETTINGS and ignores frames that carry
//! nothing, however many come. Nobody honest sends many. Only frame headers are
//! looked at (RFC 9113 §4.1); what they mean is the library's business.

use std::time::{Duration, Instant};

use crate::response::Closing;

/// RFC 9113 §3.4.
const PREFACE: usize = 24;

/// RFC 9113 §4.1.
const HEADER: usize = 9;

/// Frames that continue one header block; the largest head that we take needs
/// five.
const CONTINUATIONS: u32 = 32;

/// How many frames of a kind may come: so many at once, and so many a second.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    burst: u32,
    per_second: u32,
}

/// Clients ping to keep a connection, or to measure it; gRPC's own servers
/// refuse more than one in five minutes without a stream.
const PINGS: Allowance = Allowance { burst: 100, per_second: 10 };

/// Settings are sent once, and changed hardly ever.
const SETTINGS: Allowance = Allowance { burst: 50, per_second: 1 };

/// Cancelled requests. A browser cancels all it has when its user goes
/// elsewhere; Envoy, too, begins to look at 500.
const RESETS: Allowance = Allowance { burst: 500, per_second: 50 };

/// Streams that we reset, because of what the client did to them.
const OUR_RESETS: Allowance = Allowance { burst: 200, per_second: 20 };

/// Frames without content: DATA of nothing, PRIORITY, unknown types.
const EMPTY: Allowance = Allowance { burst: 1000, per_second: 100 };

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS_TYPE: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A bucket of one kind of frame.
#[derive(Debug)]
struct Bucket {
    allowance: Allowance,
    /// When it would be full again.
    full_at: Option<Instant>,
}

impl Bucket {
    const fn new(allowance: Allowance) -> Self {
        Self { allowance, full_at: None }
    }

    /// Takes one; whether there was one.
    fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / self.allowance.per_second;
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + each;
        self.full_at = Some(full_at);
        full_at - now <= each * self.allowance.burst
    }
}

/// Where a run of bytes stands in the sequence of frames.
#[derive(Debug)]
struct Cursor {
    /// Bytes to pass over: the preface, or the payload of a frame.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
}

impl Cursor {
    /// Calls `frame` with length, type and flags of every frame that begins in
    /// `bytes`, until it says stop.
    fn advance<E>(
        &mut self,
        mut bytes: &[u8],
        mut frame: impl FnMut(usize, u8, u8) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                self.filled = 0;
                let [high, middle, low, kind, flags, ..] = self.header;
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                frame(self.skip, kind, flags)?;
            }
        }
        Ok(())
    }
}

/// Counts the frames of a connection.
#[derive(Debug)]
pub(super) struct FrameMeter {
    inbound: Cursor,
    outbound: Cursor,
    pings: Bucket,
    settings: Bucket,
    resets: Bucket,
    our_resets: Bucket,
    empty: Bucket,
    continuations: u32,
    in_header_block: bool,
    settings_seen: bool,
}

impl Default for FrameMeter {
    fn default() -> Self {
        let cursor = |skip| Cursor { skip, header: [0; HEADER], filled: 0 };
        Self {
            inbound: cursor(PREFACE),
            outbound: cursor(0),
            pings: Bucket::new(PINGS),
            settings: Bucket::new(SETTINGS),
            resets: Bucket::new(RESETS),
            our_resets: Bucket::new(OUR_RESETS),
            empty: Bucket::new(EMPTY),
            continuations: 0,
            in_header_block: false,
            settings_seen: false,
        }
    }
}

impl FrameMeter {
    /// Whether the client has sent its first SETTINGS.
    pub(super) fn settings_seen(&self) -> bool {
        self.settings_seen
    }

    /// Whether a header block has begun and not ended.
    pub(super) fn in_header_block(&self) -> bool {
        self.in_header_block
    }

    /// Bytes from the client.
    pub(super) fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), Closing> {
        let Self {
            inbound,
            pings,
            settings,
            resets,
            empty,
            continuations,
            in_header_block,
            settings_seen,
            ..
        } = self;
        inbound.advance(bytes, |length, kind, flags| {
            let allowed = |allowed: bool, flood| if allowed { Ok(()) } else { Err(flood) };
            match kind {
                SETTINGS_TYPE => {
                    *settings_seen = true;
                    allowed(flags & ACK != 0 || settings.take(now), Closing::Http2SettingsFlood)
                }
                PING => allowed(flags & ACK != 0 || pings.take(now), Closing::Http2PingFlood),
                RST_STREAM => allowed(resets.take(now), Closing::Http2ResetFlood),
                HEADERS | PUSH_PROMISE => {
                    *in_header_block = flags & END_HEADERS == 0;
                    *continuations = 0;
                    Ok(())
                }
                CONTINUATION => {
                    *in_header_block = flags & END_HEADERS == 0;
                    *continuations += 1;
                    allowed(*continuations <= CONTINUATIONS, Closing::Http2ContinuationFlood)
                }
                DATA if length == 0 && flags & END_STREAM == 0 => {
                    allowed(empty.take(now), Closing::Http2EmptyFrameFlood)
                }
                DATA | GOAWAY | WINDOW_UPDATE => Ok(()),
                _ => allowed(empty.take(now), Closing::Http2EmptyFrameFlood),
            }
        })
    }

    /// Bytes to the client.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Instant) -> Result<(), Closing> {
        let Self { outbound, our_resets, .. } = self;
        outbound.advance(bytes, |_, kind, _| {
            if kind == RST_STREAM && !our_resets.take(now) {
                return Err(Closing::Http2MadeYouReset);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u32;
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// How many of `frame` pass at once, however they are split.
    fn pass(one: &[u8], split: usize) -> (usize, Option<Closing>) {
        let mut meter = FrameMeter::default();
        let now = Instant::now();
        meter.received(&[b'x'; PREFACE], now).unwrap();
        for count in 0..5000 {
            for piece in one.chunks(split) {
                if let Err(closing) = meter.received(piece, now) {
                    return (count, Some(closing));
                }
            }
        }
        (5000, None)
    }

    #[test]
    fn floods_are_told_apart() {
        for split in [1, 4, 9, 1000] {
            assert_eq!(pass(&frame(PING, 0, &[0; 8]), split), (100, Some(Closing::Http2PingFlood)));
            assert_eq!(
                pass(&frame(SETTINGS_TYPE, 0, &[]), split),
                (50, Some(Closing::Http2SettingsFlood))
            );
            assert_eq!(
                pass(&frame(RST_STREAM, 0, &[0; 4]), split),
                (500, Some(Closing::Http2ResetFlood))
            );
            assert_eq!(
                pass(&frame(CONTINUATION, 0, &[0; 3]), split),
                (32, Some(Closing::Http2ContinuationFlood))
            );
            assert_eq!(
                pass(&frame(DATA, 0, &[]), split),
                (1000, Some(Closing::Http2EmptyFrameFlood))
            );
            assert_eq!(
                pass(&frame(0x2, 0, &[0; 5]), split),
                (1000, Some(Closing::Http2EmptyFrameFlood))
            );
        }
    }

    #[test]
    fn ordinary_traffic_passes() {
        for one in [
            frame(DATA, 0, &[0; 100]),
            frame(DATA, END_STREAM, &[]),
            frame(HEADERS, END_HEADERS, &[0; 20]),
            frame(SETTINGS_TYPE, ACK, &[]),
            frame(PING, ACK, &[0; 8]),
            frame(WINDOW_UPDATE, 0, &[0; 4]),
        ] {
            assert_eq!(pass(&one, 1000), (5000, None), "{one:?}");
        }
    }

    #[test]
    fn a_second_brings_some_back() {
        let mut meter = FrameMeter::default();
        let start = Instant::now();
        meter.received(&[b'x'; PREFACE], start).unwrap();
        let ping = frame(PING, 0, &[0; 8]);
        let mut pass = |count, now| (0..count).all(|_| meter.received(&ping, now).is_ok());
        assert!(pass(100, start));
        assert!(pass(10, start + Duration::from_secs(1)));
        assert!(!pass(1, start + Duration::from_secs(1)));
    }

    #[test]
    fn streams_that_we_reset_are_counted() {
        let mut meter = FrameMeter::default();
        let reset = frame(RST_STREAM, 0, &[0; 4]);
        let now = Instant::now();
        let passed = (0..1000).take_while(|_| meter.sent(&reset, now).is_ok()).count();
        assert_eq!(passed, 200);
    }

    #[test]
    fn header_blocks_are_followed() {
        let mut meter = FrameMeter::default();
        let now = Instant::now();
        meter.received(&[b'x'; PREFACE], now).unwrap();
        assert!(!meter.settings_seen());
        meter.received(&frame(SETTINGS_TYPE, 0, &[]), now).unwrap();
        assert!(meter.settings_seen());
        meter.received(&frame(HEADERS, 0, &[1, 2]), now).unwrap();
        assert!(meter.in_header_block());
        meter.received(&frame(CONTINUATION, END_HEADERS, &[1, 2]), now).unwrap();
        assert!(!meter.in_header_block());
    }
}
