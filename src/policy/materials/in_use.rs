//! What the live generation has made of its files.

use crate::config::tls::VersionTls;
use crate::config::{Config, Name};
use crate::policy::auth::{ApiKeys, Authorities, Authority};
use crate::policy::jwt::Provider;
use crate::tls::{ListenerInUse, ListenerTls, UpstreamTls};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the live generation has in use.
#[derive(Debug)]
pub struct InUse<'a> {
    pub config: &'a Config,
    pub authorities: &'a Authorities,
    pub listeners: BTreeMap<&'a Name, &'a ListenerTls>,
    /// By service and version.
    pub upstreams: BTreeMap<(Name, Name), Arc<UpstreamTls>>,
}

impl InUse<'_> {
    pub(super) fn provider(&self, name: &Name) -> Option<&Provider> {
        match self.authorities.get(name)? {
            Authority::Jwt(provider) => Some(provider),
            Authority::ApiKeys(_) | Authority::Forward(_) => None,
        }
    }

    pub(super) fn api_keys(&self, name: &Name) -> Option<&ApiKeys> {
        match self.authorities.get(name)? {
            Authority::ApiKeys(keys) => Some(keys),
            Authority::Jwt(_) | Authority::Forward(_) => None,
        }
    }

    pub(super) fn listener(&self, name: &Name) -> Option<ListenerInUse<'_>> {
        Some(ListenerInUse {
            table: self.config.listeners.get(name)?.tls.as_ref()?,
            made: self.listeners.get(name)?,
        })
    }

    /// What a version with the same table has in use.
    pub(super) fn upstream(
        &self,
        key: &(Name, Name),
        tls: &VersionTls,
    ) -> Option<Arc<UpstreamTls>> {
        let service = self.config.services.get(&key.0)?;
        let same = service.versions.get(&key.1)?.tls.as_ref() == Some(tls);
        self.upstreams.get(key).filter(|_| same).cloned()
    }
}
