//! What was allocated while a profile was taken and still lives, by who asked for it. The allocator of
//! the feature `heap-profiles` draws a sample per 64 KiB while it is told to, and none else.

use super::{Format, flame};
use flate2::read::GzDecoder;
use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};
use pprof::protos::{Message, Profile};
use std::collections::HashMap;
use std::io::{Error, Read};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Samples are drawn as long as this lives.
pub struct Sampling {
    control: OwnedMutexGuard<JemallocProfCtl>,
    /// `_RJEM_MALLOC_CONF=prof_active:true` has it on for good.
    always: bool,
}

impl Sampling {
    /// Samples for so long; whoever has them drawn from the start on need not wait. `None`: the
    /// allocator was told to keep none.
    pub async fn begin(length: Duration) -> Option<Self> {
        let mut control = PROF_CTL.clone()?.lock_owned().await;
        let always = control.activated();
        if !always {
            control.activate().ok()?;
        }
        let sampling = Self { control, always };
        if !always {
            tokio::time::sleep(length).await;
        }
        Some(sampling)
    }

    /// Ends it, and names what was seen.
    pub fn tell(mut self, format: Format) -> Result<Vec<u8>, Error> {
        let seen = self.control.dump_profile().map_err(Error::other)?;
        // What naming takes is not to be seen.
        drop(self);
        let profile = seen.to_pprof(("inuse_space", "bytes"), ("space", "bytes"), None);
        Ok(match format {
            Format::Protobuf => profile,
            Format::Svg => picture(&profile)?.into_bytes(),
        })
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        if !self.always
            && let Err(error) = self.control.deactivate()
        {
            tracing::error!(%error, "the allocator goes on drawing samples");
        }
    }
}

fn picture(packed: &[u8]) -> Result<String, Error> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes)?;
    let profile = Profile::decode(bytes.as_slice()).map_err(Error::other)?;
    let text = |at: i64| {
        let at = usize::try_from(at).ok();
        at.and_then(|at| profile.string_table.get(at))
    };
    let functions = profile.function.iter();
    let functions: HashMap<u64, &String> = functions
        .filter_map(|function| Some((function.id, text(function.name)?)))
        .collect();
    // Functions that were put into others have one address with them.
    let locations: HashMap<u64, Vec<&String>> = profile
        .location
        .iter()
        .map(|location| {
            let lines = location.line.iter().rev();
            let names = lines.filter_map(|line| functions.get(&line.function_id).copied());
            (location.id, names.collect())
        })
        .collect();
    let stacks = profile.sample.iter().map(|sample| {
        let places = sample.location_id.iter().rev();
        let names = places.filter_map(|id| locations.get(id)).flatten();
        let weight = sample.value.first().copied().unwrap_or(0);
        (
            names.copied().cloned().collect(),
            u64::try_from(weight).unwrap_or(0),
        )
    });
    Ok(flame::draw("bytes", stacks))
}
