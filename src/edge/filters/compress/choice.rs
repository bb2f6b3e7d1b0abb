//! Which coding a client is given, by its `Accept-Encoding` (RFC 9110, section 12.5.3).

use crate::config::compress::Coding;
use crate::edge::headers::elements;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// The coding the client wants most among ours; of equals, the first of ours. `None`: as it is.
pub fn chosen(headers: &HeaderMap, ours: &[Coding]) -> Option<Coding> {
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
    let items = elements(headers, &ACCEPT_ENCODING).filter_map(|item| str::from_utf8(item).ok());
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

#[cfg(test)]
mod tests {
    use super::chosen;
    use crate::config::compress::Coding;
    use http::HeaderMap;

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
}
