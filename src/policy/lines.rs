//! Lists in files, one entry per line: white space around it is ignored, `#` begins a comment.

use std::io::Read;
use std::path::Path;

/// Largest file, in bytes.
const FILE_MAX: u64 = 64 << 20;

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("cannot read {path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}, line {line}: expected {expected}")]
    Line {
        path: String,
        line: usize,
        expected: &'static str,
    },
}

/// Gives each entry of a file to `take`, which says `None` to one that is not `expected`.
///
/// # Errors
/// When the file cannot be read, or an entry is not taken.
pub fn read(
    path: &Path,
    expected: &'static str,
    take: impl FnMut(&str) -> Option<()>,
) -> Result<(), Unreadable> {
    let name = || path.display().to_string();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|source| Unreadable::File {
            path: name(),
            source,
        })?;
    each(&text, take).map_err(|line| Unreadable::Line {
        path: name(),
        line,
        expected,
    })
}

/// The same for a text; the error is the 1-based line.
pub fn each(text: &str, mut take: impl FnMut(&str) -> Option<()>) -> Result<(), usize> {
    let lines = text.lines().map(str::trim).enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        take(line).ok_or(index + 1)?;
    }
    Ok(())
}
