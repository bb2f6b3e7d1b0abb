//! Characters that a reader of a text does not see, or that change how the rest of it looks: values
//! with them could end lines, hide words or turn their order round where they are shown.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Whether a character is a control (U+0000 to U+001F, U+007F to U+009F), a separator of lines or
/// paragraphs, or formats the text about it: directions, joiners, spaces without width, tags.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A character as the escape that JSON has for it: `\u0085`, or two of them beyond U+FFFF.
pub struct Escaped(pub char);

impl fmt::Display for Escaped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in self.0.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}")?;
        }
        Ok(())
    }
}

/// A text with its hidden characters escaped, but for those of ASCII below U+007F: line feeds and the
/// escapes of a terminal's colors stay. What is JSON stays JSON.
pub fn beyond_ascii(text: &str) -> Cow<'_, str> {
    let hides = |character: char| character > '~' && is_hidden(character);
    if text.bytes().all(|byte| byte <= b'~') || !text.contains(hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match hides(character) {
            true => drop(write!(shown, "{}", Escaped(character))),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::{beyond_ascii, is_hidden};

    #[test]
    fn what_is_hidden_is_told_from_what_is_seen() {
        for hidden in [
            0, 0x1b, 0x7f, 0x80, 0x85, 0x9b, 0x9f, 0xad, 0x61c, 0x200b, 0x200d, 0x200e, 0x200f,
            0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xfff9, 0xe0041,
        ] {
            assert!(is_hidden(char::from_u32(hidden).unwrap()), "{hidden:x}");
        }
        for seen in [' ', '~', '\u{a0}', 'é', '中', '\u{2027}', '\u{202f}', '😀'] {
            assert!(!is_hidden(seen), "{seen:?}");
        }
    }

    #[test]
    fn only_what_is_beyond_ascii_is_escaped() {
        assert_eq!(beyond_ascii("\x1b[31mé\n"), "\x1b[31mé\n");
        assert_eq!(
            beyond_ascii("a\u{202e}b\u{85}\u{7f}"),
            "a\\u202eb\\u0085\\u007f"
        );
        assert_eq!(beyond_ascii("\u{e0041}"), "\\udb40\\udc41");
        let json = format!("{{\"a\":\"{}\"}}", beyond_ascii("\u{2028}\u{e0041}"));
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["a"], "\u{2028}\u{e0041}");
    }
}
