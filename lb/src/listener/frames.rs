//! HTTP/2 frames, counted as they pass: floods of what costs the sender nothing.
//!
//! The h2 library answers every PING and SETTINGS and ignores frames that carry
//! nothing, however many come. Nobody honest sends many. Only frame headers are
//! looked at (RFC 9113 §4.1); what they mean is the library's business.

use std::time::{Duration, Instant};

use h2::Reason;

use crate::response::Closing;

/// RFC 9113 §3.4.
const PREFACE: usize = 24;

/// RFC 9113 §4.1.
const HEADER: usize = 9;

/// Frames that continue one header block: h2's own bound for the largest head
/// that we take is five that do not end it.
const CONTINUATIONS: u32 = 6;

/// What a GOAWAY is understood by: the last stream, a code, and why.
const GOODBYE: usize = 8 + 32;

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

/// Frames without content: DATA of nothing, PRIORITY, GOAWAY, unknown types.
const EMPTY: Allowance = Allowance { burst: 1000, per_second: 100 };

/// A client that takes a response updates two windows, most often for every
/// second frame or less. Each costs us a look-up and nothing else, so that only
/// an excess ends the connection: what a large window holds may be given back in
/// small steps, and every frame of DATA earns some more (Envoy: ten for each).
const WINDOW_UPDATES: Allowance = Allowance { burst: 10_000, per_second: 500 };

/// Updates that a frame of DATA earns.
const UPDATES_EARNED: u32 = 20;

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

    /// Gives some back.
    fn give(&mut self, count: u32) {
        let each = Duration::from_secs(1) / self.allowance.per_second;
        self.full_at = self.full_at.and_then(|at| at.checked_sub(each * count));
    }
}

/// Where a run of bytes stands in the sequence of frames.
#[derive(Debug)]
struct Cursor {
    /// Bytes to pass over: the preface, or the payload of a frame.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    /// The payload of the last GOAWAY, as far as anybody wants to know it.
    goodbye: Vec<u8>,
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
                if self.header[3] == GOAWAY {
                    let kept = passed.min(GOODBYE.saturating_sub(self.goodbye.len()));
                    self.goodbye.extend_from_slice(&bytes[..kept]);
                }
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
                if kind == GOAWAY {
                    self.goodbye.clear();
                }
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
    window_updates: Bucket,
    continuations: u32,
    in_header_block: bool,
    /// Heads that have begun.
    heads: u32,
    settings_seen: bool,
}

impl Default for FrameMeter {
    fn default() -> Self {
        let cursor = |skip| Cursor { skip, header: [0; HEADER], filled: 0, goodbye: Vec::new() };
        Self {
            inbound: cursor(PREFACE),
            outbound: cursor(0),
            pings: Bucket::new(PINGS),
            settings: Bucket::new(SETTINGS),
            resets: Bucket::new(RESETS),
            our_resets: Bucket::new(OUR_RESETS),
            empty: Bucket::new(EMPTY),
            window_updates: Bucket::new(WINDOW_UPDATES),
            continuations: 0,
            in_header_block: false,
            heads: 0,
            settings_seen: false,
        }
    }
}

impl FrameMeter {
    /// Whether the client has sent its first SETTINGS.
    pub(super) fn settings_seen(&self) -> bool {
        self.settings_seen
    }

    /// The number of the head that has begun and not ended: more frames of it are
    /// to come, or more of the last one.
    pub(super) fn open_head(&self) -> Option<u32> {
        let kind = self.inbound.header[3];
        let cut = self.inbound.skip > 0 && matches!(kind, HEADERS | CONTINUATION | PUSH_PROMISE);
        (self.in_header_block || cut).then_some(self.heads)
    }

    /// Bytes from the client.
    pub(super) fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), Closing> {
        let Self {
            inbound,
            pings,
            settings,
            resets,
            empty,
            window_updates,
            continuations,
            in_header_block,
            heads,
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
                    *heads = heads.wrapping_add(1);
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
                WINDOW_UPDATE => allowed(window_updates.take(now), Closing::Http2EmptyFrameFlood),
                DATA => Ok(()),
                _ => allowed(empty.take(now), Closing::Http2EmptyFrameFlood),
            }
        })
    }

    /// Bytes to the client. What h2 says of its own limits in the GOAWAY that
    /// ends a connection is told nowhere else: its error has lost it by then.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Instant) -> Result<(), Closing> {
        let Self { outbound, our_resets, window_updates, .. } = self;
        outbound.advance(bytes, |_, kind, _| {
            match kind {
                DATA => window_updates.give(UPDATES_EARNED),
                RST_STREAM if !our_resets.take(now) => return Err(Closing::Http2MadeYouReset),
                _ => {}
            }
            Ok(())
        })?;
        let whole = outbound.skip == 0 || outbound.goodbye.len() == GOODBYE;
        match outbound.goodbye[..] {
            [_, _, _, _, a, b, c, d, ref why @ ..] if whole => {
                meaning(u32::from_be_bytes([a, b, c, d]).into(), why).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }
}

/// Why h2 ends a connection.
fn meaning(code: Reason, why: &[u8]) -> Option<Closing> {
    Some(match (code, why) {
        (Reason::NO_ERROR, _) => return None,
        (_, b"too_many_resets") => Closing::Http2ResetFlood,
        (_, b"too_many_internal_resets") => Closing::Http2MadeYouReset,
        (_, b"too_many_continuations") => Closing::Http2ContinuationFlood,
        (_, b"too_many_data_frames") => Closing::Http2EmptyFrameFlood,
        // The second: a field that began after the list was over its bound.
        (_, b"header_list_way_too_large") | (Reason::COMPRESSION_ERROR, _) => {
            Closing::Http2HeaderBomb
        }
        _ => Closing::Http2ProtocolError,
    })
}

#[cfg(test)]
mod tests;
