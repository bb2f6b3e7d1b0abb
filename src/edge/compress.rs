//! Answers made smaller on their way to clients that take it (RFC 9110, section 12.5.3).
//!
//! Never touched: what is coded already, what says `no-transform`, parts of ranges, and answers
//! without a body. Each piece is sent on as it comes, so a stream stays one.

use super::context::Journey;
use crate::config::compress::{Coding, Table};
use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::io::{self, Write};

/// Effort of each coding: what a proxy can afford on the road.
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
    fn new(coding: Coding) -> io::Result<Self> {
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
    fn piece(&mut self, piece: &[u8], end: bool) -> io::Result<Vec<u8>> {
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

/// Decides whether this answer is compressed, and dresses its head accordingly.
///
/// # Errors
/// Never in practice: the values are sound.
pub fn begin(session: &Session, head: &mut ResponseHeader, journey: &mut Journey) -> Result<()> {
    let Some(rules) = journey.route().and_then(|route| route.compress.clone()) else {
        return Ok(());
    };
    let asked = session.req_header();
    if asked.method == Method::HEAD
        || asked.version == Version::HTTP_10
        || !may_be_compressed(head, &rules)
    {
        return Ok(());
    }
    // Whoever caches the answer must know that another client may get another one.
    head.append_header(VARY, HeaderValue::from_static("accept-encoding"))?;
    let Some(coding) = chosen(&asked.headers, &rules.codings) else {
        return Ok(());
    };
    let Ok(encoder) = Encoder::new(coding) else {
        return Ok(());
    };
    head.insert_header(CONTENT_ENCODING, HeaderValue::from_static(coding.name()))?;
    head.remove_header(&CONTENT_LENGTH);
    head.remove_header(&ACCEPT_RANGES);
    if let Some(weak) = head.headers.get(ETAG).and_then(weakened) {
        head.insert_header(ETAG, weak)?;
    }
    if asked.version == Version::HTTP_11 {
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    journey.encoder = Some(Box::new(encoder));
    Ok(())
}

/// The same content in other bytes: only weakly the same (RFC 9110, section 8.8.3).
fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    let tag = tag.to_str().ok().filter(|tag| !tag.starts_with("W/"))?;
    HeaderValue::from_str(&format!("W/{tag}")).ok()
}

fn may_be_compressed(head: &ResponseHeader, rules: &Table) -> bool {
    let headers = &head.headers;
    let bodiless = matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    );
    if bodiless || head.status.is_informational() {
        return false;
    }
    if headers.contains_key(CONTENT_ENCODING) || headers.contains_key(CONTENT_RANGE) {
        return false;
    }
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    let fixed = text(CACHE_CONTROL).is_some_and(|control| control.contains("no-transform"));
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let small = length.is_some_and(|length| length < rules.min.0);
    let kind = text(CONTENT_TYPE).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    !fixed && !small && rules.types.iter().any(|wanted| is_of(kind, wanted))
}

fn is_of(kind: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => kind
            .get(..start.len())
            .is_some_and(|own| own.eq_ignore_ascii_case(start)),
        None => kind.eq_ignore_ascii_case(wanted),
    }
}

/// The coding the client wants most among ours; of equals, the first of ours. `None`: as it is.
fn chosen(headers: &HeaderMap, ours: &[Coding]) -> Option<Coding> {
    let mut best: Option<(u32, Coding)> = None;
    for coding in ours {
        let weight = weight(headers, coding.name());
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *coding));
        }
    }
    let (weighs, coding) = best?;
    // `identity` counts only if the client prefers it outright.
    let plain = weight_of(headers, "identity").unwrap_or(0);
    (weighs >= plain).then_some(coding)
}

/// How much a client wants a coding, in thousandths; `*` stands for those it does not name.
fn weight(headers: &HeaderMap, coding: &str) -> u32 {
    weight_of(headers, coding)
        .or_else(|| weight_of(headers, "*"))
        .unwrap_or(0)
}

fn weight_of(headers: &HeaderMap, coding: &str) -> Option<u32> {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let items = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    for item in items {
        let mut parts = item.split(';');
        let name = parts.next().unwrap_or("").trim();
        if !name.eq_ignore_ascii_case(coding) {
            continue;
        }
        let quality = parts.find_map(|part| {
            let part = part.trim();
            part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))
        });
        let quality = quality.map_or(Some(1.0_f32), |quality| quality.trim().parse().ok());
        return Some((quality.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u32);
    }
    None
}

/// Compresses one piece of the body.
///
/// # Errors
/// When the encoder fails; the answer is cut then, never sent wrong.
pub fn piece(body: &mut Option<Bytes>, end: bool, journey: &mut Journey) -> io::Result<()> {
    let Some(encoder) = &mut journey.encoder else {
        return Ok(());
    };
    let own = body.take().unwrap_or_default();
    if own.is_empty() && !end {
        return Ok(());
    }
    let sent = encoder.piece(&own, end)?;
    *body = (!sent.is_empty()).then(|| sent.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Encoder, chosen, is_of};
    use crate::config::compress::Coding;
    use http::HeaderMap;
    use std::io::Read;

    fn choice(accepted: &'static str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert("accept-encoding", accepted.parse().unwrap());
        chosen(&headers, &[Coding::Zstd, Coding::Br, Coding::Gzip])
    }

    #[test]
    fn the_client_chooses_and_ties_are_ours() {
        for (accepted, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("gzip, br", Some(Coding::Br)),
            ("gzip;q=1, br;q=0.5", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*, zstd;q=0", Some(Coding::Br)),
            ("gzip;q=0", None),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("deflate", None),
            ("", None),
        ] {
            assert_eq!(choice(accepted), coding, "{accepted}");
        }
    }

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

    #[test]
    fn types_match_whole_or_by_kind() {
        assert!(is_of("text/html", "text/*"));
        assert!(is_of("Application/JSON", "application/json"));
        assert!(!is_of("image/png", "text/*"));
        assert!(!is_of("", "text/*"));
    }
}
