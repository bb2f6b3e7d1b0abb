//! The context of a trace on the wire, W3C Trace Context and B3: read without allocating, written
//! into memory that is used again.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
pub use opentelemetry::trace::{SpanId, TraceId};
use std::cell::RefCell;

pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// All of B3 in one field.
pub static B3: HeaderName = HeaderName::from_static("b3");
pub static B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
pub static B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
pub static B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
pub static B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
pub static B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What the gateway asks of the ids of OpenTelemetry; `N`: digits. None is ever zero here.
pub trait Id<const N: usize>: Sized {
    /// A random one.
    fn fresh() -> Self;
    fn hex(self) -> Hex<N>;
}

impl Id<32> for TraceId {
    fn fresh() -> Self {
        Self::from_bytes(fastrand::u128(..).max(1).to_be_bytes())
    }

    fn hex(self) -> Hex<32> {
        Hex::of(u128::from_be_bytes(self.to_bytes()))
    }
}

impl Id<16> for SpanId {
    fn fresh() -> Self {
        Self::from_bytes(fastrand::u64(..).max(1).to_be_bytes())
    }

    fn hex(self) -> Hex<16> {
        Hex::of(u64::from_be_bytes(self.to_bytes()).into())
    }
}

/// A number below `end` that everybody who knows the id finds too.
pub fn draw(trace: TraceId, end: u16) -> u16 {
    (u128::from_be_bytes(trace.to_bytes()) as u64 % u64::from(end)) as u16
}

fn trace_id(text: &[u8]) -> Option<TraceId> {
    let number = hex(text).filter(|number| *number != 0)?;
    Some(TraceId::from_bytes(number.to_be_bytes()))
}

fn span_id(text: &[u8]) -> Option<SpanId> {
    let number = (text.len() == 16).then(|| hex(text)).flatten()?;
    (number != 0).then(|| SpanId::from_bytes((number as u64).to_be_bytes()))
}

/// A number in lower-case hexadecimal, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    /// `N` is a multiple of eight.
    fn of(mut number: u128) -> Self {
        let mut text = [b'0'; N];
        for word in text.as_chunks_mut().0.iter_mut().rev() {
            *word = digits(number as u32);
            number >>= 32;
        }
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

/// The eight digits of a number, all at once: a nibble in each byte, then what makes them letters.
const fn digits(number: u32) -> [u8; 8] {
    /// One in every byte.
    const ONES: u64 = u64::MAX / 0xff;
    let spread = number as u64;
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (spread | spread << 4) & (ONES * 0xf);
    let letters = ((nibbles + ONES * 6) >> 4) & ONES;
    let text = nibbles + ONES * b'0' as u64 + letters * (b'a' - b'0' - 10) as u64;
    text.to_be_bytes()
}

fn hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// What a request brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// The trace, and the client's span in it; B3 may bring a decision alone.
    pub ids: Option<(TraceId, SpanId)>,
    /// `None`: left to whoever comes next.
    pub sampled: Option<bool>,
}

/// Reads a `traceparent`. Two of them are none.
pub fn w3c(headers: &HeaderMap) -> Option<Remote> {
    let value = only(headers, &TRACEPARENT)?;
    let bytes = value.as_bytes();
    let (version, rest) = bytes.split_first_chunk::<2>()?;
    let version = hex(version).filter(|version| *version != 0xff)?;
    let fields: &[u8; 53] = rest.first_chunk()?;
    // A version that is not known may add fields, behind one more dash.
    let ends = match rest.get(53) {
        None => true,
        Some(b'-') => version > 0,
        Some(_) => false,
    };
    let [b'-', ids @ ..] = fields else {
        return None;
    };
    let (trace, ids) = ids.split_at_checked(32)?;
    let [b'-', ids @ ..] = ids else { return None };
    let (span, flags) = ids.split_at_checked(16)?;
    let [b'-', flags @ ..] = flags else {
        return None;
    };
    let ids = (trace_id(trace)?, span_id(span)?);
    let flags = hex(flags).filter(|_| ends)?;
    Some(Remote {
        ids: Some(ids),
        sampled: Some(flags & 1 == 1),
    })
}

/// Reads a `b3`: `trace-span[-sampled[-parent]]`, or the decision alone.
pub fn b3(headers: &HeaderMap) -> Option<Remote> {
    let text = only(headers, &B3)?.as_bytes();
    if let Some(sampled) = b3_decision(text) {
        return Some(Remote {
            ids: None,
            sampled: Some(sampled),
        });
    }
    let mut fields = text.split(|byte| *byte == b'-');
    let ids = b3_ids(fields.next()?, fields.next()?)?;
    Some(Remote {
        ids: Some(ids),
        sampled: fields.next().and_then(b3_decision),
    })
}

/// Reads `x-b3-*`.
pub fn b3_multi(headers: &HeaderMap) -> Option<Remote> {
    let field = |name| only(headers, name).map(HeaderValue::as_bytes);
    let debug = field(&B3_FLAGS) == Some(b"1");
    let sampled = field(&B3_SAMPLED).and_then(|text| match text {
        b"true" => Some(true),
        b"false" => Some(false),
        text => b3_decision(text),
    });
    let sampled = if debug { Some(true) } else { sampled };
    let ids = match (field(&B3_TRACE), field(&B3_SPAN)) {
        (Some(trace), Some(span)) => b3_ids(trace, span),
        _ => None,
    };
    (ids.is_some() || sampled.is_some()).then_some(Remote { ids, sampled })
}

fn b3_decision(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"d" => Some(true),
        b"0" => Some(false),
        _ => None,
    }
}

/// Ids of traces have 64 or 128 bits here.
fn b3_ids(trace: &[u8], span: &[u8]) -> Option<(TraceId, SpanId)> {
    matches!(trace.len(), 16 | 32).then_some(())?;
    Some((trace_id(trace)?, span_id(span)?))
}

/// The value of a field that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    // Most requests bring none, and this finds that out the fastest.
    let value = headers.get(name)?;
    let again = headers.get_all(name).iter().nth(1);
    again.is_none().then_some(value)
}

/// `00-trace-span-flags`
pub fn traceparent(trace: TraceId, span: SpanId, sampled: bool) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    fill(&mut text, 3, trace.hex());
    fill(&mut text, 36, span.hex());
    if sampled && let Some(last) = text.last_mut() {
        *last = b'1';
    }
    written(&text)
}

/// `trace-span-sampled`
pub fn b3_field(trace: TraceId, span: SpanId, sampled: bool) -> HeaderValue {
    let mut text = *b"00000000000000000000000000000000-0000000000000000-0";
    fill(&mut text, 0, trace.hex());
    fill(&mut text, 33, span.hex());
    if sampled && let Some(last) = text.last_mut() {
        *last = b'1';
    }
    written(&text)
}

fn fill<const N: usize>(text: &mut [u8], at: usize, digits: Hex<N>) {
    if let Some(place) = text.get_mut(at..at + N) {
        place.copy_from_slice(&digits.0);
    }
}

/// An id alone.
pub fn field<const N: usize>(id: Hex<N>) -> HeaderValue {
    written(&id.0)
}

/// Fields are cut from sheets of this size.
const SHEET: usize = 4096;

/// Sheets of each thread. What was cut from the last one may be on the road still; from the one
/// before it, hardly ever.
const SHEETS: usize = 4;

#[derive(Default)]
struct Paper {
    sheets: [BytesMut; SHEETS],
    turn: usize,
}

impl Paper {
    /// A sheet with room for so many bytes: the one in use, the next one that is free again, or, when
    /// requests hold on to all of them, a new one.
    fn with_room(&mut self, size: usize) -> Option<&mut BytesMut> {
        let roomy = |sheet: &BytesMut| sheet.capacity() >= size;
        if !self.sheets.get(self.turn).is_some_and(roomy) {
            self.turn = (self.turn + 1) % SHEETS;
            let next = self.sheets.get_mut(self.turn)?;
            if !next.try_reclaim(SHEET) {
                *next = BytesMut::with_capacity(SHEET);
            }
        }
        self.sheets.get_mut(self.turn)
    }
}

thread_local! {
    static PAPER: RefCell<Paper> = RefCell::default();
}

/// A value from a sheet that its thread writes on again once all that was cut from it is gone:
/// most requests are traced by nobody, and must not pay for an allocation each.
fn written(text: &[u8]) -> HeaderValue {
    let cut: Bytes = PAPER.with_borrow_mut(|paper| {
        let Some(sheet) = paper.with_room(text.len()) else {
            return Bytes::new(); // there is always one
        };
        sheet.extend_from_slice(text);
        sheet.split().freeze()
    });
    HeaderValue::from_maybe_shared(cut).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::{Id, Remote, SpanId, TraceId, b3, b3_field, b3_multi, traceparent, w3c};
    use http::{HeaderMap, HeaderName, HeaderValue};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn w3c_of(value: &str) -> Option<Remote> {
        w3c(&headers(&[("traceparent", value)]))
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let found = w3c_of(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        let (trace, span) = found.ids.unwrap();
        assert_eq!((trace.hex().as_str(), span.hex().as_str()), (TRACE, SPAN));
        assert_eq!(found.sampled, Some(true));
        assert_eq!(
            w3c_of(&format!("00-{TRACE}-{SPAN}-00")).unwrap().sampled,
            Some(false)
        );
        // Other bits say nothing yet; later versions may be longer.
        assert_eq!(
            w3c_of(&format!("00-{TRACE}-{SPAN}-fe")).unwrap().sampled,
            Some(false)
        );
        assert!(w3c_of(&format!("01-{TRACE}-{SPAN}-01-more")).is_some());
        for wrong in [
            String::new(),
            "garbage".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(w3c_of(&wrong), None, "{wrong}");
        }
        let sound = format!("00-{TRACE}-{SPAN}-01");
        let twice = headers(&[("traceparent", &sound), ("traceparent", &sound)]);
        assert_eq!(w3c(&twice), None);
    }

    #[test]
    fn b3_is_read_in_both_spellings() {
        let single = |value: &str| b3(&headers(&[("b3", value)]));
        let found = single(&format!("{TRACE}-{SPAN}-1-{SPAN}")).unwrap();
        assert_eq!(found.ids.unwrap().0.hex().as_str(), TRACE);
        assert_eq!(found.sampled, Some(true));
        assert_eq!(single(&format!("{TRACE}-{SPAN}")).unwrap().sampled, None);
        assert_eq!(single("0").unwrap().sampled, Some(false));
        let short = single("8448eb211c80319c-b7ad6b7169203331-d").unwrap();
        assert_eq!(
            short.ids.unwrap().0.hex().as_str(),
            "00000000000000008448eb211c80319c"
        );
        assert_eq!(single("nonsense"), None);
        let several = headers(&[
            ("x-b3-traceid", TRACE),
            ("x-b3-spanid", SPAN),
            ("x-b3-sampled", "0"),
            ("x-b3-flags", "1"),
        ]);
        assert_eq!(b3_multi(&several).unwrap().sampled, Some(true));
        assert_eq!(b3_multi(&headers(&[])), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for _ in 0..1_000 {
            let (trace, span) = (TraceId::fresh(), SpanId::fresh());
            for sampled in [true, false] {
                let wanted = Some(Remote {
                    ids: Some((trace, span)),
                    sampled: Some(sampled),
                });
                let mut headers = HeaderMap::new();
                headers.insert("traceparent", traceparent(trace, span, sampled));
                headers.insert("b3", b3_field(trace, span, sampled));
                assert_eq!(w3c(&headers), wanted);
                assert_eq!(b3(&headers), wanted);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(0x20_u8..0x7f, 0..70)) {
            let mut headers = HeaderMap::new();
            for name in ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"] {
                headers.insert(name, HeaderValue::from_bytes(&bytes).unwrap());
            }
            let _ = (w3c(&headers), b3(&headers), b3_multi(&headers));
        }
    }
}
