//! What `explain -c` takes for true: the files that a configuration names, and what is stated.

use crate::config::Config;
use crate::config::test::Bucket;
use crate::config::units::Percent;
use crate::policy::auth;
use crate::question::{Holder, World};
use crate::routing::selftest::AllHealthy;
use crate::routing::{Availability, ServiceId, VersionId};
use http::HeaderMap;
use std::str::FromStr;

/// What a test of a file can state, and so a question to a file too.
#[derive(Debug, clap::Args)]
pub struct Stated {
    /// With -c: `down` or `open=SERVICE/VERSION`, `signed=COLOR`, `bucket=N`, as in `[[tests]]`
    #[arg(long, value_name = "KEY=VALUE", requires = "file")]
    given: Vec<Given>,
}

/// One thing that is stated.
#[derive(Debug, Clone)]
enum Given {
    /// A version without a healthy endpoint.
    Down(String),
    /// A version whose breaker is open.
    Open(String),
    /// The color that the request brings, taken for signed.
    Signed(String),
    /// The user's bucket.
    Bucket(Bucket),
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bucket = |value: &str| {
            let number = value.parse().ok().filter(|number| *number < Percent::ALL.0);
            number.map(Bucket).ok_or("a bucket is 0 to 9999".to_owned())
        };
        match text.split_once('=') {
            Some(("down", version)) => Ok(Self::Down(version.to_owned())),
            Some(("open", version)) => Ok(Self::Open(version.to_owned())),
            Some(("signed", color)) => Ok(Self::Signed(color.to_owned())),
            Some(("bucket", value)) => bucket(value).map(Self::Bucket),
            _ => Err("the keys are `down`, `open`, `signed` and `bucket`".to_owned()),
        }
    }
}

/// What a configuration and the files it names tell: every version is well.
#[derive(Debug)]
pub struct Files<'c> {
    config: &'c Config,
    up: AllHealthy,
    down: Vec<(ServiceId, VersionId)>,
    open: Vec<(ServiceId, VersionId)>,
    stated: &'c Stated,
}

impl<'c> Files<'c> {
    /// What a file tells with what is stated besides. `None`: a version is not in it.
    pub fn of(config: &'c Config, stated: &'c Stated) -> Option<Self> {
        Some(Self {
            config,
            up: AllHealthy::of(config),
            down: members(config, stated, |given| match given {
                Given::Down(version) => Some(version),
                _ => None,
            })?,
            open: members(config, stated, |given| match given {
                Given::Open(version) => Some(version),
                _ => None,
            })?,
            stated,
        })
    }
}

/// The versions that are named. `None`: one of them is not there.
fn members(
    config: &Config,
    stated: &Stated,
    named: fn(&Given) -> Option<&String>,
) -> Option<Vec<(ServiceId, VersionId)>> {
    let find = |word: &String| {
        let (service, version) = word.split_once('/')?;
        let at = config.services.keys().position(|name| **name == *service)?;
        let versions = &config.services.get(service)?.versions;
        let version = versions.keys().position(|name| **name == *version)?;
        Some((ServiceId(at as u32), VersionId(version as u16)))
    };
    stated.given.iter().filter_map(named).map(find).collect()
}

impl Availability for Files<'_> {
    fn available(&self, service: ServiceId, version: VersionId) -> bool {
        self.up.available(service, version) && !self.down.contains(&(service, version))
    }

    fn broken(&self, service: ServiceId, version: VersionId) -> bool {
        self.open.contains(&(service, version))
    }

    fn exists(&self, service: ServiceId, version: VersionId) -> bool {
        self.up.exists(service, version)
    }
}

impl World for Files<'_> {
    fn signed(&self) -> Option<&str> {
        self.stated.given.iter().find_map(|given| match given {
            Given::Signed(color) => Some(color.as_str()),
            _ => None,
        })
    }

    fn bucket(&self) -> Option<u16> {
        self.stated.given.iter().find_map(|given| match given {
            Given::Bucket(Bucket(bucket)) => Some(*bucket),
            _ => None,
        })
    }

    /// A file of keys that cannot be read tells nothing.
    fn holder(&self, provider: &str, headers: &HeaderMap) -> Holder {
        let keys = self.config.api_keys.get(provider);
        let read = keys.and_then(|keys| Some((keys, auth::consumers(keys).ok()?.0)));
        let found = read.and_then(|(keys, consumers)| auth::holder(keys, &consumers, headers));
        match found {
            None => Holder::NoKey,
            Some(None) => Holder::Unknown,
            Some(Some(consumer)) => Holder::Known(consumer.claims.clone()),
        }
    }
}
