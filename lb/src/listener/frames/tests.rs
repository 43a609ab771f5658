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
            (6, Some(Closing::Http2ContinuationFlood))
        );
        assert_eq!(pass(&frame(DATA, 0, &[]), split), (1000, Some(Closing::Http2EmptyFrameFlood)));
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
fn window_updates_are_earned() {
    let mut meter = FrameMeter::default();
    let now = Instant::now();
    meter.received(&[b'x'; PREFACE], now).unwrap();
    let update = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]);
    let data = frame(DATA, 0, &[0; 100]);
    for _ in 0..10_000 {
        (0..UPDATES_EARNED).for_each(|_| meter.received(&update, now).unwrap());
        meter.sent(&data, now).unwrap();
    }
    let more = (0..20_000).take_while(|_| meter.received(&update, now).is_ok()).count();
    assert_eq!(more, 10_000);
}

#[test]
fn what_h2_says_at_the_end_is_understood() {
    for (code, why, closing) in [
        (0, "", None),
        (11, "too_many_resets", Some(Closing::Http2ResetFlood)),
        (11, "too_many_internal_resets", Some(Closing::Http2MadeYouReset)),
        (11, "too_many_continuations", Some(Closing::Http2ContinuationFlood)),
        (11, "header_list_way_too_large", Some(Closing::Http2HeaderBomb)),
        (9, "", Some(Closing::Http2HeaderBomb)),
        (1, "", Some(Closing::Http2ProtocolError)),
        (11, "a reason that is longer than what is kept of it", Some(Closing::Http2ProtocolError)),
    ] {
        let mut payload = vec![0, 0, 0, 1, 0, 0, 0, code];
        payload.extend_from_slice(why.as_bytes());
        let bytes = [frame(PING, 0, &[0; 8]), frame(GOAWAY, 0, &payload)].concat();
        for split in [1, 5, 100] {
            let mut meter = FrameMeter::default();
            let now = Instant::now();
            let said = bytes.chunks(split).find_map(|piece| meter.sent(piece, now).err());
            assert_eq!(said, closing, "{why:?} in pieces of {split}");
        }
    }
}

#[test]
fn a_head_that_is_cut_within_a_frame_is_a_head() {
    let mut meter = FrameMeter::default();
    let now = Instant::now();
    meter.received(&[b'x'; PREFACE], now).unwrap();
    let whole = frame(HEADERS, END_HEADERS, &[0; 20]);
    meter.received(&whole[..HEADER + 5], now).unwrap();
    assert!(meter.open_head().is_some());
    meter.received(&whole[HEADER + 5..], now).unwrap();
    assert!(meter.open_head().is_none());
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
    assert!(meter.open_head().is_some());
    meter.received(&frame(CONTINUATION, END_HEADERS, &[1, 2]), now).unwrap();
    assert!(meter.open_head().is_none());
}
