//! Which version serves instead when the decided one has no endpoint left or its breaker is open.

use super::{Fallback, Snapshot};
use crate::config::breaker;
use crate::config::color;
use crate::routing::{ColorId, ServiceId, VersionId};

impl Snapshot {
    /// The version that the breaker of `version` names for the time that it is open. Requests of a
    /// color that is isolated stay with its version.
    pub fn named_by_breaker(
        &self,
        service: ServiceId,
        version: VersionId,
        color: Option<ColorId>,
    ) -> Option<VersionId> {
        let color = color.and_then(|id| self.config.colors.get(&self.color(id)?.name));
        if color.is_some_and(|color| color.fallback == color::Fallback::Isolate) {
            return None;
        }
        let breaker = self.version(service, version)?.breaker.as_ref()?;
        let Some(breaker::Fallback::Version(name)) = &breaker.config.fallback else {
            return None;
        };
        let versions = &self.service(service)?.versions;
        let index = versions.iter().position(|version| version.name == *name)?;
        let other = VersionId(index as u16);
        (other != version).then_some(other)
    }

    /// The default version, if the color of a request allows it and `served` is another one.
    pub fn default_instead(
        &self,
        service: ServiceId,
        served: VersionId,
        color: Option<ColorId>,
    ) -> Option<VersionId> {
        let color = self.color(color?)?;
        let service = self.config.services.get(&self.service(service)?.name)?;
        let mut names = service.versions.keys();
        let default = names.position(|name| *name == service.default)?;
        let color = self.config.colors.get(&color.name);
        Fallback::of(color, VersionId(default as u16), served).0
    }
}
