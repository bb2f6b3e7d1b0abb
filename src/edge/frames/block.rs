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
    let mut decoder = loona_hpack::Decoder::new();
    decoder.set_max_allowed_table_size(TABLE_MAX);
    decoder.decode(block).is_ok()
}
