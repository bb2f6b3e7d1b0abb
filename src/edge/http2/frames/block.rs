//! What can be said of a header block without taking it apart.

use super::LOOKED_AT;

/// Largest table of a client's compression: what both sides begin with, never raised.
const TABLE_MAX: usize = 4096;

/// Whether the first field of a block is a pseudo-field (RFC 7541, section 6). Later ones are
/// malformed wherever they are, which the library knows.
pub fn is_pseudo(block: [u8; LOOKED_AT]) -> bool {
    let [first, length, letter, ..] = block;
    let indexed = |index| (1..=14).contains(&index);
    match first {
        // A name of its own: `:` as it is, or as the Huffman code has it.
        0x00 | 0x10 | 0x40 if length & 0x80 == 0 => letter == b':',
        0x00 | 0x10 | 0x40 => letter & 0xfe == 0b1011_1000,
        0x80.. => indexed(first & 0x7f),
        0x40.. => indexed(first & 0x3f),
        _ => first & 0x20 == 0 && indexed(first & 0x0f),
    }
}

/// Whether a header block is sound as compression goes, whatever it says.
pub fn can_be_decompressed(block: &[u8]) -> bool {
    if resizes_late(block) {
        return false;
    }
    let mut decoder = loona_hpack::Decoder::new();
    decoder.set_max_allowed_table_size(TABLE_MAX);
    decoder.decode(block).is_ok()
}

/// Whether the table is resized elsewhere than at the start of the block, which is wrong (RFC 7541,
/// section 4.2) and no decoder's concern.
fn resizes_late(mut block: &[u8]) -> bool {
    let mut fields = false;
    while let Some(first) = block.first().copied() {
        let rest = match first {
            0x80.. => integer(block, 7).map(|(_, rest)| rest),
            0x20..0x40 if fields => return true,
            0x20..0x40 => {
                block = match integer(block, 5) {
                    Some((_, rest)) => rest,
                    None => return false,
                };
                continue;
            }
            0x40.. => literal(block, 6),
            _ => literal(block, 4),
        };
        fields = true;
        match rest {
            Some(rest) => block = rest,
            None => return false, // cut short, which the decoder finds
        }
    }
    false
}

/// What follows a field with a value, and maybe a name, of its own.
fn literal(block: &[u8], prefix: u32) -> Option<&[u8]> {
    let (name, rest) = integer(block, prefix)?;
    let rest = if name == 0 { string(rest)? } else { rest };
    string(rest)
}

fn string(block: &[u8]) -> Option<&[u8]> {
    let (length, rest) = integer(block, 7)?;
    rest.get(length..)
}

/// An integer, and what follows it (RFC 7541, section 5.1).
fn integer(block: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = block.split_first()?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}
