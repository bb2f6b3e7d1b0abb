//! Protobuf, appended field by field: what is written for many requests makes no tree first.

/// How a field is laid out (protobuf.dev/programming-guides/encoding).
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// Seven bits a byte, the lowest first. By hand, since the library's goes through a trait that looks
/// after its room again for each byte: most are one byte long, and a span has a hundred.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(out: &mut Vec<u8>, tag: u32, wire: Wire) {
    varint(out, u64::from(tag << 3 | wire as u32));
}

/// Appends bytes, a text, or a message that is written already.
pub fn bytes(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    head(out, tag, value.len());
    out.extend_from_slice(value);
}

/// Opens a field of so many bytes.
pub fn head(out: &mut Vec<u8>, tag: u32, length: usize) {
    key(out, tag, Wire::Bytes);
    varint(out, length as u64);
}

/// Appends a whole number that is not negative, or a word of an enumeration.
pub fn number(out: &mut Vec<u8>, tag: u32, value: u64) {
    key(out, tag, Wire::Varint);
    varint(out, value);
}

pub fn fixed64(out: &mut Vec<u8>, tag: u32, value: u64) {
    key(out, tag, Wire::Fixed64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn fixed32(out: &mut Vec<u8>, tag: u32, value: u32) {
    key(out, tag, Wire::Fixed32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a message whose length nobody knows before it is written.
pub fn message(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let end = out.len();
    head(out, tag, end - start);
    let head = out.len() - end;
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(head);
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, fixed32, fixed64, message, number};
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status};
    use prost::Message;

    #[test]
    fn messages_are_those_that_the_library_writes() {
        for length in [0, 1, 100, 127, 128, 20_000] {
            let mut own = Vec::new();
            message(&mut own, 2, |out| {
                bytes(out, 5, "n".repeat(length).as_bytes());
                fixed64(out, 7, u64::MAX - 1);
                message(out, 15, |out| number(out, 3, 2));
                fixed32(out, 16, 0x301);
            });
            let spans = vec![Span {
                name: "n".repeat(length),
                start_time_unix_nano: u64::MAX - 1,
                status: Some(Status {
                    code: 2,
                    ..Status::default()
                }),
                flags: 0x301,
                ..Span::default()
            }];
            let theirs = ScopeSpans {
                spans,
                ..ScopeSpans::default()
            };
            assert_eq!(ScopeSpans::decode(own.as_slice()).unwrap(), theirs);
            if length > 0 {
                assert_eq!(own, theirs.encode_to_vec(), "{length}");
            }
        }
    }
}
