//! What is live but not in the file: shares that were set by hand or by rollouts, and where the
//! rollouts are. Written to the state directory at each change, so that it survives a restart.

use super::{Moment, Phase, State};
use crate::config::Config;
use crate::config::units::Percent;
use crate::state::Folder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

/// The file of the book in the folder of the state.
const BOOK_FILE: &str = "rollouts.json";

/// Who has set a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Operator,
    Rollout,
}

/// A share that is not the file's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Override {
    pub percent: Percent,
    /// What the file said then: once it says something else, the file holds again.
    pub file: Percent,
    pub by: By,
    pub since: Moment,
}

/// All of it, by color.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Book {
    #[serde(default)]
    pub shares: BTreeMap<String, Override>,
    #[serde(default)]
    pub rollouts: BTreeMap<String, State>,
    #[serde(skip)]
    folder: Option<Folder>,
}

impl Book {
    /// Opens the book of a folder. One that cannot be read is no reason not to serve. Where another
    /// process moves the shares, this one begins with those of the file.
    pub fn open(folder: Option<&Folder>) -> Self {
        let folder = folder.filter(|folder| folder.is_writable());
        let read = folder.and_then(|folder| {
            let path = folder.path().join(BOOK_FILE);
            let text = std::fs::read(&path).ok()?;
            serde_json::from_slice(&text)
                .inspect_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "not a record of rollouts");
                })
                .ok()
        });
        Self {
            folder: folder.cloned(),
            ..read.unwrap_or_default()
        }
    }

    /// Writes the book; a crash leaves the old one or the new one.
    pub fn write(&self) {
        let folder = self.folder.as_ref();
        let Some(folder) = folder.filter(|folder| folder.is_writable()) else {
            return;
        };
        let path = folder.path().join(BOOK_FILE);
        let written = || -> io::Result<()> {
            let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
            let beside = path.with_extension("new");
            std::fs::write(&beside, text)?;
            std::fs::rename(&beside, &path)
        };
        if let Err(error) = written() {
            tracing::warn!(path = %path.display(), %error, "cannot keep the state of rollouts");
        }
    }

    /// Forgets what the file agrees with or has overtaken, and what it no longer names. A rollout
    /// under way holds its share against the file.
    pub fn settle(&mut self, config: &Config) {
        let file = |color: &str| Some(config.colors.get(color)?.share.as_ref()?.percent);
        self.rollouts
            .retain(|color, _| config.rollouts.contains_key(color.as_str()));
        let rollouts = &self.rollouts;
        self.shares.retain(|color, set| {
            let moving = rollouts
                .get(color)
                .is_some_and(|state| matches!(state.phase, Phase::Running | Phase::Paused));
            match file(color) {
                None => false,
                Some(_) if moving => true,
                Some(file) => set.percent != file && set.file == file,
            }
        });
    }

    /// The share that holds for a color.
    pub fn share(&self, config: &Config, color: &str) -> Option<Percent> {
        let file = config.colors.get(color)?.share.as_ref()?.percent;
        Some(self.shares.get(color).map_or(file, |set| set.percent))
    }

    /// Sets a share; the file's own needs no entry.
    pub fn set(&mut self, color: &str, percent: Percent, file: Percent, by: By, since: Moment) {
        let set = Override {
            percent,
            file,
            by,
            since,
        };
        match percent == file {
            true => self.shares.remove(color),
            false => self.shares.insert(color.to_owned(), set),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, By};
    use crate::config::Config;
    use crate::config::units::Percent;
    use crate::rollout::Moment;
    use crate::routing::testing::config;
    use crate::state::{Folder, Place};

    fn file(percent: &str) -> Config {
        config(&format!(
            "[colors.next]\nversions = {{ shop = \"v2\" }}\nshare = {{ percent = \"{percent}\" }}\n"
        ))
    }

    fn folder(base: &std::path::Path) -> Folder {
        let place = Place {
            base: base.to_owned(),
            instance: "a".parse().unwrap(),
            config: None,
        };
        Folder::open(place).unwrap()
    }

    #[test]
    fn what_was_set_holds_over_a_restart_until_the_file_speaks() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let mut book = Book::open(Some(&folder));
        book.set("next", Percent(2500), Percent(500), By::Operator, Moment(7));
        book.write();
        let mut book = Book::open(Some(&folder));
        book.settle(&file("5%"));
        assert_eq!(book.share(&file("5%"), "next"), Some(Percent(2500)));
        let mut agreed = book.clone();
        agreed.settle(&file("25%"));
        assert!(agreed.shares.is_empty(), "the file agrees");
        book.settle(&file("10%"));
        assert_eq!(book.share(&file("10%"), "next"), Some(Percent(1000)));
    }

    #[test]
    fn a_broken_book_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        std::fs::write(folder.path().join("rollouts.json"), "{").unwrap();
        assert!(Book::open(Some(&folder)).shares.is_empty());
    }
}
