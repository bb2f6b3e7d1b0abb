//! `[server]`: the process as a whole.

use super::compress::Compress;
use super::route::AmbiguousPaths;
use super::units::Percent;
use crate::table;
use std::time::Duration;

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: 0,
            drain: Drain::default(),
            compress: Compress(None),
            reload_guard: None,
            ambiguous_paths: AmbiguousPaths::Refuse,
        }
    }
}

table! {
    /// The process as a whole.
    pub struct Server {
        /// Worker threads; 0 means one per core the cgroup grants.
        "threads" => threads: u16 = (0) "0",
        /// How the process leaves.
        "drain" => drain: Drain = (Drain::default()) "{ delay = \"0s\", grace = \"5s\", timeout = \"30s\" }",
        /// Which answers are compressed, where a route does not say.
        "compress" => compress: Compress = (Compress(None)) "false",
        /// Refuses reloads that would move too many recent requests.
        "reload_guard" => reload_guard: Option<ReloadGuard> = none,
        /// What becomes of a path that another parser may read as one of a route with other
        /// policies, where the route does not say: `refuse` or `allow`.
        "ambiguous_paths" => ambiguous_paths: AmbiguousPaths = (AmbiguousPaths::Refuse) "\"refuse\"",
    }
}

table! {
    /// How the process leaves after TERM or INT, or QUIT. From the signal on, every answer says
    /// that its connection closes.
    pub struct Drain {
        /// Time between turning unready and closing the listeners, for load balancers to notice.
        "delay" => delay: Duration = (Duration::ZERO) "\"0s\"",
        /// Time in which connections are still served whose listener has gone: the sockets were
        /// handed over (QUIT), or a reload has taken the listener away. Ends early with the last
        /// connection, and at the latest with `timeout`.
        "grace" => grace: Duration = (Duration::from_secs(5)) "\"5s\"",
        /// Longest wait for requests in flight after the listeners closed.
        "timeout" => timeout: Duration = (Duration::from_secs(30)) "\"30s\"",
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            grace: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
        }
    }
}

table! {
    /// Refuses reloads that would move too many recent requests.
    pub struct ReloadGuard {
        /// Largest share of recent requests whose decision may change.
        "max_changed" => max_changed: Percent = required,
    }
}
