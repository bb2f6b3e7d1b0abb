//! State of an earlier release, which lies in the base directory itself, goes to one instance.
//!
//! A file is moved, so it never belongs to two. A generation goes to the instance of the
//! configuration it was made of. Tokens, keys and shares go with the newest generation. Cached key
//! sets do not say whose they are, and are removed.

use super::instance::{FILES, GENERATIONS, identity};
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The configuration that the old files belong to if nothing shows otherwise.
const USUAL_CONFIG: &str = "/etc/tyrian/tyrian.toml";
/// Largest configuration that is compared with an old text.
const TEXT_MAX: u64 = 8 << 20;

/// A stored generation, as far as it says whose it is.
#[derive(Deserialize)]
struct Generation {
    entry: Entry,
    sources: Vec<Text>,
}

#[derive(Deserialize)]
struct Entry {
    generation: u64,
}

#[derive(Deserialize)]
struct Text {
    name: PathBuf,
    text: String,
}

/// Whose an old file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Others,
    Unknown,
}

/// Moves what is ours into a folder that is new. A failure is logged: the gateway serves without.
pub(super) fn take_over(base: &Path, folder: &Path, config: Option<&Path>) {
    let is_new = !folder.join(GENERATIONS).exists();
    let Some(config) = config.filter(|_| is_new && !old_files(base).is_empty()) else {
        return;
    };
    match moved(base, folder, &identity(config)) {
        Ok(0) => {}
        Ok(files) => tracing::info!(
            files,
            from = %base.display(),
            to = %folder.display(),
            "state of an earlier release taken over"
        ),
        Err(error) => tracing::warn!(
            from = %base.display(),
            %error,
            "cannot take over the state of an earlier release"
        ),
    }
    let left = old_files(base);
    if !left.is_empty() {
        tracing::warn!(
            files = left.len(),
            directory = %base.display(),
            "state of an earlier release is left alone: nothing shows that it belongs to {}; \
             what does can be moved to {} by hand",
            config.display(),
            folder.display()
        );
    }
}

/// Files of an earlier release. A link is one of ours, for scripts.
fn old_files(base: &Path) -> Vec<PathBuf> {
    let known = FILES.iter().map(|name| base.join(name));
    let generations = entries(&base.join(GENERATIONS));
    let all = known.chain(key_sets(base)).chain(generations);
    all.filter(|path| path.is_file() && !path.is_symlink())
        .collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

fn key_sets(base: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(base).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("jwks-") && name.ends_with(".json")
    })
}

/// Moves files, and tells how many.
fn moved(base: &Path, folder: &Path, config: &Path) -> io::Result<usize> {
    // Two instances that start at once decide one after the other.
    let one_at_a_time = File::open(base)?;
    one_at_a_time.lock()?;
    let mut generations: Vec<(u64, Whose, PathBuf)> = entries(&base.join(GENERATIONS))
        .filter_map(|path| {
            let stored: Generation = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            Some((stored.entry.generation, whose(&stored, config), path))
        })
        .collect();
    generations.sort_by_key(|(generation, ..)| *generation);
    let rest = match generations.last() {
        Some((_, Whose::Ours, _)) => true,
        Some((_, Whose::Others, _)) => false,
        Some((_, Whose::Unknown, _)) | None => config == Path::new(USUAL_CONFIG),
    };
    let mut count = 0;
    if rest {
        for path in key_sets(base) {
            std::fs::remove_file(path)?;
        }
        for name in FILES {
            count += usize::from(give(&base.join(name), &folder.join(name))?);
        }
    }
    let ours = generations
        .iter()
        .filter(|(_, whose, _)| *whose == Whose::Ours);
    let kept = folder.join(GENERATIONS);
    for (generation, _, path) in ours {
        std::fs::create_dir_all(&kept)?;
        count += usize::from(give(path, &kept.join(format!("{generation}.json")))?);
    }
    // It is removed once it is empty.
    let _ = std::fs::remove_dir(base.join(GENERATIONS));
    Ok(count)
}

/// Moves a file unless it is absent, a link, or in the way of another one.
fn give(from: &Path, to: &Path) -> io::Result<bool> {
    if !from.is_file() || from.is_symlink() || to.exists() {
        return Ok(false);
    }
    std::fs::rename(from, to)?;
    Ok(true)
}

/// Tells whose a generation is: by the path it was read from, or, where that is relative and so
/// may be any, by its text.
fn whose(stored: &Generation, config: &Path) -> Whose {
    let Some(first) = stored.sources.first() else {
        return Whose::Unknown;
    };
    if first.name.is_absolute() {
        let name = identity(&first.name);
        let is_ours = name == config || name.parent() == Some(config);
        return if is_ours { Whose::Ours } else { Whose::Others };
    }
    let file = match config.is_dir() {
        true => first.name.file_name().map(|name| config.join(name)),
        false => Some(config.to_owned()),
    };
    let short = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() <= TEXT_MAX);
    let text = file
        .filter(short)
        .and_then(|path| std::fs::read_to_string(path).ok());
    match text {
        Some(text) if text == first.text => Whose::Ours,
        _ => Whose::Unknown,
    }
}
