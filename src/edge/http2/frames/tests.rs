//! Frames, good and bad, however they are cut.

use super::{Alarm, Frames, PREFACE};
use h2::Reason;
use std::sync::Arc;
use std::time::Duration;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn fresh() -> Frames {
    Frames::new(Arc::new(Alarm::default()), Duration::from_secs(10))
}

/// What is found, and how many bytes were passed on.
fn after(frames: &[u8], cut: usize) -> (Option<(Reason, &'static str)>, usize) {
    let alarm = Arc::new(Alarm::default());
    let mut followed = Frames::new(alarm.clone(), Duration::from_secs(10));
    let mut bytes = vec![b'P'; PREFACE];
    bytes.extend(frame(4, 0, 0, &[]));
    let begun = bytes.len();
    bytes.extend(frames);
    let mut passed = 0;
    for part in bytes.chunks(cut) {
        passed += followed.follow(part);
        if followed.tripped {
            break;
        }
    }
    let fault = *alarm.fault.lock();
    (
        fault.map(|fault| (fault.reason, fault.why)),
        passed.saturating_sub(begun),
    )
}

#[test]
fn overdrawn_allowances_are_told_however_the_bytes_are_cut() {
    let get = frame(1, 4, 1, b"x");
    for cut in [1, 7, 4096] {
        for (why, bytes, many) in [
            ("http2_settings", frame(4, 0, 0, &[0, 1, 0, 0, 16, 0]), 150),
            ("http2_ping", frame(6, 0, 0, &[0; 8]), 4000),
            ("http2_empty_data", frame(0, 0, 1, &[]), 300),
            ("http2_priority", frame(2, 0, 3, &[0; 5]), 3000),
            ("http2_unknown_frames", frame(0x42, 0, 3, &[0; 3]), 300),
        ] {
            let all = [get.clone(), bytes.repeat(many)].concat();
            let (fault, _) = after(&all, cut);
            assert_eq!(fault, Some((Reason::ENHANCE_YOUR_CALM, why)), "{cut}");
        }
    }
}

#[test]
fn ordinary_frames_pass_whole() {
    let mut bytes = Vec::new();
    for stream in 0..500_u32 {
        bytes.extend(frame(1, 4, 1 + 2 * stream, b"headers"));
        bytes.extend(frame(0, 0, 1 + 2 * stream, &[0; 100]));
        bytes.extend(frame(6, 1, 0, &[0; 8]));
        bytes.extend(frame(0, 1, 1 + 2 * stream, b""));
    }
    for cut in [1, 10, 5000] {
        assert_eq!(after(&bytes, cut), (None, bytes.len()), "{cut}");
    }
}

#[test]
fn nothing_of_a_wrong_frame_is_passed_on_but_its_head() {
    let good = frame(6, 0, 0, &[0; 8]);
    let bytes = [good.clone(), frame(6, 0, 0, &[0; 6])].concat();
    let (fault, passed) = after(&bytes, 4096);
    assert_eq!(fault.unwrap().0, Reason::FRAME_SIZE_ERROR);
    assert_eq!(passed, good.len());
}

#[test]
fn a_block_that_cannot_be_decompressed_has_a_code_of_its_own() {
    let mut frames = fresh();
    let farewell = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 1]);
    let mut data = frame(0, 0, 1, &farewell);
    let before = data.clone();
    frames.sends(&mut data);
    assert_eq!(data, before, "a body is not a frame");
    for (block, code) in [(&b"\xff\x50"[..], 9), (b"\x00\x01X\x011", 1)] {
        let mut frames = fresh();
        frames.follow(&[b'P'; PREFACE]);
        frames.follow(&frame(4, 0, 0, &[]));
        frames.follow(&frame(1, 5, 1, block));
        let mut sent = farewell.clone();
        for part in sent.chunks_mut(5) {
            frames.sends(part);
        }
        assert_eq!(sent.last(), Some(&code));
    }
}

#[test]
fn streams_that_the_gateway_has_ended_are_not_kept_open() {
    let mut frames = fresh();
    frames.follow(&[b'P'; PREFACE]);
    frames.follow(&frame(4, 0, 0, &[]));
    for stream in (1..20_000).step_by(2) {
        frames.follow(&frame(1, 4, stream, b"headers"));
        let mut reset = frame(3, 0, stream, &[0; 4]);
        for part in reset.chunks_mut(5) {
            frames.sends(part);
        }
        // What was on its way, of this one and of one that is long gone.
        frames.follow(&frame(0, 0, stream, b"late"));
        frames.follow(&frame(0, 0, 1, b"later"));
        assert!(!frames.tripped, "{stream}");
    }
    assert!(frames.streams.open.is_empty());
    frames.follow(&frame(1, 5, 20_001, b"headers"));
    frames.follow(&frame(0, 0, 20_001, b"x"));
    assert!(frames.tripped, "that one was ended by the client");
}

#[test]
fn a_priority_before_trailers_is_no_field() {
    for payload in [&b"\0\0\x3a\x01\x05x"[..], b"\x82\0\0\x07\x05x"] {
        let bytes = [frame(1, 4, 1, b"headers"), frame(1, 0x25, 1, payload)];
        assert_eq!(after(&bytes.concat(), 4096).0, None);
    }
}

#[test]
fn a_table_is_resized_before_the_fields_of_a_block() {
    let sound = super::block::can_be_decompressed;
    assert!(sound(&[0x20, 0x3f, 0x21, 0x82]));
    assert!(!sound(&[0x82, 0x20, 0x86]), "in its middle");
    assert!(!sound(&[0x00, 0x01, b'x', 0x01, b'1', 0x3f, 0x21, 0x82]));
    assert!(!sound(&[0x82, 0x20]), "at its end");
}

#[test]
fn payloads_that_pass_unseen_leave_the_follower_where_it_was() {
    let mut frames = fresh();
    frames.follow(&[b'P'; PREFACE]);
    frames.follow(&frame(4, 0, 0, &[]));
    frames.follow(&frame(1, 5, 1, b"\xff\x50"));
    let mut sent = frame(0, 0, 1, &[7; 8192]);
    frames.sends(&mut sent[..19]);
    assert_eq!(frames.passing(), 8182);
    frames.passes(8000);
    frames.sends(&mut sent[8019..]);
    assert_eq!(frames.passing(), 0);
    let mut farewell = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 1]);
    frames.sends(&mut farewell[..10]);
    assert_eq!(frames.passing(), 0, "its payload is looked at");
    frames.sends(&mut farewell[10..]);
    assert_eq!(farewell.last(), Some(&9));
}
