//! The encoders of a body: each piece that goes in comes out at once, so a stream stays one.

use crate::config::compress::Coding;
use brotli::CompressorWriter;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// Effort of each coding: what a proxy can afford.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
/// Windows are kept small, since each answer in flight has one: 2^18 bytes.
const WINDOW_LOG: u32 = 18;
const ZSTD_LEVEL: i32 = 3;

/// A body being compressed.
pub enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// It has failed or ended; nothing more may be sent.
    Over,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
            Coding::Br => {
                let writer = CompressorWriter::new(Vec::new(), 4096, BROTLI_QUALITY, WINDOW_LOG);
                Self::Br(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// What can be sent once this piece is in; at the `end`, the rest.
    pub fn piece(&mut self, piece: &[u8], end: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
            }
            Self::Br(encoder) => {
                encoder.write_all(piece)?;
                if !end {
                    encoder.flush()?;
                }
            }
            Self::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
            }
            Self::Over => return Ok(Vec::new()),
        }
        if end {
            return match std::mem::replace(self, Self::Over) {
                Self::Gzip(encoder) => encoder.finish(),
                Self::Br(encoder) => Ok(encoder.into_inner()),
                Self::Zstd(encoder) => encoder.finish(),
                Self::Over => Ok(Vec::new()),
            };
        }
        Ok(match self {
            Self::Gzip(encoder) => std::mem::take(encoder.get_mut()),
            Self::Br(encoder) => std::mem::take(encoder.get_mut()),
            Self::Zstd(encoder) => std::mem::take(encoder.get_mut()),
            Self::Over => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Encoder;
    use crate::config::compress::Coding;
    use std::io::Read;

    #[test]
    fn what_comes_out_is_what_went_in() {
        let pieces: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; 777]).collect();
        for coding in [Coding::Gzip, Coding::Br, Coding::Zstd] {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut sent = Vec::new();
            for piece in &pieces {
                let own = encoder.piece(piece, false).unwrap();
                assert!(!own.is_empty(), "{coding:?} holds a piece back");
                sent.extend(own);
            }
            sent.extend(encoder.piece(b"end", true).unwrap());
            let mut got = Vec::new();
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut got),
                Coding::Br => brotli::Decompressor::new(&sent[..], 4096).read_to_end(&mut got),
                Coding::Zstd => zstd::stream::read::Decoder::new(&sent[..])
                    .unwrap()
                    .read_to_end(&mut got),
            }
            .unwrap();
            let mut whole = pieces.concat();
            whole.extend(b"end");
            assert_eq!(got, whole);
        }
    }
}
