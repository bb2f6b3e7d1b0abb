//! What a scrape tells of policies: breakers, limits, tokens, places, mirrors, overload.

use super::Snapshot;
use crate::config::Name;
use crate::policy::auth::{Authorities, Authority};
use crate::policy::limit::Limiter;
use crate::policy::mirror::Mirror;
use crate::policy::overload::Overload;
use crate::telemetry::encode::family;
use crate::upstream::Service;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::{Counter, Gauge};
use std::collections::BTreeMap;
use std::fmt::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The policies of a snapshot, shared.
#[derive(Debug)]
pub struct PolicyState {
    services: Vec<Arc<Service>>,
    authorities: Authorities,
    limiters: BTreeMap<Name, Arc<Limiter>>,
    mirrors: Vec<(Name, Arc<Mirror>)>,
    caps: Vec<(Name, Arc<crate::policy::in_flight::Cap>)>,
    overload: Arc<Overload>,
    /// How many files cannot be read anew.
    stale: usize,
}

fn count(counter: &AtomicU64) -> f64 {
    counter.load(Relaxed) as f64
}

impl PolicyState {
    pub fn of(snapshot: &Snapshot) -> Self {
        let routes = snapshot.routes.iter();
        Self {
            services: snapshot.services.clone(),
            authorities: snapshot.authorities.clone(),
            limiters: snapshot.limiters.clone(),
            mirrors: routes
                .clone()
                .filter_map(|route| Some((route.name.clone(), route.mirror.clone()?)))
                .collect(),
            caps: routes
                .filter_map(|route| Some((route.name.clone(), route.cap.clone()?)))
                .collect(),
            overload: snapshot.overload.clone(),
            stale: snapshot.stale.len(),
        }
    }

    pub fn encode(&self, encoder: &mut DescriptorEncoder) -> Result {
        self.breakers(encoder)?;
        self.limits(encoder)?;
        self.tokens(encoder)?;
        self.files(encoder)?;
        self.other_authorities(encoder)?;
        self.places(encoder)?;
        self.mirrors(encoder)?;
        self.overload(encoder)
    }

    fn breakers(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (mut states, mut transitions, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for service in &self.services {
            for version in &service.versions {
                let Some(breaker) = &version.breaker else {
                    continue;
                };
                let of = [
                    ("service", service.name.as_ref()),
                    ("version", version.name.as_ref()),
                ];
                states.push((of, f64::from(breaker.phase() as u8)));
                refused.push((of, count(&breaker.refused)));
                for (to, times) in ["closed", "half-open", "open"]
                    .iter()
                    .zip(breaker.transitions())
                {
                    transitions.push(([of[0], of[1], ("to", *to)], times as f64));
                }
            }
        }
        let help = "Breakers: 0 closed, 1 half-open, 2 open";
        family(encoder, "tyrian_breaker_state", help, Gauge, &states)?;
        let help = "Times a breaker has changed its state";
        family(
            encoder,
            "tyrian_breaker_transitions",
            help,
            Counter,
            &transitions,
        )?;
        let help = "Requests that an open breaker refused, or would have";
        family(encoder, "tyrian_breaker_refused", help, Counter, &refused)
    }

    fn limits(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (mut decisions, mut keys) = (Vec::new(), Vec::new());
        let (mut evicted, mut crowded) = (Vec::new(), Vec::new());
        for (name, limiter) in &self.limiters {
            let name = ("limit", name.as_ref());
            let series = &limiter.series;
            for (result, counter) in [
                ("allowed", &series.allowed),
                ("limited", &series.limited),
                ("reported", &series.reported),
            ] {
                decisions.push(([name, ("result", result)], count(counter)));
            }
            let (size, gone, shared) = limiter.sizes();
            keys.push(([name], size as f64));
            evicted.push(([name], gone as f64));
            crowded.push(([name], shared as f64));
        }
        let help = "What limits have decided";
        family(encoder, "tyrian_limit_decisions", help, Counter, &decisions)?;
        let help = "Buckets that are remembered";
        family(encoder, "tyrian_limit_keys", help, Gauge, &keys)?;
        let help = "Full buckets that were forgotten";
        family(encoder, "tyrian_limit_evictions", help, Counter, &evicted)?;
        let help = "Decisions on a shared bucket, because there was no room for a new one";
        family(encoder, "tyrian_limit_crowded", help, Counter, &crowded)
    }

    fn tokens(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (mut results, mut ages, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        let (mut keys, mut cached) = (Vec::new(), Vec::new());
        for (name, authority) in &self.authorities {
            let Authority::Jwt(provider) = authority else {
                continue;
            };
            let name = ("provider", name.as_ref());
            results.extend(
                provider
                    .results
                    .iter()
                    .map(|(word, n)| ([name, ("result", word)], n as f64)),
            );
            ages.extend(provider.keys_age().map(|age| ([name], age as f64)));
            let failed = provider.failed_fetches();
            failures.extend(failed.map(|failed| ([name], failed as f64)));
            let (known, tokens) = provider.sizes();
            keys.push(([name], known as f64));
            cached.push(([name], tokens as f64));
        }
        let help = "Tokens by what came of them";
        family(encoder, "tyrian_jwt_verifications", help, Counter, &results)?;
        let help = "Seconds since keys were last fetched, or since their file was last good";
        family(encoder, "tyrian_jwt_keys_age_seconds", help, Gauge, &ages)?;
        let help = "Fetches of keys that have failed since the last one that did not";
        family(encoder, "tyrian_jwt_failed_fetches", help, Gauge, &failures)?;
        let help = "Keys of the provider";
        family(encoder, "tyrian_jwt_keys", help, Gauge, &keys)?;
        let help = "Verified tokens that are remembered";
        family(encoder, "tyrian_jwt_cached_tokens", help, Gauge, &cached)
    }

    fn files(&self, encoder: &mut DescriptorEncoder) -> Result {
        let help =
            "Keys, lists, secrets and certificates that cannot be read anew from their files";
        let stale = [([], self.stale as f64)];
        family(encoder, "tyrian_stale_files", help, Gauge, &stale)
    }

    fn other_authorities(&self, encoder: &mut DescriptorEncoder) -> Result {
        let mut results = Vec::new();
        for (name, authority) in &self.authorities {
            let name = ("provider", name.as_ref());
            let counted: Vec<(&str, &AtomicU64)> = match authority {
                Authority::Jwt(_) => Vec::new(),
                Authority::ApiKeys(keys) => {
                    vec![("accepted", &keys.accepted), ("refused", &keys.refused)]
                }
                Authority::Forward(service) => vec![
                    ("allowed", &service.allowed),
                    ("denied", &service.denied),
                    ("failed", &service.failed),
                ],
            };
            results.extend(
                counted
                    .into_iter()
                    .map(|(word, n)| ([name, ("result", word)], count(n))),
            );
        }
        let help = "API keys and questions to authorization services by what came of them";
        family(encoder, "tyrian_auth_decisions", help, Counter, &results)
    }

    fn places(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (mut taken, mut waiting, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let of_services = self.services.iter().filter_map(|service| {
            Some((("service", service.name.as_ref()), service.cap.as_ref()?))
        });
        let of_routes = self
            .caps
            .iter()
            .map(|(name, cap)| (("route", name.as_ref()), cap));
        for (of, cap) in of_services.chain(of_routes) {
            let (_, now, queue, times) = cap.state();
            let labels = [("scope", of.0), ("name", of.1)];
            taken.push((labels, f64::from(now)));
            waiting.push((labels, f64::from(queue)));
            refused.push((labels, times as f64));
        }
        let help = "Places that requests in flight have taken";
        family(encoder, "tyrian_in_flight", help, Gauge, &taken)?;
        let help = "Requests that wait for a place";
        family(encoder, "tyrian_in_flight_waiting", help, Gauge, &waiting)?;
        let help = "Requests that found no place in time";
        family(encoder, "tyrian_in_flight_refused", help, Counter, &refused)?;
        let adaptive = self.services.iter().filter_map(|service| {
            let (limit, ..) = service.adaptive.as_ref()?.state();
            Some(([("service", service.name.as_ref())], f64::from(limit)))
        });
        let help = "Requests that a service can take at once, as found out";
        family(
            encoder,
            "tyrian_adaptive_limit",
            help,
            Gauge,
            &adaptive.collect::<Vec<_>>(),
        )
    }

    fn mirrors(&self, encoder: &mut DescriptorEncoder) -> Result {
        let results = self.mirrors.iter().flat_map(|(route, mirror)| {
            [
                ("sent", &mirror.sent),
                ("failed", &mirror.failed),
                ("dropped", &mirror.dropped),
            ]
            .map(|(word, n)| ([("route", route.as_ref()), ("result", word)], count(n)))
        });
        let help = "Copies for mirrors by what came of them";
        family(
            encoder,
            "tyrian_mirrored",
            help,
            Counter,
            &results.collect::<Vec<_>>(),
        )?;
        self.comparisons(encoder)
    }

    fn comparisons(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (mut compared, mut differ) = (Vec::new(), Vec::new());
        for (route, mirror) in &self.mirrors {
            let Some(tally) = &mirror.tally else { continue };
            let (copy, noise) = tally.counts();
            for (of, counts) in [("copy", copy), ("noise", noise)] {
                let labels = [("route", route.as_ref()), ("of", of)];
                compared.push((labels, counts.compared as f64));
                differ.push((labels, counts.any as f64));
            }
        }
        let help =
            "Answers compared with the original's: copies, and second askings of its version";
        family(encoder, "tyrian_mirror_compared", help, Counter, &compared)?;
        let help = "Compared answers that differed in anything";
        family(encoder, "tyrian_mirror_differed", help, Counter, &differ)
    }

    fn overload(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (level, lag, memory) = self.overload.state();
        let help = "0: not overloaded, 1: spare routes are given up, 2: normal ones too";
        family(
            encoder,
            "tyrian_overload_level",
            help,
            Gauge,
            &[([], f64::from(level))],
        )?;
        let help = "How late timers fire";
        family(
            encoder,
            "tyrian_timer_lag_seconds",
            help,
            Gauge,
            &[([], lag.as_secs_f64())],
        )?;
        let help = "Share of the memory limit that is used";
        family(encoder, "tyrian_memory_share", help, Gauge, &[([], memory)])?;
        let help = "Requests given up because the process had too much to do";
        family(
            encoder,
            "tyrian_shed",
            help,
            Counter,
            &[([], count(&self.overload.shed))],
        )
    }
}
