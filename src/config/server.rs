//! `[server]`: the process as a whole.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Worker threads; 0 means one per core the cgroup grants.
    pub threads: u16,
    pub drain: Drain,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// Time between turning unready and closing the listeners.
    pub delay: Duration,
    /// Longest wait for requests in flight after the listeners closed.
    pub timeout: Duration,
}
