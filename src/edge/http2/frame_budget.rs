//! Frames that cost the gateway more than the HTTP/2 client that sends them have an allowance each,
//! and a client that overdraws one is sent away.
//!
//! The HTTP/2 library bounds what it stores (streams, header lists, continuations, replies); this
//! bounds what it does: rapid resets (CVE-2023-44487), floods of settings, pings, priorities,
//! empty data and window updates (CVE-2019-9511 to 9518).

use super::frames::{ACK, END_STREAM, Head};
use std::time::Instant;

/// A kind of frame with an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    EmptyData,
    Priority,
    Reset,
    Settings,
    Ping,
    WindowUpdate,
    Unknown,
}

impl Kind {
    /// Frames at once, and frames a second in the long run. What honest clients do is a tenth of
    /// it: gRPC clients ping once a round trip to measure bandwidth, browsers reset what a
    /// closed page still loads.
    const fn allowance(self) -> (f32, f32) {
        match self {
            Self::EmptyData => (200.0, 20.0),
            Self::Priority => (2000.0, 200.0),
            Self::Reset => (1000.0, 100.0),
            Self::Settings => (100.0, 10.0),
            Self::Ping => (2000.0, 500.0),
            Self::WindowUpdate => (50_000.0, 20_000.0),
            Self::Unknown => (200.0, 20.0),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyData => "http2_empty_data",
            Self::Priority => "http2_priority",
            Self::Reset => "http2_rapid_reset",
            Self::Settings => "http2_settings",
            Self::Ping => "http2_ping",
            Self::WindowUpdate => "http2_window_update",
            Self::Unknown => "http2_unknown_frames",
        }
    }

    pub const ALL: [Self; 7] = [
        Self::EmptyData,
        Self::Priority,
        Self::Reset,
        Self::Settings,
        Self::Ping,
        Self::WindowUpdate,
        Self::Unknown,
    ];

    /// The kind of a frame, if it has an allowance.
    pub fn of(frame: &Head) -> Option<Self> {
        match frame.kind {
            0x0 if frame.length == 0 && !frame.has(END_STREAM) => Some(Self::EmptyData),
            // Headers and continuations are bounded where they are put together.
            0x0 | 0x1 | 0x5 | 0x7 | 0x9 => None,
            0x2 => Some(Self::Priority),
            0x3 => Some(Self::Reset),
            // An acknowledgement answers a frame of ours.
            0x4 | 0x6 if frame.has(ACK) => None,
            0x4 => Some(Self::Settings),
            0x6 => Some(Self::Ping),
            0x8 => Some(Self::WindowUpdate),
            _ => Some(Self::Unknown),
        }
    }
}

/// What is left of each allowance.
#[derive(Debug)]
pub struct Allowances {
    left: [f32; Kind::ALL.len()],
    refilled: Instant,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            left: Kind::ALL.map(|kind| kind.allowance().0),
            refilled: Instant::now(),
        }
    }
}

impl Allowances {
    /// Takes one frame of a kind. Returns whether there was one to take.
    pub fn take(&mut self, kind: Kind) -> bool {
        if self.draw(kind) {
            return true;
        }
        let now = Instant::now();
        let seconds = now.saturating_duration_since(self.refilled).as_secs_f32();
        self.refilled = now;
        for (left, kind) in self.left.iter_mut().zip(Kind::ALL) {
            let (most, rate) = kind.allowance();
            *left = (*left + seconds * rate).min(most);
        }
        self.draw(kind)
    }

    fn draw(&mut self, kind: Kind) -> bool {
        let mut allowances = self.left.iter_mut().zip(Kind::ALL);
        let Some((left, _)) = allowances.find(|(_, known)| *known == kind) else {
            return true;
        };
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}
