//! Which users a share falls on: a table of ten thousand buckets, each of which belongs to one
//! color or to nobody. A user's key gives a bucket, the same in every process and version.
//!
//! A color takes buckets from a place of its own (by its name) onwards, passing over those of
//! colors before it. So a share that grows only adds users, and two shares never overlap; growth
//! takes users from another color only where the two meet, and then from the later one.

use super::selector::Selected;
use super::{ColorId, View};
use crate::config::Config;
use crate::config::selector::{Selector, SelectorFor, ShareKey};
use crate::config::units::Percent;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use twox_hash::XxHash64;

/// Buckets of a percent's hundredth each.
pub const BUCKETS: usize = Percent::ALL.0 as usize;
/// A bucket that belongs to no color.
const NOBODY: u16 = u16::MAX;

/// The shares of all colors. Changed in place: a reader needs one relaxed load.
#[derive(Debug)]
pub struct Shares {
    key: Key,
    /// Those with a share, in the order in which they take buckets.
    colors: Box<[Taker]>,
    /// By bucket: an index into `colors`, or [`NOBODY`].
    buckets: Box<[AtomicU16]>,
}

/// A color that takes buckets.
#[derive(Debug)]
struct Taker {
    color: ColorId,
    /// The first bucket it asks for.
    start: usize,
    now: AtomicU16,
}

/// What gives a user its bucket.
#[derive(Debug)]
pub(super) struct Key {
    sticky: Box<[SelectorFor<ShareKey>]>,
    seed: u64,
}

impl Shares {
    /// The shares of a configuration; `None` when no color has one. Colors that a rollout moves
    /// come last: those that stand still keep their users.
    pub fn build(config: &Config) -> Option<Self> {
        let with_share = config.colors.iter().enumerate();
        let mut with_share: Vec<_> = with_share
            .filter_map(|(index, (name, color))| Some((index, name, color.share.as_ref()?)))
            .collect();
        let (_, _, first) = with_share.first()?;
        let key = Key::build(&first.sticky, &config.coloring.salt);
        with_share.sort_by_key(|(_, name, _)| config.rollouts.contains_key(*name));
        let takers = with_share.iter().map(|(index, name, share)| Taker {
            color: ColorId(*index as u16),
            start: bucket_of(hash(0, name.as_bytes())),
            now: AtomicU16::new(share.percent.0),
        });
        let shares = Self {
            key,
            colors: takers.collect(),
            buckets: (0..BUCKETS).map(|_| AtomicU16::new(NOBODY)).collect(),
        };
        shares.lay_out();
        Some(shares)
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The color of a user's bucket.
    #[inline]
    pub fn color(&self, view: &View) -> Option<ColorId> {
        let taker = self.buckets.get(self.key.bucket(view))?.load(Relaxed);
        self.colors.get(usize::from(taker)).map(|taker| taker.color)
    }

    /// What a color has now.
    pub fn percent(&self, color: ColorId) -> Option<Percent> {
        let taker = self.colors.iter().find(|taker| taker.color == color)?;
        Some(Percent(taker.now.load(Relaxed)))
    }

    /// Sets shares; what is not named stays. Together they are at most everything: what would be
    /// more is left out, from the last color on.
    pub fn set(&self, wanted: impl Fn(ColorId) -> Option<Percent>) {
        for taker in &self.colors {
            if let Some(percent) = wanted(taker.color) {
                taker.now.store(percent.0, Relaxed);
            }
        }
        self.lay_out();
    }

    /// Gives the buckets away. Only those that change hands are written.
    fn lay_out(&self) {
        let mut owners = vec![NOBODY; BUCKETS];
        for (index, taker) in self.colors.iter().enumerate() {
            let mut wanted = taker.now.load(Relaxed);
            let (before, after) = owners.split_at_mut(taker.start.min(BUCKETS));
            for owner in after.iter_mut().chain(before) {
                if wanted == 0 {
                    break;
                }
                if *owner == NOBODY {
                    *owner = index as u16;
                    wanted -= 1;
                }
            }
        }
        for (bucket, owner) in self.buckets.iter().zip(owners) {
            if bucket.load(Relaxed) != owner {
                bucket.store(owner, Relaxed);
            }
        }
    }

    /// A user's bucket, and what it comes from, in words.
    pub(super) fn describe(&self, view: &View) -> String {
        self.key.describe(view)
    }
}

/// The split of a service between versions.
#[derive(Debug)]
pub(super) struct Split {
    key: Key,
    /// Ends of the versions' runs of buckets, rising.
    ends: Box<[(usize, super::VersionId)]>,
}

impl Split {
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The version of a user's bucket; `None`: the default one.
    pub(super) fn version(&self, view: &View) -> Option<super::VersionId> {
        let bucket = self.key.bucket(view);
        let found = self.ends.iter().find(|(end, _)| bucket < *end);
        found.map(|(_, version)| *version)
    }

    pub(super) fn build(config: &crate::config::service::Service, salt: &str) -> Option<Self> {
        let split = config.split.as_ref()?;
        let mut end = 0;
        let ends = split.versions.iter().filter_map(|(version, part)| {
            let at = config.versions.keys().position(|known| known == version)?;
            end += usize::from(part.0);
            Some((end, super::VersionId(at as u16)))
        });
        Some(Self {
            key: Key::build(&split.sticky, salt),
            ends: ends.collect(),
        })
    }
}

impl Key {
    fn build(sticky: &[SelectorFor<ShareKey>], salt: &str) -> Self {
        Self {
            sticky: sticky.into(),
            seed: hash(0, salt.as_bytes()),
        }
    }

    #[inline]
    pub(super) fn bucket(&self, view: &View) -> usize {
        match view.bucket {
            Some(bucket) => usize::from(bucket),
            None => bucket_of(self.hash(view).0),
        }
    }

    /// The hash of the first part that the request has, else of the client's network.
    fn hash(&self, view: &View) -> (u64, &Selector) {
        let request = view.selectable();
        for part in &self.sticky {
            if let Some(value) = part.value(&request) {
                return (hash(self.seed, &value), part);
            }
        }
        let network = Selected::network(view.client);
        (hash(self.seed, &network), &Selector::Ip)
    }

    fn describe(&self, view: &View) -> String {
        let bucket = self.bucket(view);
        let by = match (view.bucket, self.hash(view).1) {
            (Some(_), _) => "as stated".to_owned(),
            (None, Selector::Ip) => "by the client's address".to_owned(),
            (None, part) => format!("by {part}"),
        };
        format!("bucket {bucket} of {BUCKETS}, {by}")
    }
}

/// XXH64, whose results are fixed for good: the standard library's may change with its version.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    XxHash64::oneshot(seed, bytes)
}

fn bucket_of(hash: u64) -> usize {
    ((u128::from(hash) * BUCKETS as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, NOBODY, Shares, bucket_of, hash};
    use crate::config::Config;
    use crate::config::units::Percent;
    use crate::routing::testing::{Request, config};
    use proptest::prelude::*;
    use std::sync::atomic::Ordering::Relaxed;

    fn three(percents: [u16; 3]) -> Config {
        let colors = ["able", "baker", "charlie"];
        let tables = colors.iter().zip(percents).map(|(name, percent)| {
            format!(
                "[colors.{name}]\nversions = {{ shop = \"v2\" }}\n\
                 share = {{ percent = \"{}\", sticky = \"cookie:uid\" }}\n",
                Percent(percent)
            )
        });
        config(&tables.collect::<String>())
    }

    fn owners(shares: &Shares) -> Vec<u16> {
        shares.buckets.iter().map(|b| b.load(Relaxed)).collect()
    }

    #[test]
    fn each_share_is_met_within_a_fifth_of_a_point_over_a_million_users() {
        let percents = [500, 2500, 1];
        let shares = Shares::build(&three(percents)).unwrap();
        let owners = owners(&shares);
        let mut met = [0_u32; 3];
        for user in 0..1_000_000_u32 {
            let owner = owners[bucket_of(hash(shares.key.seed, user.to_string().as_bytes()))];
            if owner != NOBODY {
                met[usize::from(owner)] += 1;
            }
        }
        for (met, wanted) in met.into_iter().zip(percents) {
            let off = f64::from(met) / 1e4 - f64::from(wanted) / 1e2;
            assert!(off.abs() < 0.2, "{met} of a million for {wanted}");
        }
    }

    #[test]
    fn a_user_is_hashed_alike_in_every_version() {
        // Fixed for good: a change of these numbers moves the users of everybody.
        assert_eq!(hash(0, b""), 0xef46_db37_51d8_e999);
        assert_eq!(bucket_of(hash(hash(0, b""), b"alice")), 5966);
        let request = Request::get("/").with("cookie", "uid=alice");
        let shares = Shares::build(&three([1, 1, 1])).unwrap();
        assert!(shares.describe(&request.view()).contains("5966"));
    }

    #[test]
    fn whoever_has_no_key_goes_by_address() {
        let shares = Shares::build(&three([1, 1, 1])).unwrap();
        for nothing in ["uid=", "other=1"] {
            let request = Request::get("/").with("cookie", nothing);
            assert!(shares.describe(&request.view()).ends_with("address"));
        }
    }

    proptest! {
        #[test]
        fn a_share_that_grows_only_adds_users_and_none_overlap(
            first in 0_u16..=3000, second in 0_u16..=3000, third in 0_u16..=3000,
            which in 0_usize..3, more in 0_u16..=1000,
        ) {
            let percents = [first, second, third];
            let shares = Shares::build(&three(percents)).unwrap();
            let before = owners(&shares);
            let grown = shares.colors[which].color;
            let wanted = percents[which] + more;
            shares.set(|color| (color == grown).then_some(Percent(wanted)));
            let after = owners(&shares);
            for (bucket, (before, after)) in before.iter().zip(&after).enumerate() {
                prop_assert!(*before != which as u16 || before == after, "bucket {bucket} flips");
            }
            for (index, taker) in shares.colors.iter().enumerate() {
                let has = after.iter().filter(|owner| **owner == index as u16).count();
                prop_assert_eq!(has, usize::from(taker.now.load(Relaxed)));
            }
            prop_assert_eq!(after.len(), BUCKETS);
        }
    }
}
