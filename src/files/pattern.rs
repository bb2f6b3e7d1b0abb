//! Finds the files of a pattern, looking at a bounded number of names.
//!
//! `*`, `?` and `[…]` stand for characters within one name, `**` for any number of directories. A
//! walk does not follow symbolic links below `**`, so that circles end.

use glob::Pattern;
use std::io::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Most names that one pattern looks at. A pattern such as `/**/*.toml` would walk whole disks.
pub const NAMES_MAX: usize = 50_000;

/// The files of a pattern, and the directories that could not be looked into.
#[derive(Debug, Default)]
pub struct Found {
    /// Sorted.
    pub paths: Vec<PathBuf>,
    pub unreadable: Vec<(PathBuf, Error)>,
}

/// Whether a text is a pattern, rather than the path of one file.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Finds what matches a pattern; nothing at all is fine.
///
/// # Errors
/// When the text is not a pattern, or more than [`NAMES_MAX`] names would have to be looked at.
pub fn find(pattern: &Path) -> Result<Found> {
    let mut walk = Walk::default();
    let mut at = PathBuf::new();
    let mut rest = Vec::new();
    for component in pattern.components() {
        match component {
            Component::Normal(name) if !rest.is_empty() || is_pattern(&name.to_string_lossy()) => {
                let text = name.to_string_lossy();
                rest.push(Pattern::new(&text).map_err(Error::other)?);
            }
            // Before the first pattern, and for `..` behind it, there is nothing to look for.
            other if rest.is_empty() => at.push(other),
            _ => return Err(Error::other("`..` cannot follow a pattern")),
        }
    }
    walk.step(&at, &rest)?;
    walk.found.paths.sort();
    walk.found.paths.dedup();
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Names that were looked at, and directories that were looked into.
    names: usize,
}

impl Walk {
    /// Goes on from a path with what is left of the pattern.
    fn step(&mut self, at: &Path, rest: &[Pattern]) -> Result<()> {
        let Some((first, behind)) = rest.split_first() else {
            self.found.paths.push(at.to_owned());
            return Ok(());
        };
        if first.as_str() == "**" {
            return self.any_depth(at, rest, behind);
        }
        if !is_pattern(first.as_str()) {
            let next = at.join(first.as_str());
            return match std::fs::symlink_metadata(&next) {
                Ok(_) => self.step(&next, behind),
                Err(_) => Ok(()),
            };
        }
        let last = behind.is_empty();
        for (path, name, directory) in self.entries(at)? {
            if first.matches(&name) && (last || directory || path.is_dir()) {
                self.step(&path, behind)?;
            }
        }
        Ok(())
    }

    /// `**` stands for no directory, or for one and what it holds.
    fn any_depth(&mut self, at: &Path, rest: &[Pattern], behind: &[Pattern]) -> Result<()> {
        if !behind.is_empty() {
            self.step(at, behind)?;
        }
        for (path, _, directory) in self.entries(at)? {
            if directory {
                self.step(&path, rest)?;
            } else if behind.is_empty() {
                self.found.paths.push(path);
            }
        }
        Ok(())
    }

    /// Counts one name, or one look into a directory.
    fn count(&mut self) -> Result<()> {
        self.names += 1;
        match self.names > NAMES_MAX {
            true => Err(Error::other(format!(
                "more than {NAMES_MAX} names to look at"
            ))),
            false => Ok(()),
        }
    }

    /// What a directory holds: the path, the name, and whether it is a directory itself, not a
    /// link to one.
    fn entries(&mut self, at: &Path) -> Result<Vec<(PathBuf, String, bool)>> {
        let here = if at == Path::new("") {
            Path::new(".")
        } else {
            at
        };
        let entries = match std::fs::read_dir(here) {
            Ok(entries) => entries,
            // What is not there, or is no directory, has nothing that could match.
            Err(error) if !here.is_dir() => {
                drop(error);
                return Ok(Vec::new());
            }
            Err(error) => {
                self.found.unreadable.push((at.to_owned(), error));
                return Ok(Vec::new());
            }
        };
        self.count()?;
        let mut held = Vec::new();
        for entry in entries {
            self.count()?;
            let Ok(entry) = entry else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            held.push((at.join(entry.file_name()), name, directory));
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES_MAX, find};
    use std::path::Path;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "a.toml",
            "b.txt",
            "one/c.toml",
            "one/two/d.toml",
            "other/e.toml",
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("one/circle")).unwrap();
        dir
    }

    fn names(dir: &Path, pattern: &str) -> Vec<String> {
        let found = find(&dir.join(pattern)).unwrap();
        let own = |path: &std::path::PathBuf| path.strip_prefix(dir).unwrap().display().to_string();
        found.paths.iter().map(own).collect()
    }

    #[test]
    fn patterns_find_what_they_name() {
        let dir = tree();
        for (pattern, expected) in [
            ("*.toml", &["a.toml"] as &[&str]),
            ("[ab].t*", &["a.toml", "b.txt"]),
            ("o*/?.toml", &["one/c.toml", "other/e.toml"]),
            ("one/*/d.toml", &["one/two/d.toml"]),
            (
                "**/*.toml",
                &["a.toml", "one/c.toml", "one/two/d.toml", "other/e.toml"],
            ),
            ("one/**", &["one/c.toml", "one/two/d.toml"]),
            ("none/*.toml", &[]),
            ("a.toml/*", &[]),
        ] {
            let found = names(dir.path(), pattern);
            let found: Vec<_> = found
                .iter()
                .filter(|name| !name.contains("circle"))
                .collect();
            assert_eq!(found, expected, "{pattern}");
        }
        // One level through a link is what `*` says; below `**` there is none.
        assert_eq!(names(dir.path(), "one/*/a.toml"), ["one/circle/a.toml"]);
    }

    #[test]
    fn a_walk_ends_at_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        // Each level multiplies what a pattern has to look at.
        for level in ["x", "y"] {
            let path = dir.path().join(level);
            std::fs::create_dir(&path).unwrap();
            for index in 0..=NAMES_MAX / 2 {
                std::fs::File::create(path.join(index.to_string())).unwrap();
            }
        }
        let error = find(&dir.path().join("*/*.toml")).unwrap_err();
        assert!(error.to_string().contains("names to look at"), "{error}");
        assert!(find(&dir.path().join("x/*.toml")).is_ok());
    }

    #[test]
    fn what_is_no_pattern_is_an_error() {
        assert!(find(Path::new("a/[")).is_err());
        assert!(find(Path::new("a/*/../b")).is_err());
    }
}
